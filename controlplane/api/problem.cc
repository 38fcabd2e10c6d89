// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/problem.h"

#include <utility>

namespace weir::control::api {
namespace {

int HttpStatusOf(Code code) {
  switch (code) {
    case Code::kOk:
      return 200;
    case Code::kInvalidArgument:
      return 400;
    case Code::kNotFound:
      return 404;
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
      return 409;
    case Code::kResourceExhausted:
      return 507;
    case Code::kUnavailable:
      return 503;
    case Code::kDataLoss:
    case Code::kInternal:
      return 500;
  }
  return 500;
}

}  // namespace

http::Response JsonResponse(const codec::Json& body, int status) {
  http::Response response;
  response.status = status;
  // Names and reasons may hold bytes that are not UTF-8; they are shown, not fatal.
  response.body = body.dump(-1, ' ', false, codec::Json::error_handler_t::replace) + "\n";
  return response;
}

http::Response ProblemResponse(int http_status, const Status& error, const codec::Json& more) {
  codec::Json body = {{"type", "about:blank"},
                      {"title", http::ReasonPhrase(http_status)},
                      {"status", http_status},
                      {"detail", error.message()},
                      {"code", CodeName(error.code())}};
  if (!error.field().empty()) body["field"] = error.field();
  body.update(more);
  http::Response response = JsonResponse(body, http_status);
  response.content_type = "application/problem+json";
  return response;
}

http::Response ProblemResponse(const Status& error) {
  return ProblemResponse(HttpStatusOf(error.code()), error);
}

}  // namespace weir::control::api
