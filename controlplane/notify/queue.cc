// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/queue.h"

#include <algorithm>
#include <set>
#include <utility>

namespace weir::control::notify {

std::vector<uint64_t> Queue::Add(Item item, uint64_t on_way) {
  std::vector<uint64_t> needless;
  if (item.is_test) {
    items_.push_front(std::move(item));
    return needless;
  }
  std::erase_if(items_, [&](const Item& older) {
    if (older.number == on_way || !Supersedes(*item.notice, *older.notice)) return false;
    needless.push_back(older.number);
    return true;
  });
  items_.push_back(std::move(item));
  return needless;
}

const Queue::Item* Queue::Next(int64_t now_ms) const {
  std::set<std::string> held;
  const Item* next = nullptr;
  for (const Item& item : items_) {
    if (item.is_test) return &item;
    if (!held.insert(SubjectOf(*item.notice)).second) continue;
    if (!item.IsSetAside()) return &item;
    if (next == nullptr && now_ms >= item.due_ms) next = &item;
  }
  return next;
}

Queue::Item* Queue::Find(uint64_t number) {
  const auto found = std::find_if(items_.begin(), items_.end(),
                                  [&](const Item& item) { return item.number == number; });
  return found == items_.end() ? nullptr : &*found;
}

void Queue::Remove(uint64_t number) {
  std::erase_if(items_, [&](const Item& item) { return item.number == number; });
}

std::optional<Queue::Item> Queue::TakeOldest(uint64_t on_way) {
  const auto oldest = std::find_if(items_.begin(), items_.end(), [&](const Item& item) {
    return item.number != on_way && !item.is_test;
  });
  if (oldest == items_.end()) return std::nullopt;
  Item taken = std::move(*oldest);
  items_.erase(oldest);
  return taken;
}

void Queue::MakeDue() {
  for (Item& item : items_) item.due_ms = 0;
}

bool Queue::Has(const std::string& notice_id) const {
  return std::any_of(items_.begin(), items_.end(),
                     [&](const Item& item) { return item.notice->id == notice_id; });
}

}  // namespace weir::control::notify
