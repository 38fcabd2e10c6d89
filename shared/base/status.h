// SPDX-License-Identifier: Apache-2.0
// Status says whether something worked; Result<T> is a value or the Status that explains its
// absence. No exception leaves a module: every fallible function of Weir returns one of these two.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

namespace weir {

enum class Code {
  kOk,
  kInvalidArgument,  // the caller's input is wrong; the message names path, value and what is
                     // allowed
  kNotFound,
  kAlreadyExists,
  kFailedPrecondition,  // right input at the wrong time (stale revision, rollout not running)
  kResourceExhausted,   // a limit, a full disk
  kUnavailable,         // try again later (peer away, database busy)
  kDataLoss,            // stored or received bytes are damaged
  kInternal,
};

// "invalid_argument" and the like, as shown in JSON and logs.
const char* CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  // `field` is the path of the offending field ("flags.a.rollout_percentage"), empty if there is
  // none.
  Status(Code code, std::string message, std::string field = "")
      : code_(code), message_(std::move(message)), field_(std::move(field)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& field() const { return field_; }
  // "field: message", or the message alone.
  std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
  std::string field_;
};

inline Status OkStatus() { return {}; }
inline Status InvalidArgument(std::string field, std::string message) {
  return {Code::kInvalidArgument, std::move(message), std::move(field)};
}
inline Status NotFound(std::string message) { return {Code::kNotFound, std::move(message)}; }
inline Status FailedPrecondition(std::string message) {
  return {Code::kFailedPrecondition, std::move(message)};
}
inline Status Unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
inline Status DataLoss(std::string message) { return {Code::kDataLoss, std::move(message)}; }
inline Status Internal(std::string message) { return {Code::kInternal, std::move(message)}; }

// Prints the place and aborts. For the programmer's mistakes only.
[[noreturn]] void CheckFailed(const char* file, int line, const char* what);
#define WEIR_CHECK(cond) \
  ((cond) ? static_cast<void>(0) : ::weir::CheckFailed(__FILE__, __LINE__, #cond))

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}        // NOLINT: implicit on purpose
  Result(Status status) : state_(std::move(status)) {  // NOLINT: implicit on purpose
    WEIR_CHECK(!std::get<Status>(state_).ok());
  }

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }
  T& value() & { return Get(); }
  const T& value() const& { return const_cast<Result*>(this)->Get(); }
  T&& value() && { return std::move(Get()); }
  T& operator*() & { return Get(); }
  const T& operator*() const& { return value(); }
  // By value, so that `for (auto& x : *Compute())` does not look at what is gone.
  T operator*() && { return std::move(Get()); }
  T* operator->() { return &Get(); }
  const T* operator->() const { return &value(); }

 private:
  T& Get() {
    if (!ok()) CheckFailed(__FILE__, __LINE__, std::get<Status>(state_).ToString().c_str());
    return std::get<0>(state_);
  }
  std::variant<T, Status> state_;
};

#define WEIR_RETURN_IF_ERROR(expr)                                      \
  do {                                                                  \
    if (::weir::Status weir_s_ = (expr); !weir_s_.ok()) return weir_s_; \
  } while (false)

#define WEIR_CONCAT_INNER(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_INNER(a, b)
// WEIR_ASSIGN_OR_RETURN(auto x, Compute());
#define WEIR_ASSIGN_OR_RETURN(lhs, expr) WEIR_ASSIGN_IMPL(WEIR_CONCAT(weir_r_, __LINE__), lhs, expr)
#define WEIR_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                     \
  if (!tmp.ok()) return tmp.status();    \
  lhs = *std::move(tmp)

}  // namespace weir
