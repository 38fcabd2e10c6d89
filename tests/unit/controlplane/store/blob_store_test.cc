// SPDX-License-Identifier: Apache-2.0
#include "controlplane/store/blob_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/fakes/temp_dir.h"

namespace weir::control::store {
namespace {

using ::testing::HasSubstr;

// FIPS 180-2, appendix B.1.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(BlobStore, GivesBackWhatWasPut) {
  const fakes::TempDir dir;
  const BlobStore blobs(dir.path());
  EXPECT_FALSE(blobs.Has(kAbc));
  EXPECT_EQ(blobs.Read(kAbc).status().code(), Code::kNotFound);
  ASSERT_TRUE(blobs.Put(kAbc, "abc").ok());
  EXPECT_TRUE(blobs.Has(kAbc));
  EXPECT_EQ(*blobs.Read(kAbc), "abc");
  EXPECT_EQ(blobs.Path(kAbc), dir.path() + "/blobs/" + kAbc);
  EXPECT_TRUE(blobs.Put(kAbc, "abc").ok());
}

TEST(BlobStore, RefusesOtherBytesAndOddNames) {
  const fakes::TempDir dir;
  const BlobStore blobs(dir.path());
  const Status other = blobs.Put(kAbc, "abd");
  EXPECT_EQ(other.code(), Code::kInvalidArgument);
  EXPECT_THAT(other.message(), HasSubstr(kAbc));
  EXPECT_FALSE(blobs.Has(kAbc));
  EXPECT_EQ(blobs.Put("../../etc/passwd", "abc").code(), Code::kInvalidArgument);
  EXPECT_FALSE(blobs.Has("../weir.db"));
}

TEST(BlobStore, NoticesADamagedFile) {
  const fakes::TempDir dir;
  const BlobStore blobs(dir.path());
  ASSERT_TRUE(blobs.Put(kAbc, "abc").ok());
  std::ofstream(blobs.Path(kAbc)) << "abd";
  EXPECT_EQ(blobs.Read(kAbc).status().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace weir::control::store
