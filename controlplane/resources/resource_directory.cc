// SPDX-License-Identifier: Apache-2.0
#include "controlplane/resources/resource_directory.h"

#include <fmt/format.h>

#include <algorithm>
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

Result<std::vector<FileOutcome>> ResourceDirectory::Apply(bool all) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(directory_));
  std::map<std::string, Known> before = std::exchange(known_, {});
  std::vector<Result<std::string>> texts;
  std::vector<FileOutcome> outcomes;
  for (const std::string& file : files) {
    texts.push_back(ReadFile(directory_ + "/" + file));
    Known& known = known_[file];
    if (texts.back().ok()) known.sha256 = wire::Sha256Hex(*texts.back());
    const auto last = before.find(file);
    const bool stands = !all && last != before.end() && last->second.errors.empty() &&
                        last->second.sha256 == known.sha256;
    FileOutcome& outcome = outcomes.emplace_back();
    outcome.file = file;
    outcome.is_news = !stands;
    if (stands) outcome.result = FileOutcome::Result::kUnchanged;
  }
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      if (outcomes[i].result != FileOutcome::Result::kRefused) continue;
      ApplyFile(texts[i], outcomes[i]);
      again = again || outcomes[i].result != FileOutcome::Result::kRefused;
    }
  }
  for (FileOutcome& outcome : outcomes) {
    Known& known = known_[outcome.file];
    known.errors = outcome.errors;
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

void ResourceDirectory::ApplyFile(const Result<std::string>& text, FileOutcome& outcome) {
  const std::string& file = outcome.file;
  std::vector<std::string>& errors = outcome.errors;
  errors.clear();
  if (!text.ok()) return errors.push_back(text.status().ToString());
  codec::FileContent content = codec::ReadResources(*text, file);
  for (const codec::FileError& error : content.errors) errors.push_back(Show(error));
  for (codec::ResourceDocument& document : content.documents) {
    const Status status = StoreBlobs(document);
    if (!status.ok()) errors.push_back(fmt::format("{}: {}", file, status.ToString()));
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
