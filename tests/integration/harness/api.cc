// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/api.h"

#include <ostream>

#include "tests/integration/harness/wait.h"

namespace weir::integration {

std::string Answer::Header(std::string_view name) const {
  return std::string(http::FindHeader(headers, name));
}

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << answer.status << " " << answer.text;
}

Answer Api::Call(const std::string& method, const std::string& target, const std::string& body,
                 std::vector<http::Header> headers) const {
  http::ClientOptions options;
  options.timeout_ms = 10'000 * kSlowness;
  http::Client client("http://" + address_, options);
  headers.push_back({"X-Weir-Actor", actor_});
  const Result<http::ClientResponse> response = client.Do(method, target, headers, body);
  Answer answer;
  if (!response.ok()) {
    answer.text = response.status().ToString();
    return answer;
  }
  answer.status = response->status;
  answer.text = response->body;
  answer.headers = response->headers;
  if (const Result<Json> json = codec::ParseJson(response->body); json.ok()) answer.json = *json;
  return answer;
}

}  // namespace weir::integration
