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

}  // namespace

ResourceDirectory::ResourceDirectory(std::string directory, catalog::Catalog& catalog,
                                     const store::BlobStore& blobs)
    : directory_(std::move(directory)), catalog_(catalog), blobs_(blobs) {}

Result<std::vector<FileOutcome>> ResourceDirectory::Apply() {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(directory_));
  std::vector<FileOutcome> outcomes;
  for (const std::string& file : files) outcomes.push_back({file, {"not tried yet"}});
  for (bool again = true; again;) {
    again = false;
    bool is_any_refused = false;
    for (FileOutcome& outcome : outcomes) {
      if (outcome.errors.empty()) continue;
      outcome.errors = ApplyFile(outcome.file);
      again = again || outcome.errors.empty();
      is_any_refused = is_any_refused || !outcome.errors.empty();
    }
    again = again && is_any_refused;
  }
  return outcomes;
}

std::vector<std::string> ResourceDirectory::ApplyFile(const std::string& file) {
  const auto text = ReadFile(directory_ + "/" + file);
  if (!text.ok()) return {text.status().ToString()};
  codec::FileContent content = codec::ReadResources(*text, file);
  std::vector<std::string> errors;
  for (const codec::FileError& error : content.errors) errors.push_back(Show(error));
  for (codec::ResourceDocument& document : content.documents) {
    const Status status = StoreBlobs(document);
    if (!status.ok()) errors.push_back(fmt::format("{}: {}", file, status.ToString()));
  }
  if (!errors.empty()) return errors;
  for (const codec::FileError& warning : content.warnings) {
    Log("resources").warn("{}", Show(warning));
  }
  catalog::ApplyRequest request;
  request.documents = std::move(content.documents);
  request.source = "file:" + file;
  request.actor = request.source;
  request.reason = "applied from the resources directory";
  const auto result = catalog_.Apply(request);
  if (!result.ok()) return {fmt::format("{}: {}", file, result.status().ToString())};
  return {};
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
