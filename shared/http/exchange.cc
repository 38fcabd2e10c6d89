// SPDX-License-Identifier: Apache-2.0
#include "shared/http/session.h"

namespace weir::http {

Exchange::Exchange(internal::Session* session)
    : session_(session), worker_(session->worker_index()) {}

// A session may end inside each of these; `keep` lets it end after the call.
void Exchange::Respond(Response response) {
  if (session_ == nullptr) return;
  const auto keep = session_->shared_from_this();
  WEIR_CHECK(keep->OnWorker());
  keep->Respond(std::move(response));
}

void Exchange::StartStream(const Response& head) {
  if (session_ == nullptr) return;
  WEIR_CHECK(session_->OnWorker());
  session_->StartStream(head);
}

void Exchange::Write(std::string_view chunk) {
  if (session_ == nullptr) return;
  const auto keep = session_->shared_from_this();
  WEIR_CHECK(keep->OnWorker());
  keep->Write(chunk);
}

void Exchange::End() {
  if (session_ == nullptr) return;
  const auto keep = session_->shared_from_this();
  WEIR_CHECK(keep->OnWorker());
  keep->End();
}

void Exchange::StopCounting() {
  if (session_ == nullptr) return;
  WEIR_CHECK(session_->OnWorker());
  session_->StopCounting();
}

void Exchange::OnClose(std::function<void()> callback) {
  if (session_ == nullptr) {
    if (cut_off_) callback();
    return;
  }
  on_close_.push_back(std::move(callback));
  const auto keep = session_->shared_from_this();
  if (keep->peer_ended()) keep->Close();
}

}  // namespace weir::http
