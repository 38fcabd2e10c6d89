// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/lookup.h"

#include <fmt/format.h>

namespace weir::control::cli {

Result<codec::Json> FindResource(Session& session, const std::string& plural,
                                 const std::string& name) {
  Result<codec::Json> found =
      session.api().Get(fmt::format("/v1/{}/{}", plural, http::PercentEncode(name)));
  if (!found.ok() && session.api().last_status() == 404) return codec::Json();
  return found;
}

}  // namespace weir::control::cli
