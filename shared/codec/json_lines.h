// SPDX-License-Identifier: Apache-2.0
// Where the values of a JSON text stand, for messages: parsers of JSON keep no lines.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace weir::codec {

// path ("flags.new.variants") → line, from 1. Of a repeated key the second is in `repeated`. Reads
// as far as the text is JSON, at most 64 deep, and until the paths are 32 MB.
struct JsonLines {
  std::map<std::string, int> lines;
  std::map<std::string, int> repeated;
};
JsonLines FindJsonLines(std::string_view text);

}  // namespace weir::codec
