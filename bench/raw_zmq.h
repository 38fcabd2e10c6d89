// SPDX-License-Identifier: Apache-2.0
// libzmq as anybody would use it, with CURVE and nothing of Weir around it: what the wire is
// measured against.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "shared/base/status.h"

namespace weir::bench {

// One XPUB and one ROUTER in the caller's thread; as many pairs of SUB and DEALER in another, each
// of which answers every publication with `reply_bytes` on its DEALER.
class RawFanOut {
 public:
  // Returns when every pair is connected.
  static Result<std::unique_ptr<RawFanOut>> Open(size_t count, size_t reply_bytes);
  ~RawFanOut();

  struct Times {
    double received_ms = 0;  // until the last subscriber had it
    double replied_ms = 0;   // until the last reply was here
  };
  Result<Times> Publish(const std::string& bytes);

 private:
  RawFanOut();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A PULL socket, and a thread that receives from it and decodes each batch and does nothing else.
class RawPull {
 public:
  static Result<std::unique_ptr<RawPull>> Open();
  ~RawPull();
  std::string address() const;
  std::string public_key() const;  // Z85, of the server
  uint64_t decoded() const;

 private:
  RawPull();
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace weir::bench
