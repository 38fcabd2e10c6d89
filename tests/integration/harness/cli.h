// SPDX-License-Identifier: Apache-2.0
// `weir` as a person runs it, against the cluster of a test.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {

class CliTest : public ClusterTest {
 protected:
  // With contexts of its own, whatever the user has.
  Output Weir(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), {Program("weir"), "--server", server()});
    return RunProgram(arguments, {{"XDG_CONFIG_HOME", dir.path() + "/xdg"}, {"NO_COLOR", "1"}},
                      input);
  }
  // Standard output with -o json; the command must succeed.
  Json WeirJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"-o", "json"});
    const Output output = Weir(std::move(arguments));
    EXPECT_EQ(output.exit_code, 0) << output.Text();
    EXPECT_FALSE(output.Json().is_null()) << output.Text();
    return output.Json();
  }
  Answer PutSink(const std::string& name, const Json& spec) {
    return api().Put("/v1/sinks/" + name, {{"apiVersion", "weir/v1"},
                                           {"kind", "Sink"},
                                           {"metadata", {{"name", name}}},
                                           {"spec", spec}});
  }
  // The control plane's; without one, an address where nobody listens.
  std::string server() {
    return control.process().running() ? control.url() : "http://127.0.0.1:1";
  }
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir.path() + "/" + name;
    EXPECT_TRUE(WriteFileAtomic(path, text).ok());
    return path;
  }
};

}  // namespace weir::integration
