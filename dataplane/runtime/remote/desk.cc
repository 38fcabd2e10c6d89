// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/remote/desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <tuple>
#include <utility>

namespace weir::node::runtime::remote {
namespace {

constexpr size_t kMaxWaiting = 1024;      // calls of one worker without a connection to a url
constexpr size_t kMaxClientHeader = 256;  // bytes; longer text of a client is left out
// Triton's answer has tensors outside the JSON when a request asks for that.
constexpr std::string_view kBinary = "Inference-Header-Content-Length";

int64_t DeadlineOf(const domain::VersionEntry& entry, int64_t now_ns, int64_t deadline_ns) {
  if (entry.timeout_ms <= 0) return deadline_ns;
  return std::min(deadline_ns, now_ns + entry.timeout_ms * 1'000'000);
}

// What comes from a client may hold anything.
bool FitsHeader(std::string_view value) {
  return !value.empty() && std::none_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

// One that is full says so (503): leaving it out would fill the others. Of what is the client's
// fault it is not to blame.
breaker::Outcome OutcomeOf(int status) {
  if (status < 400) return breaker::Outcome::kGood;
  return status >= 500 && status != 503 ? breaker::Outcome::kBad : breaker::Outcome::kNothing;
}

// As the answer says, but not later than it came; else when its first byte was there.
int64_t FirstTokenNs(const http::UpstreamAnswer& answered, const JsonAnswer& answer,
                     int64_t now_ns) {
  if (!answer.first_token_ms.has_value()) return answered.body_ns;
  const auto took_ns = static_cast<double>(now_ns - answered.sent_ns);
  return answered.sent_ns + static_cast<int64_t>(std::min(*answer.first_token_ms * 1e6, took_ns));
}

std::vector<http::Header> HeadersOf(const Request& request) {
  std::vector<http::Header> headers = {{"Content-Type", "application/json"}};
  if (FitsHeader(request.flags)) headers.push_back({"x-weir-flags", std::string(request.flags)});
  const std::pair<const char*, std::string_view> passed[] = {{"traceparent", request.traceparent},
                                                             {"x-user-id", request.key},
                                                             {"x-request-id", request.request_id}};
  for (const auto& [name, value] : passed) {
    if (value.size() > kMaxClientHeader) continue;
    if (FitsHeader(value)) headers.push_back({name, std::string(value)});
  }
  return headers;
}

}  // namespace

// One request, however often it is sent. Held by the upstream that carries it, and so never holds
// what holds that.
class Desk::Call : public std::enable_shared_from_this<Call> {
 public:
  // `deadline_ns` is the caller's.
  Call(Desk& desk, const Request& request, int64_t now_ns, int64_t deadline_ns, Sink& sink)
      : desk_(desk.weak_from_this()),
        service_(desk.service_),
        request_(request),
        deadline_ns_(DeadlineOf(service_->entry, now_ns, deadline_ns)),
        is_hasty_(deadline_ns_ == deadline_ns),
        sink_(&sink),
        tried_(service_->places().size()) {}
  ~Call() { EndProbe(breaker::Outcome::kNothing, 0); }

  void Start(Desk& desk, std::stop_token stop) {
    // Of a body whose tensors were checked nothing else goes to the service.
    is_checked_ = !request_.inputs.empty() && service_->declares_inputs;
    if (!request_.is_predict && (is_checked_ || request_.body.empty())) {
      written_ = WriteOip(request_);
    }
    on_stop_.emplace(std::move(stop), [this] { Cancel(); });
    if (const auto choice = desk.Choose(tried_)) return Send(desk, *choice);
    End({Code::kResourceExhausted, fmt::format("{} connections are busy and {} calls wait for one",
                                               service_->entry.max_connections, kMaxWaiting)});
  }

 private:
  void Send(Desk& desk, Choice choice);
  void OnAnswer(http::UpstreamAnswer answer);
  void Retry(Desk& desk, const http::UpstreamAnswer& answer);
  void Read(Desk& desk, http::UpstreamAnswer answer);
  Status Refusal(const http::ClientResponse& response) const;
  void EndProbe(breaker::Outcome outcome, int64_t now_ns);
  void Cancel();
  void End(const Status& status, const Usage& usage = {});
  Place& place() const { return *service_->places()[asked_]; }

  const std::weak_ptr<Desk> desk_;
  const std::shared_ptr<Service> service_;
  const Request& request_;  // until End
  const int64_t deadline_ns_;
  const bool is_hasty_;  // the version's own time-out is none, or later
  Sink* sink_;           // null once it has ended
  bool is_checked_ = false;
  std::string written_;
  std::vector<bool> tried_;
  int sent_ = 0;
  int broken_ = 0;  // of them, those that got as far as the service
  size_t asked_ = 0;
  bool is_probe_ = false;  // the call that is under way there
  bool has_say_ = false;   // no probe, and the place was not out
  uint32_t ejections_ = 0;
  uint64_t number_ = 0;  // there
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

void Desk::Call::Send(Desk& desk, Choice choice) {
  asked_ = choice.place;
  is_probe_ = choice.is_probe;
  has_say_ = !place().IsOut();
  ejections_ = place().ejections();
  tried_[asked_] = true;
  const Result<http::Upstream*> upstream = desk.UpstreamTo(asked_);
  if (!upstream.ok()) return End(Internal(upstream.status().ToString()));
  ++sent_;
  http::UpstreamCall call;
  call.target = service_->target;
  call.headers = HeadersOf(request_);
  call.body = written_.empty() ? std::string(request_.body) : written_;
  call.deadline_ns = deadline_ns_;
  number_ =
      (*upstream)->Send(std::move(call), [self = shared_from_this()](http::UpstreamAnswer answer) {
        self->OnAnswer(std::move(answer));
      });
}

void Desk::Call::OnAnswer(http::UpstreamAnswer answer) {
  const std::shared_ptr<Desk> desk = desk_.lock();
  if (desk == nullptr) return;
  if (!answer.response.ok()) return Retry(*desk, answer);
  place().Answered();
  const breaker::Outcome outcome = OutcomeOf(answer.response->status);
  const int64_t now_ns = desk->clock_.MonotonicNs();
  if (is_probe_) {
    const bool is_full = outcome == breaker::Outcome::kNothing && answer.response->status >= 500;
    EndProbe(is_full ? breaker::Outcome::kBad : outcome, now_ns);
  } else if (has_say_ && ejections_ == place().ejections()) {
    // What an ejected one was asked for before, or for want of another, has no say.
    desk->Note(asked_, outcome, request_.key_hash, now_ns);
  }
  Read(*desk, std::move(answer));
}

// A request that breaks the connection twice may be what breaks the service: it is not sent to the
// next one.
void Desk::Call::Retry(Desk& desk, const http::UpstreamAnswer& answer) {
  const Status status = answer.response.status();
  const Usage usage{.is_late = answer.is_late, .unreached = answer.no_connection};
  if (answer.is_late) {
    // Clients must not keep a url out by having no time.
    EndProbe(is_hasty_ ? breaker::Outcome::kNothing : breaker::Outcome::kBad,
             desk.clock_.MonotonicNs());
    return End(status, usage);
  }
  if (status.code() != Code::kUnavailable) return End(Internal(status.ToString()));
  const int64_t now_ns = desk.clock_.MonotonicNs();
  EndProbe(breaker::Outcome::kUnreached, now_ns);
  place().SetAside(now_ns + service_->options.aside_ms * 1'000'000);
  if (answer.got_bytes) return End(Internal(status.message()));
  if (!answer.no_connection && ++broken_ == 2) return End(status, usage);
  if (tried_.size() == 1 && sent_ == 1) tried_[0] = false;  // once more
  const std::optional<Choice> next = desk.Choose(tried_);
  if (!next.has_value()) return End(status, usage);
  Send(desk, *next);
}

void Desk::Call::Read(Desk& desk, http::UpstreamAnswer answered) {
  http::ClientResponse& response = *answered.response;
  if (response.status / 100 != 2) return End(Refusal(response));
  if (!response.Header(kBinary).empty()) {
    return End(InvalidArgument("outputs", "binary tensors are not passed on: ask for JSON"));
  }
  const bool is_oip = service_->protocol == Protocol::kOip;
  JsonAnswer answer;
  const Status read = is_oip ? desk.reader_.ReadOip(response.body, &answer)
                             : desk.reader_.ReadPredict(response.body, &answer);
  if (!read.ok()) {
    return End(Internal(fmt::format("{} answered {}: {}: {}", place().name(), response.status,
                                    read.message(), Excerpt(response.body))));
  }
  on_stop_.reset();
  sink_->OnHead();
  sink_->OnJson(answer);
  End(OkStatus(), {.tokens = answer.tokens,
                   .first_token_ns = FirstTokenNs(answered, answer, desk.clock_.MonotonicNs())});
}

// Whose fault it is. What a declared input lets through, a version has to take; but nobody knows
// which outputs it has.
Status Desk::Call::Refusal(const http::ClientResponse& response) const {
  std::string text =
      fmt::format("{} answered {}: {}", place().name(), response.status, Excerpt(response.body));
  const bool blames_client =
      response.status == 400 || response.status == 413 || response.status == 422;
  const bool may_blame = !is_checked_ || !request_.outputs.empty();
  if (blames_client && may_blame) return InvalidArgument("", std::move(text));
  if (response.status == 429) return {Code::kResourceExhausted, std::move(text)};
  return Internal(std::move(text));
}

void Desk::Call::EndProbe(breaker::Outcome outcome, int64_t now_ns) {
  if (std::exchange(is_probe_, false)) service_->EndProbe(place(), outcome, now_ns);
}

void Desk::Call::Cancel() {
  const auto keep = shared_from_this();
  if (const std::shared_ptr<Desk> desk = desk_.lock()) desk->upstreams_[asked_]->Cancel(number_);
  End(Unavailable("cancelled"));
}

// Nothing of the request is touched afterwards.
void Desk::Call::End(const Status& status, const Usage& usage) {
  on_stop_.reset();
  Sink* sink = std::exchange(sink_, nullptr);
  sink->OnEnd(status, usage);
}

Desk::Desk(std::shared_ptr<Service> service, Executor& worker, const Clock& clock)
    : service_(std::move(service)),
      worker_(worker),
      clock_(clock),
      upstreams_(service_->places().size()),
      answers_(service_->places().size()) {}

void Desk::Start(const Request& request, int64_t deadline_ns, std::stop_token stop, Sink& sink) {
  const int64_t now_ns = clock_.MonotonicNs();
  if (stop.stop_requested()) return sink.OnEnd(Unavailable("cancelled"), {});
  if (now_ns > deadline_ns) {
    return sink.OnEnd(Unavailable("the deadline has passed"), {.is_late = true});
  }
  if (request.is_predict != (service_->protocol == Protocol::kPredict)) {
    return sink.OnEnd(
        InvalidArgument("", fmt::format("{} is asked by POST /{}", service_->name,
                                        request.is_predict ? "v2/models/…/infer" : "predict/…")),
        {});
  }
  const auto call = std::make_shared<Call>(*this, request, now_ns, deadline_ns, sink);
  call->Start(*this, std::move(stop));
}

size_t Desk::Busy(size_t place) const {
  return upstreams_[place] == nullptr ? 0 : upstreams_[place]->busy();
}

std::optional<Desk::Choice> Desk::Choose(const std::vector<bool>& tried) {
  const auto& places = service_->places();
  const size_t room = service_->entry.max_connections + kMaxWaiting;
  ++turn_;
  while (true) {
    const int64_t now_ns = clock_.MonotonicNs();
    std::optional<size_t> best;
    std::tuple<int, int64_t, size_t> best_rank;  // 0: healthy, 1: answers badly, 2: does not
    for (size_t i = 0; i < places.size(); ++i) {
      const size_t at = (turn_ + i) % places.size();
      const size_t busy = Busy(at);
      if (tried[at] || busy >= room) continue;
      const int64_t aside_ns = std::max(places[at]->aside_until_ns(), places[at]->out_until_ns());
      const bool is_healthy = places[at]->IsWell() && aside_ns <= now_ns;
      const bool answers = places[at]->IsWell() && places[at]->aside_until_ns() <= now_ns;
      const std::tuple rank(is_healthy ? 0 : answers ? 1 : 2, is_healthy ? 0 : aside_ns, busy);
      if (best.has_value() && !(rank < best_rank)) continue;
      best = at;
      best_rank = rank;
    }
    if (!best.has_value()) return std::nullopt;
    if (std::get<0>(best_rank) != 0) return Choice{.place = *best};
    Place& place = *places[*best];
    const int64_t aside_ns = place.aside_until_ns();
    const int64_t next_ns = now_ns + service_->options.aside_ms * 1'000'000;
    // Where another worker tries this one, it is left alone again, or it answers calls by now: look
    // once more.
    if (aside_ns != 0 && !place.TakeProbe(aside_ns, next_ns)) continue;
    if (!place.IsOut()) return Choice{.place = *best};
    if (service_->BeginProbe(place, now_ns)) return Choice{.place = *best, .is_probe = true};
  }
}

void Desk::Note(size_t place, breaker::Outcome outcome, uint32_t key_hash, int64_t now_ns) {
  Place& asked = *service_->places()[place];
  if (outcome == breaker::Outcome::kNothing) return;
  const bool is_bad = outcome == breaker::Outcome::kBad;
  Answers& answers = answers_[place];
  if (answers.ejections != asked.ejections()) answers = {asked.ejections(), {}};
  answers.window.Record(is_bad, key_hash, now_ns / 1'000'000);
  service_->Note(asked, is_bad, key_hash, now_ns);
  if (!is_bad) return;
  if (const auto why = answers.window.WhyBad(now_ns / 1'000'000)) {
    answers.window = {};  // where it must stay, it is asked of the next answers again
    service_->Eject(asked, *why, now_ns);
  }
}

Result<http::Upstream*> Desk::UpstreamTo(size_t place) {
  std::shared_ptr<http::Upstream>& upstream = upstreams_[place];
  if (upstream == nullptr) {
    http::UpstreamOptions options;
    options.url = service_->places()[place]->url();
    options.max_connections = service_->entry.max_connections;
    options.max_waiting = kMaxWaiting;
    options.connect_timeout_ms = service_->options.connect_timeout_ms;
    WEIR_ASSIGN_OR_RETURN(upstream, http::Upstream::Create(worker_, std::move(options)));
  }
  return upstream.get();
}

}  // namespace weir::node::runtime::remote
