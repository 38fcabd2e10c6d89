// SPDX-License-Identifier: Apache-2.0
// OpenSLO v1 documents (https://github.com/OpenSLO/OpenSLO) → Policies, one for each SLO.
//
// An indicator is a query to somebody's metrics, which Weir does not ask: it watches its own. So
// the SLO says which of them is meant, by annotations or by a metricSource of type Weir:
//   metadata.annotations: {weir.dev/metric: error_rate, weir.dev/model: fraud_detection}
//   metricSource: {type: Weir, spec: {metric: p99_latency_ms, model: fraud_detection}}
// without which it is an error that names both. weir.dev/version, /arm and /tenant narrow it down.
//
// objectives[] become objectives of the policy: `target` is an error budget, watched by burn rates;
// `op` and `value` are comparison and threshold, the value in the metric's unit. SLI documents of
// the same file are found by indicatorRef. Everything else is said not to be carried over.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "shared/codec/resource.h"

namespace weir::codec {

// A mapping with an apiVersion of OpenSLO, whichever.
bool LooksLikeOpenSlo(const Json& value);

// Takes the documents of one file, then converts them: an SLO may name what follows it. One thread.
class OpenSloFile {
 public:
  using LineOf = std::function<int(const std::string&)>;

  explicit OpenSloFile(const std::string& file) : file_(file) {}

  // `path`: where `value` stands, "" or ending in a dot. `line_of` is kept until Finish.
  void Add(const Json& value, const std::string& path, const LineOf& line_of);
  void Finish(FileContent& out);

 private:
  struct Document {
    Json value;
    std::string path;
    LineOf line_of;
  };
  const std::string& file_;
  std::vector<Document> documents_;
};

}  // namespace weir::codec
