// SPDX-License-Identifier: Apache-2.0
// A real Prometheus of a test's own, on loopback; ends with it.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "shared/base/text.h"
#include "tests/integration/harness/api.h"
#include "tests/integration/harness/process.h"
#include "tests/integration/harness/wait.h"

namespace weir::integration {

inline constexpr char kPrometheus[] = "/usr/bin/prometheus";

// First in a test that needs one.
#define SKIP_WITHOUT_PROMETHEUS()       \
  if (::access(kPrometheus, X_OK) != 0) \
  GTEST_SKIP() << "NOT TESTED: " << kPrometheus << " is missing; ops/deps installs it"

class Prometheus {
 public:
  // Keeps its log, configuration and data there, which outlives it. Until Start nobody listens at
  // its address.
  explicit Prometheus(std::string directory)
      : directory_(std::move(directory)),
        address_(fmt::format("127.0.0.1:{}", FreePort())),
        process_(directory_ + "/prometheus.log") {}

  // Once: with this configuration, until it is ready.
  void Start(const std::string& configuration) {
    const std::string file = directory_ + "/prometheus.yml";
    ASSERT_TRUE(WriteFileAtomic(file, configuration).ok());
    const Status started = process_.Start({kPrometheus, "--config.file=" + file,
                                           "--storage.tsdb.path=" + directory_ + "/tsdb",
                                           "--web.listen-address=" + address_});
    ASSERT_TRUE(started.ok()) << started.ToString();
    ASSERT_TRUE(WaitFor("Prometheus is ready", [&] {
      return Api(address_).Get("/-/ready").status == 200;
    })) << process_.Tail();
  }
  const std::string& address() const { return address_; }

 private:
  const std::string directory_;
  const std::string address_;
  Process process_;
};

}  // namespace weir::integration
