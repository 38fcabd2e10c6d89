// SPDX-License-Identifier: Apache-2.0
// The rules of models and their versions.
#include <fmt/format.h>

#include <set>

#include "shared/base/clock.h"
#include "shared/domain/checker.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxVersions = 64;
constexpr size_t kMaxUrls = 16;
constexpr size_t kMaxFlags = 64;
constexpr uint64_t kMostConnections = 4096;
constexpr int64_t kLongestCallMs = 600'000;

const std::vector<std::string> kDatatypes = {"BOOL",  "UINT8", "UINT16", "UINT32", "UINT64", "INT8",
                                             "INT16", "INT32", "INT64",  "FP32",   "FP64"};

void CheckFile(Checker& c, const std::string& path, const VersionSpec& version) {
  if (version.blob.empty()) {
    c.Fail(path + ".blob",
           "is missing; `weir model push` sets it, or give a uri in an applied file");
  } else if (version.blob.size() != 71 || version.blob.rfind("sha256:", 0) != 0 ||
             !FromHex(version.blob.substr(7)).ok()) {
    c.Fail(path + ".blob", fmt::format("\"{}\" is not sha256: and 64 hex digits", version.blob));
  }
  const std::pair<const char*, bool> given[] = {{"url", !version.url.empty()},
                                                {"urls", !version.urls.empty()},
                                                {"remote_model", !version.remote_model.empty()},
                                                {"remote_version", !version.remote_version.empty()},
                                                {"timeout", version.timeout.ms != 0},
                                                {"health", !version.health.empty()},
                                                {"max_connections", version.max_connections != 0}};
  for (const auto& [name, is_given] : given) {
    if (is_given) {
      c.Fail(fmt::format("{}.{}", path, name),
             "is for services; give runtime: oip (Open Inference Protocol) or predict");
    }
  }
}

void CheckService(Checker& c, const std::string& path, const VersionSpec& version) {
  if (!version.blob.empty() || !version.uri.empty()) {
    c.Fail(path + (version.blob.empty() ? ".uri" : ".blob"),
           fmt::format("is for files; a version with runtime {} has a url", version.runtime));
  }
  if (version.url.empty() == version.urls.empty()) {
    c.Fail(path + ".url", version.url.empty() ? "is missing; give url, or urls to balance"
                                              : "and urls are both given; give one of them");
  }
  if (!version.url.empty()) CheckUrl(c, path + ".url", version.url);
  c.Count(path + ".urls", version.urls.size(), kMaxUrls);
  std::set<std::string> seen;
  for (size_t i = 0; i < version.urls.size(); ++i) {
    const std::string at = fmt::format("{}.urls[{}]", path, i);
    CheckUrl(c, at, version.urls[i]);
    if (!seen.insert(version.urls[i]).second) c.Fail(at, "is given twice");
  }
  if (version.timeout.ms > kLongestCallMs) c.Fail(path + ".timeout", "is longer than 10m");
  if (!version.health.empty() && version.health[0] != '/')
    c.Fail(path + ".health", fmt::format("\"{}\" is not a path such as /health", version.health));
  if (version.max_connections > kMostConnections)
    c.Fail(path + ".max_connections", fmt::format("is above {}", kMostConnections));
  for (const auto& [name, text] : {std::pair("remote_model", version.remote_model),
                                   std::pair("remote_version", version.remote_version)}) {
    if (text.size() > 256) c.Fail(fmt::format("{}.{}", path, name), "is longer than 256 bytes");
  }
}

void CheckFault(Checker& c, const std::string& path, const Fault& fault) {
  c.Ratio(path + ".error_rate", fault.error_rate);
  if (fault.delay.ms > 60'000) c.Fail(path + ".delay", "is longer than 60s");
  if (const auto time = ParseTimeMs(fault.expires); !time.ok()) {
    c.Fail(path + ".expires", fault.expires.empty()
                                  ? "is missing; a rehearsal must end: give a duration or a time"
                                  : time.status().message());
  }
}

void CheckVersion(Checker& c, const std::string& path, const VersionSpec& version) {
  c.OneOf(path + ".runtime", version.runtime, {"xgboost", "oip", "predict"});
  if (version.runtime == "oip" || version.runtime == "predict") {
    CheckService(c, path, version);
  } else {
    CheckFile(c, path, version);
  }
  if (version.fault.has_value()) CheckFault(c, path + ".fault", *version.fault);
}

void CheckInputs(Checker& c, const std::vector<TensorSpec>& inputs) {
  std::set<std::string> seen;
  c.Count("spec.inputs", inputs.size(), 64);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& input = inputs[i];
    const std::string path = fmt::format("spec.inputs[{}]", i);
    if (input.name.empty() || !seen.insert(input.name).second) {
      c.Fail(path + ".name", fmt::format("\"{}\" is empty or repeated", input.name));
    }
    c.OneOf(path + ".datatype", input.datatype, kDatatypes);
    for (const int64_t dimension : input.shape) {
      if (dimension < -1 || dimension == 0) {
        c.Fail(path + ".shape", fmt::format("{} is neither positive nor -1 (any)", dimension));
      }
    }
  }
}

}  // namespace

void Check(Checker& c, const ModelSpec& spec) {
  c.Count("spec.versions", spec.versions.size(), kMaxVersions);
  std::vector<std::string> names;
  for (const auto& [name, version] : spec.versions) names.push_back(name);
  for (const auto& [name, version] : spec.versions) {
    const std::string path = fmt::format("spec.versions.{}", name);
    if (!IsResourceName(name)) c.Fail(path, "is not a version name (letters, digits, . _ -)");
    CheckVersion(c, path, version);
  }
  if (!spec.stable.empty()) c.OneOf("spec.stable", spec.stable, names);
  if (!spec.pinned.empty()) c.OneOf("spec.pinned", spec.pinned, names);
  CheckInputs(c, spec.inputs);
  c.Count("spec.flags", spec.flags.size(), kMaxFlags);
  const std::set<std::string> flags(spec.flags.begin(), spec.flags.end());
  if (flags.size() != spec.flags.size()) c.Fail("spec.flags", "names a flag twice");
}

void CheckModelReferences(Checker& c, const Resource& model, const Lookup& find,
                          const ForEach& for_each) {
  CheckFlagsExist(c, "spec.flags", model.As<ModelSpec>().flags, find, for_each);
}

void CheckFlagsExist(Checker& c, const std::string& path, const std::vector<std::string>& flags,
                     const Lookup& find, const ForEach& for_each) {
  for (const std::string& flag : flags) {
    if (find(Kind::kFlag, flag) != nullptr) continue;
    std::vector<std::string> names;
    for_each(Kind::kFlag, [&](const Resource& other) { names.push_back(other.name); });
    c.Fail(path, fmt::format("flag \"{}\" does not exist{}", flag, DidYouMean(flag, names)));
  }
}

}  // namespace weir::domain
