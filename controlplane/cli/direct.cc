// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/direct.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <system_error>
#include <thread>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/http/client.h"

namespace weir::control::cli {
namespace {

constexpr size_t kMaxThreads = 64;

std::string Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

// "host:port" with a port of 1..65535, with or without "http://" or "https://" before it.
bool IsAddress(std::string_view text) {
  if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else if (text.starts_with("https://")) {
    text.remove_prefix(8);
  }
  if (text.ends_with('/')) text.remove_suffix(1);
  const size_t colon = text.rfind(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc() && end == digits.data() + digits.size() && port != 0 &&
         text.find_first_of(" \t/") == std::string_view::npos;
}

// What a refusal says for itself.
std::string Reason(const http::ClientResponse& response) {
  const Result<codec::Json> json = codec::ParseJson(response.body);
  if (json.ok() && json->is_object()) {
    for (const char* field : {"detail", "error", "title"}) {
      if (json->contains(field) && (*json)[field].is_string())
        return fmt::format("{} {}", response.status, (*json)[field].get<std::string>());
    }
  }
  return fmt::format("{} {}", response.status, response.body.substr(0, 120));
}

DirectAnswer Override(const std::string& node, const std::string& body, const BreakGlass& who) {
  const int64_t begin_ms = Clock::System().MonotonicMs();
  http::ClientOptions options;
  options.timeout_ms = who.timeout_ms;
  options.bearer_token = who.token;
  options.ca_file = who.ca_file;
  http::Client client(node, options);
  const auto response =
      client.Do("POST", "/weir/v1/override",
                {{"Content-Type", "application/json"}, {"X-Weir-Actor", who.actor}}, body);
  DirectAnswer answer{node, "applied", "", Clock::System().MonotonicMs() - begin_ms};
  if (!response.ok()) {
    answer.state = "unreachable";
    answer.detail = response.status().message();
  } else if (response->status >= 300) {
    answer.state = "refused";
    answer.detail = Reason(*response);
  }
  return answer;
}

DirectAnswer NoAddress(const std::string& node) {
  return {node, "unreachable", "is not host:port or http://host:port of a node's admin address", 0};
}

}  // namespace

Result<std::vector<std::string>> ReadNodeAddresses(std::string_view text, const std::string& file) {
  std::vector<std::string> nodes;
  for (const std::string& raw : Split(text, '\n')) {
    const std::string address = Trim(std::string_view(raw).substr(0, raw.find('#')));
    if (!address.empty()) nodes.push_back(address);
  }
  if (nodes.empty()) return InvalidArgument(file, "names no node; one host:port per line");
  return nodes;
}

std::vector<DirectAnswer> OverrideDirectly(const std::vector<std::string>& nodes,
                                           const codec::Json& body, const BreakGlass& who) {
  const std::string text = body.dump();
  std::vector<DirectAnswer> answers(nodes.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next.fetch_add(1); i < nodes.size(); i = next.fetch_add(1))
      answers[i] = IsAddress(nodes[i]) ? Override(nodes[i], text, who) : NoAddress(nodes[i]);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(nodes.size(), kMaxThreads); ++i) {
    try {
      threads.emplace_back(work);
    } catch (const std::system_error&) {
      break;  // a limit of the machine: those that run do it all
    }
  }
  work();
  for (std::thread& thread : threads) thread.join();
  return answers;
}

}  // namespace weir::control::cli
