// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "shared/base/text.h"
#include "shared/wire/digest.h"
#include "shared/wire/frame.h"
#include "shared/wire/messages.h"

namespace weir::wire {
namespace {

TEST(Frame, HeaderIsBigEndianAndRoundTrips) {
  Header header;
  header.topic = Topic::kConfig;
  header.type = Type::kDelta;
  header.epoch = 0x0102030405060708;
  header.version = 42;
  header.sequence = 7;
  const std::string bytes = EncodeFrame(header, "body");
  EXPECT_EQ(bytes.substr(0, 5), "cWEIR");
  EXPECT_EQ(bytes.substr(9, 8), "\x01\x02\x03\x04\x05\x06\x07\x08");
  const auto frame = DecodeFrame(bytes);
  ASSERT_TRUE(frame.ok()) << frame.status().ToString();
  EXPECT_EQ(frame->header.epoch, header.epoch);
  EXPECT_EQ(frame->header.version, 42u);
  EXPECT_EQ(frame->header.sequence, 7u);
  EXPECT_EQ(frame->body, "body");
}

TEST(Frame, DamageIsRefused) {
  const std::string good = EncodeFrame({}, "body");
  EXPECT_FALSE(DecodeFrame("").ok());
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(DecodeFrame(good.substr(0, length)).ok());
  EXPECT_FALSE(DecodeFrame(good + "x").ok());
  std::string other_major = good;
  other_major[5] = 9;
  EXPECT_EQ(DecodeFrame(other_major).status().code(), Code::kUnavailable);
  std::string wrong_topic = good;
  wrong_topic[0] = 'z';
  EXPECT_FALSE(DecodeFrame(wrong_topic).ok());
}

TEST(Frame, DeltaRoundTrips) {
  Delta delta;
  delta.base = 5;
  delta.changes = {{1, "flag", {"bytes"}}, {2, "gone", {}}};
  delta.digest = {std::string(32, 'd')};
  delta.emergency.kill_switch = true;
  Header header;
  header.type = Type::kDelta;
  const std::string bytes = Encode(header, delta);
  const auto frame = DecodeFrame(bytes);
  ASSERT_TRUE(frame.ok());
  const auto back = Decode<Delta>(*frame);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(back->base, 5u);
  ASSERT_EQ(back->changes.size(), 2u);
  EXPECT_EQ(back->changes[0].body.value, "bytes");
  EXPECT_TRUE(back->changes[1].body.value.empty());
  EXPECT_EQ(back->emergency, delta.emergency);
}

// Python: hashlib.blake2b(bytes([1,0])+b"f"+b"\0"+b"abc", digest_size=32).hexdigest()
TEST(Digest, EntryHashMatchesHashlib) {
  EXPECT_EQ(ToHex(EntryHash(domain::EntryKind::kFlag, "f", "abc")),
            "858c30451627e5ece72e5f114aa9353fadab68209c3c9d02d57b15ba541841a0");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// Python: the sum of three such hashes modulo 2**256, as 64 hex digits.
TEST(Digest, SumMatchesPythonAndIsOrderFree) {
  const Hash256 a = EntryHash(domain::EntryKind::kFlag, "f", "abc");
  const Hash256 b = EntryHash(domain::EntryKind::kModel, "m", "defg");
  const Hash256 c = EntryHash(domain::EntryKind::kSplit, "s", "");
  SetDigest digest;
  digest.Add(a);
  digest.Add(b);
  digest.Add(c);
  EXPECT_EQ(digest.Hex(), "7934bb7a45ca94df2c45f85a6b93e4d7e7b5ce38970160555c642eb0bb2547db");
  EXPECT_EQ(digest.Raw().size(), 32u);
  SetDigest other;
  other.Add(c);
  other.Add(a);
  other.Add(b);
  EXPECT_EQ(other, digest);
  other.Subtract(b);
  other.Subtract(c);
  other.Subtract(a);
  EXPECT_EQ(other, SetDigest());
}

}  // namespace
}  // namespace weir::wire
