// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/file_check.h"

#include <algorithm>
#include <map>

#include "shared/domain/validate.h"

namespace weir::codec {
namespace {

using domain::Kind;

struct Flags {
  std::map<std::string, domain::Resource> by_name;
  std::map<std::string, const ResourceDocument*> documents;
};

// The flags of the documents, with their defaults.
Flags FlagsOf(const FileContent& content) {
  Flags flags;
  for (const ResourceDocument& document : content.documents) {
    if (document.kind != Kind::kFlag) continue;
    Errors ignored;  // were reported when the document was read
    domain::Resource flag;
    flag.name = document.name;
    flag.spec = SpecFromJson(Kind::kFlag, document.spec, ignored);
    domain::FillDefaults(flag, 0);
    flags.by_name.emplace(document.name, std::move(flag));
    flags.documents.emplace(document.name, &document);
  }
  return flags;
}

// An error says why a flag could not be read, so that it is not also missing. Errors of resources
// say it with the paths of a spec; those of flags files begin with the flag's name.
bool WasUnreadable(const std::string& flag, const std::vector<FileError>& errors) {
  return std::any_of(errors.begin(), errors.end(), [&](const FileError& e) {
    return e.path == flag || e.path.rfind(flag + ".", 0) == 0 || e.path.rfind("spec", 0) == 0 ||
           e.path.find("].spec") != std::string::npos;
  });
}

void CheckParents(const Flags& flags, FileContent& content) {
  const std::vector<FileError> read = content.errors;
  const domain::Lookup find = [&](Kind kind, const std::string& name) -> const domain::Resource* {
    const auto found = flags.by_name.find(name);
    return kind != Kind::kFlag || found == flags.by_name.end() ? nullptr : &found->second;
  };
  const domain::ForEach for_each = [&](Kind kind, const auto& visit) {
    if (kind != Kind::kFlag) return;
    for (const auto& [name, flag] : flags.by_name) visit(flag);
  };
  for (const auto& [name, flag] : flags.by_name) {
    const ResourceDocument& document = *flags.documents.at(name);
    const auto parents = domain::FlagParents(name, flag.As<domain::FlagSpec>());
    const bool is_followed = std::any_of(parents.begin(), parents.end(), [&](const auto& parent) {
      return find(Kind::kFlag, parent) == nullptr && WasUnreadable(parent, read);
    });
    if (is_followed) continue;
    for (const domain::Violation& violation : domain::ValidateReferences(flag, find, for_each)) {
      content.errors.push_back(
          {document.file, document.line, name + ".requires", violation.message});
    }
  }
}

// Two flags with one seed let the same users in first: their effects could not be told apart.
void CheckSeeds(const Flags& flags, FileContent& content) {
  std::map<std::string, std::string> first;
  for (const auto& [name, flag] : flags.by_name) {
    const auto& spec = flag.As<domain::FlagSpec>();
    if (spec.IsVariant() || spec.hash_seed.empty()) continue;
    const auto [at, fresh] = first.try_emplace(spec.hash_seed, name);
    if (fresh) continue;
    const ResourceDocument& document = *flags.documents.at(name);
    content.warnings.push_back(
        {document.file, document.line, name + ".hash_seed",
         fmt::format("\"{}\" is the seed of \"{}\" too: the same users would get both, so the "
                     "features would correlate",
                     spec.hash_seed, at->second)});
  }
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

template <class Wrong>
bool None(const std::vector<FileError>& errors, const Wrong& wrong) {
  return std::none_of(errors.begin(), errors.end(), wrong);
}

}  // namespace

void CheckWhole(FileContent& content) {
  const Flags flags = FlagsOf(content);
  CheckParents(flags, content);
  for (const ResourceDocument& document : content.documents) {
    content.errors.insert(content.errors.end(), document.when_new.begin(), document.when_new.end());
  }
  content.errors.insert(content.errors.end(), content.disabled.begin(), content.disabled.end());
  CheckSeeds(flags, content);
  std::stable_sort(content.errors.begin(), content.errors.end(), [](const auto& a, const auto& b) {
    return std::pair(std::string_view(a.file), a.line) <
           std::pair(std::string_view(b.file), b.line);
  });
}

std::vector<FileCheck> ChecksOf(const FileContent& content) {
  std::vector<FileCheck> checks = {{"Configuration valid", content.errors.empty()}};
  if (!content.is_parsed) return checks;
  const auto ends = [](const char* end) {
    return [end](const FileError& error) { return EndsWith(error.path, end); };
  };
  const auto says = [](const char* what) {
    return [what](const FileError& e) { return e.message.find(what) != std::string::npos; };
  };
  const bool has_flags = std::any_of(content.documents.begin(), content.documents.end(),
                                     [](const auto& d) { return d.kind == Kind::kFlag; });
  const auto is_of_flag = [](const FileError& e) {
    return EndsWith(e.path, "ercentage") || EndsWith(e.path, "seed") || EndsWith(e.path, "enabled");
  };
  if (has_flags || !None(content.errors, is_of_flag)) {
    checks.push_back(
        {"All rollout percentages in range [0, 100]", None(content.errors, ends("ercentage"))});
    checks.push_back({"All hash seeds present", None(content.errors, ends("eed"))});
    checks.push_back({"All hash seeds unique", None(content.warnings, ends(".hash_seed"))});
    checks.push_back(
        {"No circular dependencies", None(content.errors, says("leads back to the flag itself"))});
    checks.push_back(
        {"Allow-lists present where allowlist_only", None(content.errors, ends("allowlist"))});
  }
  checks.push_back({"No unknown keys", None(content.errors, says("is not a known key")) &&
                                           None(content.warnings, says("is not a known key"))});
  return checks;
}

}  // namespace weir::codec
