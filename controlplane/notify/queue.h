// SPDX-License-Identifier: Apache-2.0
// What one sink is still to be told, and whose turn it is. Pure; times in ms, monotonic.
//
// Notices are told in the order of their coming. One that kAttemptsInTurn attempts could not tell
// is set aside: it goes on being tried after pauses of its own, and holds up no more than what is
// about the same thing (SubjectOf), so that an end is never told before its beginning. A test goes
// before everything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/notify/notice.h"

namespace weir::control::notify {

inline constexpr int kAttemptsInTurn = 6;  // two minutes

class Queue {
 public:
  struct Item {
    uint64_t number = 0;  // no other has it
    std::shared_ptr<const Notice> notice;
    int64_t since_ms = 0;  // it waits
    bool is_test = false;  // goes first, and is tried once
    int attempts = 0;
    int64_t due_ms = 0;  // while it is set aside

    bool IsSetAside() const { return attempts >= kAttemptsInTurn; }
  };

  // Behind the others; a test before them. `on_way`: the number of what is being told now, 0 for
  // nothing. The numbers of what the new one makes needless, which have left (Supersedes).
  std::vector<uint64_t> Add(Item item, uint64_t on_way);
  // Whose turn it is; null where nothing waits, or all that may go is not due.
  const Item* Next(int64_t now_ms) const;
  // Good until the next change; null: it has left.
  Item* Find(uint64_t number);
  void Remove(uint64_t number);
  // Takes out what has waited longest, but for `on_way` and tests. Absent: there is none.
  std::optional<Item> TakeOldest(uint64_t on_way);
  // All are due, since the sink is another one now.
  void MakeDue();

  bool Has(const std::string& notice_id) const;
  size_t size() const { return items_.size(); }
  const std::deque<Item>& items() const { return items_; }

 private:
  std::deque<Item> items_;
};

}  // namespace weir::control::notify
