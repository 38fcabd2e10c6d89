// SPDX-License-Identifier: Apache-2.0
// Somebody's server that notices are posted to.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "shared/http/server.h"

namespace weir::fakes {

class Receiver {
 public:
  struct Post {
    std::string method;
    std::string target;
    std::string body;
    std::map<std::string, std::string> headers;  // those of X-Weir-…
    std::string content_type;
  };

  explicit Receiver(const std::string& listen = "127.0.0.1:0") {
    EXPECT_TRUE(
        server_
            .Start({.listen = listen},
                   [this](const std::shared_ptr<http::Exchange>& exchange) { Answer(exchange); })
            .ok());
  }
  std::string url() const { return "http://" + server_.address(); }
  std::vector<Post> posts() {
    const std::lock_guard lock(mutex_);
    return posts_;
  }
  // For those that come from now on.
  void AnswerWith(int status, std::string body = "") {
    const std::lock_guard lock(mutex_);
    status_ = status;
    body_ = std::move(body);
  }
  // Keeps them without an answer, until Stop.
  void Hang() { AnswerWith(0); }
  void Stop() { server_.Stop(); }

 private:
  void Answer(const std::shared_ptr<http::Exchange>& exchange) {
    const http::Request& request = exchange->request();
    Post post{std::string(request.method),
              std::string(request.target),
              std::string(request.body),
              {},
              std::string(request.Header("Content-Type"))};
    for (const char* name :
         {"X-Weir-Event", "X-Weir-Delivery", "X-Weir-Timestamp", "X-Weir-Signature"}) {
      if (const auto value = request.Header(name); !value.empty()) post.headers[name] = value;
    }
    int status = 0;
    std::string body;
    {
      const std::lock_guard lock(mutex_);
      posts_.push_back(std::move(post));
      status = status_;
      body = body_;
    }
    if (status == 0) {
      held_.push_back(exchange);
    } else {
      exchange->Respond(
          {.status = status, .headers = {}, .body = body, .content_type = "text/plain"});
    }
  }

  std::mutex mutex_;
  std::vector<Post> posts_;
  int status_ = 200;
  std::string body_;
  std::vector<std::shared_ptr<http::Exchange>> held_;
  http::Server server_;
};

}  // namespace weir::fakes
