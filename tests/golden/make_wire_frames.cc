// SPDX-License-Identifier: Apache-2.0
// Writes the frames and entries of this tree's wire version to standard output, in the form of
// tests/golden/wire_1_0/frames.txt. Run it before the minor is raised, and keep what it wrote:
//   ninja -C build/dev make_wire_frames
//   build/dev/tests/make_wire_frames > tests/golden/wire_1_N/frames.txt
#include <cstdio>

#include "tests/golden/wire_frames.h"

namespace weir::golden {
namespace {

template <class T>
void Print(const std::string& head, const std::string& bytes, const T& value) {
  std::printf("%s %s\n", head.c_str(), Hex(bytes).c_str());
  for (const std::string& line : Lines::Of(value)) std::printf("  %s\n", line.c_str());
}

void PrintAll() {
  std::printf("# Wire version %d.%d, written by make_wire_frames.cc: do not change.\n",
              wire::kMajor, wire::kMinor);
  ForEachMessage([](const char* name, wire::Type type, wire::Topic topic, auto body) {
    Filler().Fill(body);
    wire::Header header;
    header.topic = topic;
    header.type = type;
    header.epoch = 1'763'683'200;
    header.version = 42;
    header.sequence = 7;
    Print(fmt::format("message {}", name), wire::Encode(header, body), body);
  });
  ForEachEntry([](domain::EntryKind kind, auto entry) {
    Filler().Fill(entry);
    Print(fmt::format("entry {}", domain::EntryKindName(kind)), codec::ToMsgpack(entry), entry);
  });
  ForEachGoodEntry(
      [](const char* label, domain::EntryKind kind, const std::string& name, const auto& entry) {
        Print(fmt::format("good {}:{}:{}", label, static_cast<int>(kind), name),
              codec::ToMsgpack(entry), entry);
      });
}

}  // namespace
}  // namespace weir::golden

int main() {
  weir::golden::PrintAll();
  return 0;
}
