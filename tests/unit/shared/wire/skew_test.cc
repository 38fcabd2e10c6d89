// SPDX-License-Identifier: Apache-2.0
// One minor apart, both ways. Golden, do not change: tests/golden/wire_1_0 is what the code of wire
// version 1.0 wrote, with the values it meant (tests/golden/make_wire_frames.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/golden/kept_frames.h"
#include "tests/golden/wire_frames.h"

namespace weir::wire {
namespace {

using golden::Kept;
using golden::Lines;
using ::testing::IsSupersetOf;

// "4.0.6 = x" → "4.0.6"; lists of filled values have two items everywhere, so indices agree.
std::string PathOf(const std::string& line) { return line.substr(0, line.find(" = ")); }

// What 1.0 does with a frame that today's code wrote: it walks the map, and where a key is not
// among those it knew, an even one makes it refuse, an odd one is skipped with all that is below.
// Returns the first key it would refuse, "" if it reads the frame.
std::string RefusedBy(const std::set<std::string>& known_paths,
                      const std::vector<std::string>& today) {
  std::set<std::string> known;  // every beginning of a path as well
  for (const std::string& path : known_paths) {
    for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1))
      known.insert(path.substr(0, dot));
    known.insert(path);
  }
  for (const std::string& line : today) {
    std::string path;
    for (const std::string& part : Split(PathOf(line), '.')) {
      path += (path.empty() ? "" : ".") + part;
      if (known.contains(path)) continue;
      const bool is_number = part.find_first_not_of("0123456789") == std::string::npos;
      if (!is_number || (part.back() - '0') % 2 == 0) return path;
      break;  // odd: skipped
    }
  }
  return "";
}

std::set<std::string> PathsOf(const Kept& kept) {
  std::set<std::string> paths;
  for (const std::string& line : kept.lines) paths.insert(PathOf(line));
  return paths;
}

TEST(WireSkew, EveryFrameOfThePreviousMinorReadsToTheSameValues) {
  const auto all = golden::ReadKept("1_0");
  size_t seen = 0;
  golden::ForEachMessage([&](const char* name, Type type, Topic topic, auto body) {
    const Kept* kept = golden::Find(all, "message", name);
    if (kept == nullptr) return;  // newer than it
    ++seen;
    const auto frame = DecodeFrame(kept->bytes);
    ASSERT_TRUE(frame.ok()) << name << ": " << frame.status().ToString();
    EXPECT_EQ(frame->header.major, 1);
    EXPECT_EQ(frame->header.minor, 0);
    EXPECT_EQ(frame->header.type, type) << name;
    EXPECT_EQ(frame->header.topic, topic) << name;
    EXPECT_EQ(frame->header.epoch, 1'763'683'200u);
    EXPECT_EQ(frame->header.version, 42u);
    EXPECT_EQ(frame->header.sequence, 7u);
    const auto read = Decode<decltype(body)>(*frame);
    ASSERT_TRUE(read.ok()) << name << ": " << read.status().ToString();
    EXPECT_THAT(Lines::Of(*read), IsSupersetOf(kept->lines)) << name;
  });
  EXPECT_EQ(seen, 14u) << "a message of 1.0 is not known any more";
}

TEST(WireSkew, EveryEntryOfThePreviousMinorReadsToTheSameValues) {
  const auto all = golden::ReadKept("1_0");
  size_t seen = 0;
  golden::ForEachEntry([&](domain::EntryKind kind, auto entry) {
    const Kept* kept = golden::Find(all, "entry", domain::EntryKindName(kind));
    if (kept == nullptr) return;  // newer than it
    ++seen;
    const auto read = codec::FromMsgpack<decltype(entry)>(kept->bytes);
    ASSERT_TRUE(read.ok()) << kept->name << ": " << read.status().ToString();
    EXPECT_THAT(Lines::Of(*read), IsSupersetOf(kept->lines)) << kept->name;
  });
  EXPECT_EQ(seen, 5u) << "an entry of 1.0 is not known any more";
}

TEST(WireSkew, ThePreviousMinorUnderstandsEveryMessageOfToday) {
  const auto all = golden::ReadKept("1_0");
  golden::ForEachMessage([&](const char* name, Type, Topic, auto body) {
    const Kept* kept = golden::Find(all, "message", name);
    if (kept == nullptr) return;  // an unknown type is logged and ignored
    golden::Filler().Fill(body);
    EXPECT_EQ(RefusedBy(PathsOf(*kept), Lines::Of(body)), "")
        << name << ": 1.0 must not understand this field, and would refuse the whole message: a "
        << "new field of a message is odd";
  });
}

TEST(WireSkew, ThePreviousMinorUnderstandsEntriesThatUseNothingNew) {
  const auto all = golden::ReadKept("1_0");
  golden::ForEachEntry([&](domain::EntryKind kind, auto entry) {
    const Kept* kept = golden::Find(all, "entry", domain::EntryKindName(kind));
    if (kept == nullptr) return;  // an unknown kind is refused alone
    EXPECT_EQ(RefusedBy(PathsOf(*kept), Lines::Of(entry)), "")
        << kept->name << ": is written even when it says nothing, so 1.0 refuses every such entry; "
        << "make it optional";
  });
}

TEST(WireSkew, ARefusalByThePreviousMinorIsNoticed) {
  const std::set<std::string> known = {"2", "4.0.6"};
  EXPECT_EQ(RefusedBy(known, {"2 = 1", "4.0.6 = 1"}), "");
  EXPECT_EQ(RefusedBy(known, {"2", "3.0.2", "4.0.6", "4.0.7.2"}), "");
  EXPECT_EQ(RefusedBy(known, {"2", "8"}), "8");
  EXPECT_EQ(RefusedBy(known, {"2", "4.0.6", "4.0.10"}), "4.0.10");
}

TEST(WireSkew, AnotherMajorIsRefusedAndSaysWhatThisSideSpeaks) {
  std::string bytes = golden::Find(golden::ReadKept("1_0"), "message", "hello")->bytes;
  bytes[5] = 2;
  const Status status = DecodeFrame(bytes).status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("2.0 is not understood"));
  bytes[5] = 1;
  bytes[6] = static_cast<char>(200);  // any minor is
  EXPECT_TRUE(DecodeFrame(bytes).ok());
}

}  // namespace
}  // namespace weir::wire
