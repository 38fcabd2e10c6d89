// SPDX-License-Identifier: Apache-2.0
// Where tests end a program as a crash would: by SIGKILL, at one named step, without a word to
// anybody. Nothing happens unless the program's main calls ArmCrashPoint and the variable
// WEIR_TEST_CRASH_AT names a step; no setting, flag or file does. An armed program says so at
// level error.
#pragma once

#include <string_view>

#include "shared/base/status.h"

namespace weir {

// Reads WEIR_TEST_CRASH_AT: "STEP", or "STEP:N" for the Nth time that it is reached. Once, by the
// main thread, before any other. InvalidArgument for a step that there is not.
//   store.before_commit   all of a revision is written, its transaction is not committed
//   store.after_commit    it is committed, and nobody has been told
//   publish.before        the same, but the catalog has it
//   publish.after         it is handed to the bus
//   ingest.before_store   counts are about to be stored
//   ingest.after_store    counts are stored, and not acknowledged
//   report.after_send     a node has sent a batch of telemetry, and has not heard of it
//   snapshot.before_store a node has applied a snapshot, and not kept it
Status ArmCrashPoint();

// Does not return the time that was asked for. Any thread; costs a load otherwise.
void CrashPoint(std::string_view step);

}  // namespace weir
