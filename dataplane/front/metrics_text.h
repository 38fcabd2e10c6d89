// SPDX-License-Identifier: Apache-2.0
// Internal: Prometheus text (version 0.0.4), written family by family.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/routing/recorder.h"

namespace weir::node::front {

// The value of a label, fit to stand between quotes.
std::string EscapeLabel(std::string_view value);

class MetricsText {
 public:
  void Family(const std::string& name, const char* type, const char* help) {
    name_ = name;
    fmt::format_to(Out(), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  // `labels` as `a="b",c="d"`, or empty.
  template <class V>
  void Value(const std::string& labels, V value) {
    Line("", labels, value);
  }
  // `suffix` of a histogram's series: "_bucket".
  template <class V>
  void Value(const char* suffix, const std::string& labels, V value) {
    Line(suffix, labels, value);
  }
  void Histogram(const std::string& labels, const routing::DurationHistogram& histogram) {
    const std::string before = labels.empty() ? "" : labels + ",";
    uint64_t count = 0;
    for (size_t i = 0; i < routing::DurationHistogram::kBoundsS.size(); ++i) {
      count += histogram.counts[i];
      Line("_bucket", fmt::format("{}le=\"{}\"", before, routing::DurationHistogram::kBoundsS[i]),
           count);
    }
    count += histogram.counts.back();
    Line("_bucket", before + "le=\"+Inf\"", count);
    Line("_sum", labels, histogram.sum_s);
    Line("_count", labels, count);
  }
  std::string Take() { return std::move(text_); }

 private:
  std::back_insert_iterator<std::string> Out() { return std::back_inserter(text_); }
  template <class V>
  void Line(const char* suffix, const std::string& labels, V value) {
    if (labels.empty()) {
      fmt::format_to(Out(), "{}{} {}\n", name_, suffix, value);
    } else {
      fmt::format_to(Out(), "{}{}{{{}}} {}\n", name_, suffix, labels, value);
    }
  }

  std::string name_;
  std::string text_;
};

}  // namespace weir::node::front
