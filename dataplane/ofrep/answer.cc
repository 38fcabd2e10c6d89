// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/answer.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "shared/base/utf8.h"

namespace weir::node::ofrep {
namespace {

using decision::FlagDecision;
using decision::FlagError;
using decision::Reason;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool IsPlain(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

// The flag's own metadata with the reason as its last member.
void AppendMetadata(const FlagDecision& decision, std::string* out) {
  out->append(R"("metadata":)");
  const std::string_view own =
      decision.flag == nullptr ? std::string_view() : decision.flag->metadata.text;
  const size_t end = own.rfind('}');
  if (own.empty() || own.front() != '{' || end == std::string_view::npos) {
    out->push_back('{');
  } else {
    const std::string_view members = own.substr(0, end);
    out->append(members);
    if (members.find('"') != std::string_view::npos) out->push_back(',');
  }
  out->append(R"("weirReason":")").append(decision::ReasonName(decision.reason)).append("\"}");
}

std::string ErrorDetails(std::string_view key, const FlagDecision& decision) {
  switch (decision.error) {
    case FlagError::kFlagNotFound:
      return fmt::format("flag \"{}\" is unknown", key);
    case FlagError::kTargetingKeyMissing:
      return "the flag is on for a percentage of keys: context.targetingKey is needed";
    default:
      return std::string(decision.detail);
  }
}

uint64_t Fold(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

std::string_view StandardReason(Reason reason) {
  switch (reason) {
    case Reason::kKillSwitch:
    case Reason::kRollbackToBaseline:
    case Reason::kDisabled:
    case Reason::kRolledBack:
    case Reason::kPrerequisite:
      return "DISABLED";
    case Reason::kNotInAllowlist:
    case Reason::kAllowlist:
    case Reason::kTargetingMatch:
      return "TARGETING_MATCH";
    case Reason::kSplit:
      return "SPLIT";
    case Reason::kStatic:
    case Reason::kOverride:
      return "STATIC";
    case Reason::kDefault:
      return "DEFAULT";
    case Reason::kFlagNotFound:
    case Reason::kError:
      return "ERROR";
    case Reason::kNoRollout:
    case Reason::kNodeNotSelected:
    case Reason::kPinned:
    case Reason::kShadow:
    case Reason::kUnwatched:
      break;  // of models
  }
  return "UNKNOWN";
}

int StatusOf(const FlagDecision& decision) {
  if (decision.error == FlagError::kNone) return 200;
  return decision.error == FlagError::kFlagNotFound ? 404 : 400;
}

void AppendDecision(std::string_view key, const FlagDecision& decision, std::string* out) {
  if (decision.error != FlagError::kNone) {
    return AppendError(key, decision::FlagErrorName(decision.error), ErrorDetails(key, decision),
                       out);
  }
  out->append(R"({"key":)");
  AppendQuoted(key, out);
  out->append(R"(,"reason":")").append(StandardReason(decision.reason)).append("\",");
  if (!decision.value.empty()) {
    out->append(R"("variant":)");
    AppendQuoted(decision.variant, out);
    out->append(R"(,"value":)").append(decision.value).push_back(',');
  }
  AppendMetadata(decision, out);
  out->push_back('}');
}

void AppendError(std::string_view key, std::string_view code, std::string_view details,
                 std::string* out) {
  out->push_back('{');
  if (!key.empty()) {
    out->append(R"("key":)");
    AppendQuoted(key, out);
    out->push_back(',');
  }
  out->append(R"("errorCode":")").append(code).append(R"(","errorDetails":)");
  AppendQuoted(details, out);
  out->push_back('}');
}

void AppendQuoted(std::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && IsPlain(text[plain])) ++plain;
    out->append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const char c = text.front();
    size_t size = 1;
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out->append(fmt::format("\\u{:04x}", static_cast<unsigned>(c)));
    } else if (size = Utf8Length(text); size > 0) {
      out->append(text.substr(0, size));
    } else {
      out->append(kReplacement);
      size = 1;
    }
    text.remove_prefix(size);
  }
  out->push_back('"');
}

std::string ETagOf(std::string_view bytes) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
  constexpr uint64_t kOther = 0xd6e8feb86659fd93ULL;
  uint64_t a = Fold(bytes.size() + 1, kOdd);
  uint64_t b = Fold(bytes.size() + 1, kOther);
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    a = Fold(a ^ word, kOdd) + word;
    b = Fold(b + word, kOther) ^ word;
  }
  return fmt::format("\"{:016x}{:016x}\"", a, b);
}

bool MatchesETag(std::string_view if_none_match, std::string_view etag) {
  size_t at = 0;
  while (at < if_none_match.size()) {
    if (if_none_match.find_first_not_of(" \t,", at) == std::string_view::npos) return false;
    at = if_none_match.find_first_not_of(" \t,", at);
    std::string_view rest = if_none_match.substr(at);
    if (rest.front() == '*') return true;
    if (rest.starts_with("W/")) rest.remove_prefix(2);
    if (rest.starts_with(etag)) return true;
    if (!rest.starts_with('"')) return false;
    const size_t end = rest.find('"', 1);
    if (end == std::string_view::npos) return false;
    at = static_cast<size_t>(rest.data() - if_none_match.data()) + end + 1;
  }
  return false;
}

}  // namespace weir::node::ofrep
