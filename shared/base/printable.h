// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace weir {

// Somebody else's text, fit for a log line, JSON and a terminal: control characters are blanks,
// what is not UTF-8 is "?".
std::string Printable(std::string_view text);

// The first or the last so many bytes of such a text, whole characters, "…" where some are left
// out.
std::string PrintableBegin(std::string_view text, size_t bytes);
std::string PrintableEnd(std::string_view text, size_t bytes);

}  // namespace weir
