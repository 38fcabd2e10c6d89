// SPDX-License-Identifier: Apache-2.0
// Answers: JSON, and RFC 9457 problem details for everything that is not a success.
#pragma once

#include <string>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/http/message.h"

namespace weir::control::api {

http::Response JsonResponse(const codec::Json& body, int status = 200);

// {type, title, status, detail, code, field?} and the members of `more`.
http::Response ProblemResponse(int http_status, const Status& error,
                               const codec::Json& more = codec::Json::object());

// InvalidArgument 400, NotFound 404, AlreadyExists and FailedPrecondition 409, ResourceExhausted
// 507, Unavailable 503, DataLoss and Internal 500.
http::Response ProblemResponse(const Status& error);

}  // namespace weir::control::api
