// SPDX-License-Identifier: Apache-2.0
#include "controlplane/resources/resource_directory.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/codec/resource.h"
#include "shared/wire/digest.h"

namespace weir::control::resources {
namespace {

namespace fs = std::filesystem;

bool IsResourceFile(const fs::directory_entry& entry) {
  const std::string extension = entry.path().extension().string();
  std::error_code ignored;
  return entry.is_regular_file(ignored) && entry.path().filename().string().front() != '.' &&
         (extension == ".yaml" || extension == ".yml" || extension == ".json");
}

Result<std::vector<std::string>> ListFiles(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    if (IsResourceFile(*at)) files.push_back(at->path().filename().string());
  }
  if (error) return Unavailable(fmt::format("cannot read {}: {}", directory, error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

// Written less than kSettleMs ago. A time far in the future says nothing.
bool IsUnsettled(const std::string& path, int64_t now_wall_ms) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return false;
  const int64_t written_ms =
      int64_t{found.st_mtim.tv_sec} * 1000 + found.st_mtim.tv_nsec / 1'000'000;
  return std::abs(now_wall_ms - written_ms) < ResourceDirectory::kSettleMs;
}

std::string Show(const codec::FileError& error) {
  std::string place = error.file;
  if (error.line > 0) place += fmt::format(":{}", error.line);
  if (!error.path.empty()) place += ": " + error.path;
  return place + ": " + error.message;
}

void Warn(const codec::FileContent& content) {
  for (const auto* list : {&content.warnings, &content.disabled}) {
    for (const codec::FileError& warning : *list) Log("resources").warn("{}", Show(warning));
  }
}

}  // namespace

const char* ResultName(FileOutcome::Result result) {
  switch (result) {
    case FileOutcome::Result::kApplied:
      return "applied";
    case FileOutcome::Result::kUnchanged:
      return "unchanged";
    case FileOutcome::Result::kRefused:
      return "refused";
    case FileOutcome::Result::kGone:
      return "gone";
  }
  return "unknown";
}

ResourceDirectory::ResourceDirectory(std::string directory, catalog::Catalog& catalog,
                                     const store::BlobStore& blobs)
    : directory_(std::move(directory)), catalog_(catalog), blobs_(blobs) {}

Result<std::vector<FileOutcome>> ResourceDirectory::Apply(
    std::optional<int64_t> changed_by_wall_ms, const std::set<std::string>& being_written) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(directory_));
  std::map<std::string, Known> before = std::exchange(known_, {});
  has_unsettled_ = false;
  std::vector<Candidate> candidates;
  std::vector<FileOutcome> outcomes;
  for (const std::string& file : files) {
    const auto last = before.find(file);
    auto text = ReadFile(directory_ + "/" + file);
    // Looked at after the reading: whoever writes meanwhile is noticed.
    const bool is_fresh =
        changed_by_wall_ms && IsUnsettled(directory_ + "/" + file, *changed_by_wall_ms);
    has_unsettled_ = has_unsettled_ || is_fresh;
    const bool is_unsettled = is_fresh || being_written.contains(file);
    if (is_unsettled && last == before.end()) continue;
    Known known;
    if (last != before.end()) known = last->second;
    const std::string sha256 = text.ok() ? wire::Sha256Hex(*text) : "";
    const bool is_same =
        is_unsettled || (changed_by_wall_ms && last != before.end() && known.sha256 == sha256);
    if (!is_unsettled) known.sha256 = sha256;
    FileOutcome& outcome = outcomes.emplace_back();
    outcome.file = file;
    outcome.errors = known.errors;
    if (is_same && known.errors.empty()) outcome.result = FileOutcome::Result::kUnchanged;
    outcome.is_tried = outcome.is_news = !is_same;
    candidates.push_back({std::move(text), !is_unsettled && (!is_same || known.lacks_files)});
    if (is_unsettled) candidates.back().text = Unavailable("it is being written");
    known_[file] = std::move(known);
  }
  Try(outcomes, candidates);
  for (FileOutcome& outcome : outcomes) {
    known_[outcome.file].errors = outcome.errors;
    const auto last = before.find(outcome.file);
    if (last == before.end()) continue;
    if (outcome.result == FileOutcome::Result::kRefused)
      outcome.is_news = last->second.errors != outcome.errors;
    before.erase(last);
  }
  for (const auto& [file, known] : before) {
    FileOutcome& outcome = outcomes.emplace_back();
    outcome.file = file;
    outcome.result = FileOutcome::Result::kGone;
  }
  return outcomes;
}

// Until nothing that is refused could fare better: what a file comes to depends on its text, the
// files beside it and what stands.
void ResourceDirectory::Try(std::vector<FileOutcome>& outcomes,
                            std::vector<Candidate>& candidates) {
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      FileOutcome& outcome = outcomes[i];
      Known& known = known_[outcome.file];
      if (outcome.result != FileOutcome::Result::kRefused) continue;
      if (!candidates[i].is_due &&
          (!candidates[i].text.ok() || known.tried_at == catalog_.revision()))
        continue;
      candidates[i].is_due = false;
      outcome.is_tried = outcome.is_news = true;
      known.tried_at = catalog_.revision();
      ApplyFile(candidates[i].text, known, outcome);
      again = again || outcome.result == FileOutcome::Result::kApplied;
    }
  }
}

void ResourceDirectory::ApplyFile(const Result<std::string>& text, Known& known,
                                  FileOutcome& outcome) {
  const std::string& file = outcome.file;
  std::vector<std::string>& errors = outcome.errors;
  errors.clear();
  known.lacks_files = false;
  if (!text.ok()) return errors.push_back(text.status().ToString());
  codec::FileContent content = codec::ReadResources(*text, file);
  for (const codec::FileError& error : content.errors) errors.push_back(Show(error));
  for (codec::ResourceDocument& document : content.documents) {
    const Status status = StoreBlobs(document);
    if (status.ok()) continue;
    known.lacks_files = true;
    errors.push_back(fmt::format("{}: {}", file, status.ToString()));
  }
  if (!errors.empty()) return;
  catalog::ApplyRequest request;
  request.documents = std::move(content.documents);
  request.source = "file:" + file;
  request.actor = request.source;
  request.reason = "applied from the resources directory";
  const auto result = catalog_.Apply(request);
  if (!result.ok())
    return errors.push_back(fmt::format("{}: {}", file, result.status().ToString()));
  Warn(content);
  for (const catalog::ChangeSummary& change : result->changes) {
    if (change.action != "unchanged") ++outcome.changed;
    for (const std::string& kept : change.kept) {
      Log("resources")
          .info("{}: {} {} keeps {}", file, domain::KindName(change.kind), change.name, kept);
    }
  }
  outcome.result =
      outcome.changed > 0 ? FileOutcome::Result::kApplied : FileOutcome::Result::kUnchanged;
}

Status ResourceDirectory::StoreBlobs(codec::ResourceDocument& document) {
  const auto versions = document.spec.find("versions");
  if (document.kind != domain::Kind::kModel || versions == document.spec.end()) return OkStatus();
  for (const auto& [name, version] : versions->items()) {
    if (version.contains("blob") || !version.contains("uri")) continue;
    const std::string uri = version["uri"].get<std::string>();
    const std::string field = fmt::format("{}: spec.versions.{}.uri", document.name, name);
    if (uri.find("://") != std::string::npos)
      return InvalidArgument(field, "\"" + uri + "\" is not a path beside the file");
    const fs::path path = uri.starts_with('/') ? fs::path(uri) : fs::path(directory_) / uri;
    const auto bytes = ReadFile(path.string());
    if (!bytes.ok()) return {bytes.status().code(), bytes.status().message(), field};
    const std::string sha256 = wire::Sha256Hex(*bytes);
    if (!blobs_.Has(sha256)) WEIR_RETURN_IF_ERROR(blobs_.Put(sha256, *bytes));
    version["blob"] = "sha256:" + sha256;
  }
  return OkStatus();
}

}  // namespace weir::control::resources
