// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/deliveries.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "shared/base/clock.h"

namespace weir::control::ingest {
namespace {

using codec::Json;

// What does not fit in the books of one life; "" when all does.
std::string Disagreement(const HighWater& counted, bool is_told, const Told& told) {
  if (counted.seq != counted.counted + counted.lost) {
    return fmt::format("its numbers go to {}, but {} batches were counted and {} declared lost",
                       counted.seq, counted.counted, counted.lost);
  }
  if (!is_told) return "";
  const wire::Delivery& delivery = told.delivery;
  const uint64_t delivered = delivery.sent - std::min(delivery.unacked, delivery.sent);
  if (delivered > counted.seq) {
    return fmt::format("it takes {} batches for stored, {} of them are not", delivered,
                       delivered - counted.seq);
  }
  const uint64_t known = told.ended ? counted.seq : told.counted_before;
  if (known > delivery.sent) {
    return fmt::format("{} batches were counted or declared lost, and it has sent {}", known,
                       delivery.sent);
  }
  return "";
}

}  // namespace

void Deliveries::Restore(const HighWaters& counted,
                         const std::vector<store::ReportedRow>& reported) {
  for (const auto& [origin, high_water] : counted) books_[origin].counted = high_water;
  for (const store::ReportedRow& row : reported) {
    Book& book = books_[{row.node, row.incarnation}];
    book.is_told = true;
    book.told = {{row.sent, row.unacked, row.merged}, row.ended, 0};
  }
}

void Deliveries::Add(const TelemetryTick& tick) {
  for (const auto& [origin, high_water] : tick.high_waters) books_[origin].counted = high_water;
  for (const auto& [origin, told] : tick.told) {
    Book& book = books_[origin];
    const bool is_new =
        !book.is_told || book.told.delivery != told.delivery || book.told.ended != told.ended;
    book.is_told = true;
    book.told = told;
    if (is_new) dirty_.insert(origin);
  }
}

std::vector<store::ReportedRow> Deliveries::TakeDirty() {
  std::vector<store::ReportedRow> rows;
  for (const Origin& origin : std::exchange(dirty_, {})) {
    const Told& told = books_[origin].told;
    rows.push_back({origin.node, origin.incarnation, told.delivery.sent, told.delivery.unacked,
                    told.delivery.merged, told.ended});
  }
  return rows;
}

void Deliveries::MarkDirty(const std::vector<store::ReportedRow>& rows) {
  for (const store::ReportedRow& row : rows) dirty_.insert({row.node, row.incarnation});
}

Json Deliveries::Row(const Origin& origin, const Book& book, bool is_live) {
  const HighWater& counted = book.counted;
  const wire::Delivery& delivery = book.told.delivery;
  const char* state = !book.is_told     ? "silent"
                      : book.told.ended ? "ended"
                      : is_live         ? "live"
                                        : "gone";
  // What came after its last word is sent as well.
  const uint64_t sent = book.told.ended ? delivery.sent : std::max(delivery.sent, counted.seq);
  const std::string why = Disagreement(counted, book.is_told, book.told);
  Json row = {{"node", origin.node},
              {"incarnation", origin.incarnation},
              {"started_at", FormatTimeMs(static_cast<int64_t>(origin.incarnation))},
              {"state", state},
              {"sent", sent},
              {"counted", counted.counted},
              {"merged", delivery.merged},
              {"declared_lost", counted.lost},
              {"pending", sent - std::min(sent, counted.counted + counted.lost)},
              {"agrees", why.empty()}};
  if (!why.empty()) row["why"] = why;
  return row;
}

Json Deliveries::View(const std::string& node, const IsLive& is_live) const {
  Json items = Json::array();
  bool agrees = true;
  for (const auto& [origin, book] : books_) {
    if (!node.empty() && origin.node != node) continue;
    items.push_back(Row(origin, book, is_live(origin.node, origin.incarnation)));
    agrees = agrees && items.back()["agrees"].get<bool>();
  }
  return {{"agrees", agrees}, {"items", std::move(items)}};
}

}  // namespace weir::control::ingest
