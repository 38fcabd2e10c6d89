// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/send.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "controlplane/notify/signature.h"
#include "shared/base/text.h"
#include "tests/fakes/receiver.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::notify {
namespace {

using fakes::Receiver;

using Result = Sent::Result;

const Notice kNotice{"7-12", "rollout", 0, {{"rollout", "r"}, {"to", "promoted"}}};

// RFC 4231, section 4: test cases 1, 2, 3, 6 and 7.
TEST(Signature, IsTheOneOfTheRfc) {
  EXPECT_EQ(HmacSha256Hex(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HmacSha256Hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(HmacSha256Hex(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(HmacSha256Hex(std::string(131, '\xaa'),
                          "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(HmacSha256Hex(std::string(131, '\xaa'),
                          "This is a test using a larger than block-size key and a larger than "
                          "block-size data. The key needs to be hashed before being used by the "
                          "HMAC algorithm."),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(Send, PostsWithHeadersThatNameTheEvent) {
  Receiver receiver;
  const Sent sent = Send({.url = receiver.url() + "/hook?team=risk"}, kNotice, 5000);
  EXPECT_EQ(sent.result, Result::kDelivered) << sent.detail;
  ASSERT_EQ(receiver.posts().size(), 1u);
  const Receiver::Post post = receiver.posts()[0];
  EXPECT_EQ(post.method, "POST");
  EXPECT_EQ(post.target, "/hook?team=risk");
  EXPECT_EQ(post.content_type, "application/json");
  EXPECT_EQ(post.body, Body("json", kNotice));
  EXPECT_EQ(post.headers, (std::map<std::string, std::string>{{"X-Weir-Event", "rollout"},
                                                              {"X-Weir-Delivery", "7-12"}}));
}

TEST(Send, SignsWithTheSecretOfTheFile) {
  const fakes::TempDir dir;
  const std::string file = dir.path() + "/key";
  ASSERT_TRUE(WriteFileAtomic(file, "s3cret with blank \r\n").ok());
  Receiver receiver;
  const Sent sent = Send({.url = receiver.url(), .format = "slack", .secret_file = file}, kNotice,
                         1'700'000'123'456);
  ASSERT_EQ(sent.result, Result::kDelivered) << sent.detail;
  const Receiver::Post post = receiver.posts().at(0);
  EXPECT_EQ(post.headers.at("X-Weir-Timestamp"), "1700000123");
  // As a receiver would check it, by another library.
  const std::string key = "s3cret with blank ";
  const std::string signed_text = "1700000123." + post.body;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(), digest,
       &size);
  EXPECT_EQ(post.headers.at("X-Weir-Signature"), "sha256=" + ToHex({digest, size}));
}

TEST(Send, NothingGoesOutUnsignedWhenTheSecretCannotBeRead) {
  const fakes::TempDir dir;
  Receiver receiver;
  domain::SinkSpec sink{.url = receiver.url(), .secret_file = dir.path() + "/missing"};
  const Sent missing = Send(sink, kNotice, 0);
  EXPECT_EQ(missing.result, Result::kRetry) << "it may be put there yet";
  EXPECT_NE(missing.detail.find(sink.secret_file), std::string::npos) << missing.detail;
  ASSERT_TRUE(WriteFileAtomic(dir.path() + "/empty", "\n").ok());
  for (const std::string& bad : {dir.path() + "/empty", dir.path(), std::string("/dev/zero")}) {
    sink.secret_file = bad;
    EXPECT_EQ(Send(sink, kNotice, 0).result, Result::kRetry) << bad;
  }
  EXPECT_TRUE(receiver.posts().empty());
}

TEST(Send, TellsWhatIsWorthAnotherAttempt) {
  Receiver receiver;
  const domain::SinkSpec sink{.url = receiver.url() + "/secret-path"};
  for (const int status : {200, 202, 204}) {
    receiver.AnswerWith(status);
    EXPECT_EQ(Send(sink, kNotice, 0).result, Result::kDelivered) << status;
  }
  for (const int status : {408, 429, 500, 502, 503}) {
    receiver.AnswerWith(status, "later");
    const Sent sent = Send(sink, kNotice, 0);
    EXPECT_EQ(sent.result, Result::kRetry) << status;
    EXPECT_EQ(sent.detail, "status " + std::to_string(status) + ": later");
  }
  for (const int status : {301, 400, 401, 403, 404, 410}) {
    receiver.AnswerWith(status, "no\x1b[2J");
    const Sent sent = Send(sink, kNotice, 0);
    EXPECT_EQ(sent.result, Result::kFailed) << status;
    EXPECT_EQ(sent.detail, "status " + std::to_string(status) + ": no [2J");
  }
  receiver.Stop();
  const Sent away = Send(sink, kNotice, 0);
  EXPECT_EQ(away.result, Result::kRetry);
  EXPECT_EQ(away.detail.find("secret-path"), std::string::npos) << away.detail;
}

class SendToCommand : public testing::Test {
 protected:
  std::string Script(const std::string& body) {
    const std::string path = dir_.path() + "/told";
    EXPECT_TRUE(WriteFileAtomic(path, "#!/bin/sh\n" + body, 0755).ok());
    return path;
  }
  Sent Run(const std::string& script, const Notice& notice, int64_t timeout_ms = 5000) {
    return Send({.format = "exec", .timeout = {timeout_ms}, .command = {script, "now"}}, notice, 0,
                {.commands = {dir_.path()}});
  }
  fakes::TempDir dir_;
};

TEST_F(SendToCommand, GivesTheNoticeAsInputAndItsHeadAsEnvironment) {
  const std::string out = dir_.path() + "/out";
  const std::string script = Script("cat > " + out + ".in; env | grep WEIR_ALERT_ | sort > " + out +
                                    ".env; echo $1 > " + out);
  Notice notice{"alert-1",
                "alert",
                0,
                {{"policy", "checkout"},
                 {"status", "firing"},
                 {"severity", "high"},
                 {"alerts",
                  {{{"id", "a1"},
                    {"slo", "p99"},
                    {"state", "firing"},
                    {"model", "fraud"},
                    {"summary", std::string(200'000, 'x')}}}}}};
  const Sent sent = Run(script, notice);
  EXPECT_EQ(sent.result, Result::kDelivered) << sent.detail;
  EXPECT_EQ(*ReadFile(out), "now\n");
  EXPECT_EQ(*ReadFile(out + ".in"), Body("json", notice)) << "more than a pipe holds";
  notice.data["alerts"][0]["summary"] = "slow";
  ASSERT_EQ(Run(script, notice).result, Result::kDelivered);
  EXPECT_EQ(*ReadFile(out + ".env"),
            "WEIR_ALERT_DELIVERY=alert-1\nWEIR_ALERT_ID=a1\nWEIR_ALERT_MODEL=fraud\n"
            "WEIR_ALERT_POLICY=checkout\nWEIR_ALERT_SEVERITY=high\nWEIR_ALERT_SLO=p99\n"
            "WEIR_ALERT_STATUS=firing\n"
            "WEIR_ALERT_SUMMARY=firing: /p99 of fraud: slow\nWEIR_ALERT_TYPE=alert\n");
}

TEST_F(SendToCommand, AFailureSaysWhatItPrintedAndIsTriedAgain) {
  const Sent failed = Run(Script("echo no such pager >&2; exit 3"), kNotice);
  EXPECT_EQ(failed.result, Result::kRetry);
  EXPECT_EQ(failed.detail, "exit code 3: no such pager");
  const Sent slow = Run(Script("sleep 60"), kNotice, 100);
  EXPECT_EQ(slow.result, Result::kRetry);
  EXPECT_EQ(slow.detail, "killed after 100ms");
}

TEST_F(SendToCommand, WhatIsNotAllowedIsNotRun) {
  const std::string ran = dir_.path() + "/ran";
  const std::string script = Script("touch " + ran);
  const domain::SinkSpec sink{.format = "exec", .command = {script}};
  const Sent sent = Send(sink, kNotice, 0);
  EXPECT_EQ(sent.result, Result::kRetry);
  EXPECT_NE(sent.detail.find("gate_commands"), std::string::npos) << sent.detail;
  EXPECT_FALSE(ReadFile(ran).ok());
}

TEST(Send, TheLogIsAlwaysThere) {
  EXPECT_EQ(Send({.format = "log", .team = "risk", .on_call = true}, kNotice, 0).result,
            Result::kDelivered);
}

TEST(Send, PagerDutysKeyIsInTheBodyAndSignsNothing) {
  const fakes::TempDir dir;
  const std::string file = dir.path() + "/key";
  ASSERT_TRUE(WriteFileAtomic(file, "R0UT1NG\n").ok());
  Receiver receiver;
  receiver.AnswerWith(202);
  const Sent sent =
      Send({.url = receiver.url(), .format = "pagerduty", .secret_file = file}, kNotice, 0);
  EXPECT_EQ(sent.result, Result::kDelivered) << sent.detail;
  const Receiver::Post post = receiver.posts().at(0);
  EXPECT_EQ(post.target, "/v2/enqueue");
  EXPECT_EQ(codec::Json::parse(post.body)["routing_key"], "R0UT1NG");
  EXPECT_FALSE(post.headers.contains("X-Weir-Signature"));
}

}  // namespace
}  // namespace weir::control::notify
