// SPDX-License-Identifier: Apache-2.0
#include "shared/base/crash_point.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "shared/base/log.h"

namespace weir {
namespace {

constexpr char kVariable[] = "WEIR_TEST_CRASH_AT";
constexpr std::string_view kSteps[] = {
    "store.before_commit", "store.after_commit", "publish.before",    "publish.after",
    "ingest.before_store", "ingest.after_store", "report.after_send", "snapshot.before_store"};

std::string_view g_armed;        // one of kSteps, or empty; constant once threads run
std::atomic<int64_t> g_left{0};  // times until it happens

}  // namespace

Status ArmCrashPoint() {
  const char* value = std::getenv(kVariable);
  if (value == nullptr || *value == '\0') return OkStatus();
  const std::string_view text(value);
  const std::string_view step = text.substr(0, text.find(':'));
  int64_t times = 1;
  if (step.size() < text.size()) {
    const std::string_view number = text.substr(step.size() + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), times);
    if (error != std::errc() || end != number.data() + number.size() || times < 1)
      return InvalidArgument(kVariable,
                             std::string(text) + ": what follows : is no number above 0");
  }
  const auto* const known = std::find(std::begin(kSteps), std::end(kSteps), step);
  if (known == std::end(kSteps))
    return InvalidArgument(kVariable, std::string(step) + " is no step to crash at");
  g_armed = *known;
  g_left = times;
  Log("test").error("this program will kill itself at {} ({} is set)", text, kVariable);
  return OkStatus();
}

void CrashPoint(std::string_view step) {
  if (g_armed.empty() || step != g_armed || --g_left != 0) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace weir
