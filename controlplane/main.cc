// SPDX-License-Identifier: Apache-2.0
// weir-control: settings, signals, and Control between them.
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <string>

#include "controlplane/control.h"
#include "controlplane/control_settings.h"
#include "shared/base/build_info.h"
#include "shared/base/crash_point.h"
#include "shared/base/log.h"
#include "shared/base/process.h"

namespace weir::control {
namespace {

constexpr int kBadConfiguration = 2;

int Fail(const Status& status) {
  fmt::print(stderr, "weir-control: {}\n", status.ToString());
  return kBadConfiguration;
}

int Run(int argc, char** argv) {
  ControlSettings settings;
  const auto outcome = LoadControlSettings(settings, argc, argv);
  if (!outcome.ok()) return Fail(outcome.status());
  if (!outcome->run) return outcome->exit_code;
  const Status logging = InitLogging("weir-control", settings.log_level, settings.log_format);
  if (!logging.ok()) return Fail(logging);
  const Status armed = ArmCrashPoint();
  if (!armed.ok()) return Fail(armed);
  const Signals signals;
  Control control(settings);
  const Status started = control.Start();
  if (!started.ok()) return Fail(started);
  const codec::Json addresses = control.Addresses();
  const StartFiles files{settings.pid_file, settings.ready_file};
  const Status written = files.Write(addresses.dump());
  if (written.ok()) {
    Log("control").info("weir-control {} serves: {}", BuildVersion(), addresses.dump());
    if (!control.AsksForTokens())
      Log("control").info("the admin API asks for no token; it is on loopback only");
    while (signals.Wait() == SIGHUP) control.Reload();
    Log("control").info("stopping");
  }
  control.Stop([&] { signals.WaitForStop(settings.drain_delay.ms); });
  files.Remove();
  return written.ok() ? 0 : Fail(written);
}

}  // namespace
}  // namespace weir::control

int main(int argc, char** argv) { return weir::control::Run(argc, argv); }
