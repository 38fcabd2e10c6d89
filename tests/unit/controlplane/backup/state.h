// SPDX-License-Identifier: Apache-2.0
// A data directory as a control plane leaves it: revisions, a key and a blob.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "controlplane/store/blob_store.h"
#include "controlplane/store/store.h"
#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::backup {

// SHA-256 of "abc" (FIPS 180-2, appendix B.1).
inline constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class StateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = store::Store::Open(data_dir(), clock_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    ASSERT_TRUE(store_->NextEpoch(1000).ok());
    Commit(3);
    ASSERT_TRUE(WriteFileAtomic(data_dir() + "/server.key", "secret", 0600).ok());
    ASSERT_TRUE(store::BlobStore(data_dir()).Put(kAbc, "abc").ok());
  }

  std::string data_dir() const { return dir_.path() + "/data"; }
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }

  void Commit(int revisions) {
    for (int i = 0; i < revisions; ++i) {
      store::RevisionRecord record{.at_wall_ms = clock_.WallMs(),
                                   .actor = "cli:a",
                                   .reason = "",
                                   .evidence = "",
                                   .changes = {},
                                   .sources = {}};
      record.changes.push_back({"Flag", "f" + std::to_string(++flags_), "created", "", "{}"});
      const auto committed = store_->CommitRevision(record);
      ASSERT_TRUE(committed.ok()) << committed.status().ToString();
    }
  }

  fakes::TempDir dir_;
  ManualClock clock_;
  std::unique_ptr<store::Store> store_;
  int flags_ = 0;
};

}  // namespace weir::control::backup
