// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/metrics_text.h"

namespace weir::node::front {

std::string EscapeLabel(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out;
}

}  // namespace weir::node::front
