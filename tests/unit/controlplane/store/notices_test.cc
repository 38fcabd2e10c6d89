// SPDX-License-Identifier: Apache-2.0
// What sinks have not been told yet.
#include <gtest/gtest.h>

#include "controlplane/store/store.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::store {
namespace {

TEST(StoreNotices, WaitUntilTheyAreDoneAlsoOverARestart) {
  const fakes::TempDir dir;
  ManualClock clock;
  auto store = *Store::Open(dir.path(), clock);
  ASSERT_TRUE(store
                  ->SaveNotices({{9, "pager", "7-2", "rollout", 5, 6, R"({"a":1})"},
                                 {4, "chat", "7-1", "alert", 3, 4, "{}"},
                                 {11, "chat", "7-3", "alert", 3, 4, "{}"}},
                                {})
                  .ok());
  ASSERT_TRUE(store->SaveNotices({}, {4, 77}).ok());
  store.reset();
  store = *Store::Open(dir.path(), clock);
  const auto rows = *store->WaitingNotices();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].number, 9u);
  EXPECT_EQ(rows[0].sink, "pager");
  EXPECT_EQ(rows[0].id, "7-2");
  EXPECT_EQ(rows[0].type, "rollout");
  EXPECT_EQ(rows[0].at_wall_ms, 5);
  EXPECT_EQ(rows[0].queued_wall_ms, 6);
  EXPECT_EQ(rows[0].data, R"({"a":1})");
  EXPECT_EQ(rows[1].number, 11u);
}

}  // namespace
}  // namespace weir::control::store
