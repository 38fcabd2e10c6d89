// SPDX-License-Identifier: Apache-2.0
// A decision in OFREP's words, written by hand into a string. Pure.
#pragma once

#include <string>
#include <string_view>

#include "shared/decision/decide.h"

namespace weir::node::ofrep {

// The reason as OpenFeature knows it; ours goes into metadata.weirReason.
std::string_view StandardReason(decision::Reason reason);

// 200, 400, or 404 for a flag that is not there.
int StatusOf(const decision::FlagDecision& decision);

// {"key", "reason", "variant", "value", "metadata"}, or {"key", "errorCode", "errorDetails"}.
// Without a value there is no "value": the caller's own default holds.
void AppendDecision(std::string_view key, const decision::FlagDecision& decision, std::string* out);

// {"key", "errorCode", "errorDetails"}; an empty key is left out.
void AppendError(std::string_view key, std::string_view code, std::string_view details,
                 std::string* out);

// Quoted; what is no UTF-8 becomes U+FFFD.
void AppendQuoted(std::string_view text, std::string* out);

// A strong validator of those bytes: "\"<32 hex digits>\"".
std::string ETagOf(std::string_view bytes);
// Whether an If-None-Match (a list, weak or strong, or *) names the validator.
bool MatchesETag(std::string_view if_none_match, std::string_view etag);

}  // namespace weir::node::ofrep
