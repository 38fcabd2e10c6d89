// SPDX-License-Identifier: Apache-2.0
#include "shared/http/answer_reader.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace weir::http::internal {

void AnswerReader::Begin(ClientResponse* response, bool head_only, size_t max_body,
                         const ResponseParser::OnData* on_data) {
  response_ = response;
  on_data_ = on_data;
  max_body_ = max_body;
  head_only_ = head_only;
  Renew();
}

void AnswerReader::Renew() {
  parser_.emplace(response_, on_data_);
  // (Not boost::none: Beast 1.74 takes that for a limit of nothing.)
  parser_->body_limit(on_data_ == nullptr ? max_body_ : std::numeric_limits<size_t>::max());
  parser_->skip(head_only_);
}

AnswerReader::State AnswerReader::Parse(InputBuffer* input) {
  while (!input->empty()) {
    beast::error_code ec;
    input->Consume(parser_->put({input->data(), input->size()}, ec));
    if (ec == beast::http::error::body_limit) {
      return Fail(fmt::format("the answer exceeds {} bytes", max_body_));
    }
    if (ec && ec != beast::http::error::need_more) {
      return Fail("not an HTTP answer: " + ec.message());
    }
    if (parser_->stopped()) return Finish();
    if (!parser_->is_done()) {
      if (ec) return State::kMore;
      continue;
    }
    if (response_->status / 100 != 1) return Finish();
    Renew();
  }
  return State::kMore;
}

AnswerReader::State AnswerReader::ParseEnd() {
  beast::error_code ignored;
  if (parser_->got_some()) parser_->put_eof(ignored);
  if (parser_->is_done() && response_->status / 100 != 1) return Finish();
  return Fail("the server closed the connection in the middle of its answer");
}

AnswerReader::State AnswerReader::Finish() {
  keep_alive_ = !parser_->stopped() && parser_->keep_alive() && !parser_->need_eof();
  return State::kDone;
}

AnswerReader::State AnswerReader::Fail(std::string reason) {
  reason_ = std::move(reason);
  return State::kFailed;
}

}  // namespace weir::http::internal
