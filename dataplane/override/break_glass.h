// SPDX-License-Identifier: Apache-2.0
// Break-glass: /weir/v1/override of the admin address, for operators who cannot wait for the
// control plane. GET shows what is forced, POST forces (Change in forced.h), DELETE takes back all
// that is forced by hand. Only with `Authorization: Bearer <break_glass_token>`; a node without
// that setting answers 403. X-Weir-Actor says who; the address it came from is always noted.
//
// POST and DELETE answer once every worker decides by it:
//   {applied: true, took_ms, kept: whether a restart will find it, overrides: [sentence, …]}
#pragma once

#include <functional>
#include <string>

#include "dataplane/override/layer.h"
#include "shared/http/message.h"

namespace weir::node::override {

class BreakGlass {
 public:
  // `layer` outlives it. `token` "": not enabled.
  BreakGlass(Layer& layer, std::string token) : layer_(layer), token_(std::move(token)) {}

  // Any thread. `respond` is called once, here or on the layer's thread; `request` is not looked at
  // after the return.
  void Handle(const http::Request& request, std::function<void(http::Response)> respond);

 private:
  Layer& layer_;
  const std::string token_;
};

}  // namespace weir::node::override
