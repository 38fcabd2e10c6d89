// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/address.h"

#include <gtest/gtest.h>

namespace weir::transport {
namespace {

TEST(Address, TakesEveryFormPeopleWrite) {
  EXPECT_EQ(*ZmqAddress("127.0.0.1:7081"), "tcp://127.0.0.1:7081");
  EXPECT_EQ(*ZmqAddress("tcp://10.0.0.7:0"), "tcp://10.0.0.7:0");
  EXPECT_EQ(*ZmqAddress("localhost:7081"), "tcp://127.0.0.1:7081");
  EXPECT_EQ(*ZmqAddress("*:7081"), "tcp://*:7081");
  EXPECT_EQ(*ZmqAddress("tcp://[::1]:7081"), "tcp://[::1]:7081");
  EXPECT_EQ(*ZmqAddress("control.example:7081"), "tcp://control.example:7081");
  EXPECT_EQ(*ZmqAddress("ipc:///run/weir/cfg"), "ipc:///run/weir/cfg");
}

TEST(Address, RefusesTheRestAndSaysWhy) {
  for (const std::string& wrong :
       {std::string(""), std::string("7081"), std::string(":7081"), std::string("host:"),
        std::string("host:70810"), std::string("host:-1"), std::string("host:80x"),
        std::string("::1:7081"), std::string("a b:1"), std::string("http://host:1"),
        std::string("inproc://x"), std::string("ipc://"), "ipc://" + std::string(108, 'a'),
        std::string("tcp://host:1/path")}) {
    const auto address = ZmqAddress(wrong);
    ASSERT_FALSE(address.ok()) << wrong;
    EXPECT_EQ(address.status().code(), Code::kInvalidArgument);
    EXPECT_NE(address.status().message().find("\"" + wrong + "\""), std::string::npos);
  }
}

}  // namespace
}  // namespace weir::transport
