// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/audit_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "shared/base/text.h"

namespace weir::control::backup {
namespace {

using codec::Json;

std::string HexOf(const std::string& raw) {
  return ToHex({reinterpret_cast<const uint8_t*>(raw.data()), raw.size()});
}

Json Judge(const HeardByNode& by, const store::AuditCheck& check, uint64_t epoch) {
  const auto row = static_cast<int64_t>(by.heard.rows);
  Json view = {{"node", by.node},
               {"epoch", by.heard.epoch},
               {"rows", row},
               {"head", HexOf(by.heard.head.value)},
               {"verdict", "same"}};
  const auto here = check.hashes.find(row);
  if (here != check.hashes.end() && here->second == by.heard.head.value) return view;
  const auto restore =
      std::find_if(check.restores.begin(), check.restores.end(), [&](const store::AuditRow& each) {
        const auto began_ms = static_cast<int64_t>(by.heard.epoch) * 1000;
        return each.seq <= row && began_ms <= each.at_wall_ms;
      });
  if (restore != check.restores.end() && by.heard.epoch < epoch) {
    view["verdict"] = "explained";
    view["why"] = fmt::format("row {} restored {} at {}, by {}", restore->seq, restore->detail,
                              FormatTimeMs(restore->at_wall_ms), restore->actor);
    return view;
  }
  view["verdict"] = "differs";
  view["why"] = here == check.hashes.end()
                    ? fmt::format("there are only {} rows here", check.head.rows)
                    : fmt::format("row {} is {} here", row, HexOf(here->second));
  return view;
}

}  // namespace

Result<Json> AuditVerdict(store::Store& store, const AuditQuestion& question) {
  std::set<int64_t> wanted;
  for (const HeardByNode& by : question.heard) wanted.insert(static_cast<int64_t>(by.heard.rows));
  std::string expected;
  if (!question.expected_head.empty()) {
    const Result<std::string> raw = FromHex(question.expected_head);
    if (!raw.ok() || raw->size() != 32)
      return InvalidArgument("expect_head", "is not 64 hex digits");
    expected = *raw;
  }
  WEIR_ASSIGN_OR_RETURN(const store::AuditCheck check, store.CheckAudit(wanted, expected));
  Json view = {{"intact", check.problem.empty()},
               {"rows", check.head.rows},
               {"head", HexOf(check.head.hash)},
               {"nodes", Json::array()}};
  if (!check.problem.empty()) view["problem"] = check.problem;
  if (check.broken_row != 0) view["broken_row"] = check.broken_row;
  if (!expected.empty()) view["expected_row"] = nullptr;
  if (check.expected_row != 0) view["expected_row"] = check.expected_row;
  for (const HeardByNode& by : question.heard)
    view["nodes"].push_back(Judge(by, check, question.epoch));
  return view;
}

bool IsIntact(const Json& verdict) {
  bool is_intact = verdict.value("intact", false);
  if (verdict.contains("expected_row")) is_intact = is_intact && !verdict["expected_row"].is_null();
  for (const Json& node : verdict.value("nodes", Json::array()))
    is_intact = is_intact && node.value("verdict", "") != "differs";
  return is_intact;
}

}  // namespace weir::control::backup
