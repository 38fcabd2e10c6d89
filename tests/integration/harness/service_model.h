// SPDX-License-Identifier: Apache-2.0
// A cluster whose model is a service that takes 20 ms, a crowd that asks it, and its Limit.
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "tests/integration/harness/cli.h"
#include "tests/integration/harness/crowd.h"
#include "tests/integration/harness/service.h"

namespace weir::integration {

// The labels of what is measured of the model.
inline const std::string kOf = fmt::format("{{model=\"{}\"}}", kModel);

class ServiceModelTest : public CliTest {
 protected:
  // A model that one service answers, in 20 ms.
  void StartWithService(int nodes = 1) {
    ASSERT_NO_FATAL_FAILURE(StartCluster(nodes));
    service.delay_ms = 20;
    const Answer answer = api().Put(
        std::string("/v1/models/") + kModel + "?reason=a%20service",
        {{"apiVersion", "weir/v1"},
         {"kind", "Model"},
         {"metadata", {{"name", kModel}}},
         {"spec",
          {{"stable", "1.0.0"},
           {"versions",
            {{"1.0.0", {{"runtime", "oip"}, {"urls", Json::array({service.url()})}}}}}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    ASSERT_TRUE(WaitFor("it is READY", [&] { return VersionIs("1.0.0", "READY"); }));
  }
  // As a person does it: a file and `weir apply`, which waits for the nodes.
  void ApplyLimit(const std::string& spec) {
    const std::string file = Write("limit.yaml", fmt::format("apiVersion: weir/v1\nkind: Limit\n"
                                                             "metadata: {{name: {}}}\nspec: {}\n",
                                                             kModel, spec));
    const Output applied = Weir({"apply", "-f", file, "--reason", "a test"});
    ASSERT_EQ(applied.exit_code, 0) << applied.Text();
  }
  // A number of /metrics; -1 while there is none.
  double Metric(const std::string& name) {
    const Answer answer = node(0).api().Get("/metrics");
    const size_t at = answer.text.find("\n" + name + " ");
    if (at == std::string::npos) return -1;
    return std::strtod(answer.text.c_str() + at + name.size() + 2, nullptr);
  }
  testing::AssertionResult EverybodyIsServed(Crowd& crowd) {
    crowd.Mark();
    return WaitFor("a hundred answers and no refusal", [&] {
      const Crowd::Counts counts = crowd.counts();
      if (counts.shed + counts.other > 0) crowd.Mark();
      return counts.shed + counts.other == 0 && counts.served >= 100;
    });
  }

  Service service{0.5};
};

}  // namespace weir::integration
