// SPDX-License-Identifier: Apache-2.0
#include "shared/base/printable.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Printable, ReplacesWhatATerminalOrJsonWouldTakeAmiss) {
  EXPECT_EQ(Printable("\x1b[31mrot\xff\t\"grün\"\n"), " [31mrot? \"grün\" ");
  EXPECT_EQ(Printable(""), "");
}

TEST(Printable, IsCutBetweenCharacters) {
  EXPECT_EQ(PrintableBegin("abc", 3), "abc");
  EXPECT_EQ(PrintableBegin("abcd", 3), "abc…");
  EXPECT_EQ(PrintableBegin("abü", 3), "ab…");
  EXPECT_EQ(PrintableBegin("aü", 3), "aü");
  EXPECT_EQ(PrintableEnd("abc", 3), "abc");
  EXPECT_EQ(PrintableEnd("xabc", 3), "…abc");
  EXPECT_EQ(PrintableEnd("üab", 3), "…ab");
}

}  // namespace
}  // namespace weir
