// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "shared/base/text.h"

namespace weir::transport {
namespace {

// The server's pair in ZeroMQ's zmq_curve(7).
constexpr char kKnownPublic[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
constexpr char kKnownSecret[] = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";

class Keys : public ::testing::Test {
 protected:
  Keys() : directory_(::testing::TempDir() + "weir-keys-" + RandomHex(8)) {
    std::filesystem::create_directory(directory_);
  }
  ~Keys() override { std::filesystem::remove_all(directory_); }
  std::string Path() const { return directory_ + "/node.key"; }

  const std::string directory_;
};

TEST_F(Keys, AreMadeOnceAndKeptForTheOwnerOnly) {
  const auto made = LoadOrCreateKeyPair(Path());
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  struct stat info {};
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  const auto again = LoadOrCreateKeyPair(Path());
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->public_key, made->public_key);
  EXPECT_EQ(again->secret_key, made->secret_key);
  EXPECT_NE(GenerateKeyPair()->public_key, made->public_key);
}

TEST_F(Keys, RefuseAFileThatOthersMayRead) {
  ASSERT_TRUE(LoadOrCreateKeyPair(Path()).ok());
  for (const mode_t mode : {0640, 0604, 0620, 0644}) {
    ASSERT_EQ(::chmod(Path().c_str(), mode), 0);
    const auto pair = LoadOrCreateKeyPair(Path());
    ASSERT_FALSE(pair.ok());
    EXPECT_EQ(pair.status().code(), Code::kFailedPrecondition);
    EXPECT_NE(pair.status().message().find("chmod 600 " + Path()), std::string::npos);
  }
  ASSERT_EQ(::chmod(Path().c_str(), 0400), 0);
  EXPECT_TRUE(LoadOrCreateKeyPair(Path()).ok());
}

TEST_F(Keys, RefuseADamagedFileAndLeaveItAlone) {
  const std::string known_public = std::string("public-key = ") + kKnownPublic + "\n";
  const std::string known_secret = std::string("secret-key = ") + kKnownSecret + "\n";
  const std::string other_secret = "secret-key = " + GenerateKeyPair()->secret_key + "\n";
  for (const std::string& content : {std::string(), known_public, known_public + other_secret,
                                     known_public + "secret-key = x\n", std::string(4096, 'a')}) {
    ASSERT_TRUE(WriteFileAtomic(Path(), content, 0600).ok());
    const auto pair = LoadOrCreateKeyPair(Path());
    ASSERT_FALSE(pair.ok()) << content;
    EXPECT_EQ(pair.status().code(), Code::kDataLoss);
    EXPECT_EQ(*ReadFile(Path()), content);
  }
  ASSERT_TRUE(WriteFileAtomic(Path(), known_public + known_secret, 0600).ok());
  const auto pair = LoadOrCreateKeyPair(Path());
  ASSERT_TRUE(pair.ok()) << pair.status().ToString();
  EXPECT_EQ(pair->secret_key, kKnownSecret);
}

TEST_F(Keys, NeedARegularFileInAnExistingDirectory) {
  EXPECT_FALSE(LoadOrCreateKeyPair(directory_ + "/missing/node.key").ok());
  EXPECT_EQ(LoadOrCreateKeyPair(directory_).status().code(), Code::kFailedPrecondition);
}

// From Python: hashlib.sha256(key).digest()[:16].hex()
TEST(Fingerprint, IsTheStartOfSha256OverTheText) {
  EXPECT_EQ(Fingerprint(kKnownPublic), "84112785d1092a7effc25904531ada76");
}

TEST(DecodeKey, RefusesWhatIsNotAKey) {
  EXPECT_EQ(DecodeKey(kKnownPublic)->size(), 32U);
  EXPECT_FALSE(DecodeKey("").ok());
  EXPECT_FALSE(DecodeKey(std::string(39, 'a')).ok());
  EXPECT_FALSE(DecodeKey(std::string(41, 'a')).ok());
  EXPECT_FALSE(DecodeKey(std::string(40, '~')).ok());
  EXPECT_FALSE(DecodeKey(std::string(40, '\0')).ok());
}

TEST(Proofs, AreOneOfTwoKeyPairsAndOfOneText) {
  const KeyPair node = *GenerateKeyPair();
  const KeyPair server = *GenerateKeyPair();
  const KeyPair other = *GenerateKeyPair();
  const auto proof = Prove(node, server.public_key, "GET /v1/blobs/x");
  ASSERT_TRUE(proof.ok()) << proof.status().ToString();
  EXPECT_TRUE(IsProof(server, node.public_key, "GET /v1/blobs/x", *proof));
  EXPECT_FALSE(IsProof(server, node.public_key, "GET /v1/blobs/y", *proof));
  EXPECT_FALSE(IsProof(server, other.public_key, "GET /v1/blobs/x", *proof));
  EXPECT_FALSE(IsProof(other, node.public_key, "GET /v1/blobs/x", *proof));
  EXPECT_FALSE(IsProof(server, node.public_key, "GET /v1/blobs/x", ""));
  EXPECT_FALSE(IsProof(server, "no key", "GET /v1/blobs/x", *proof));
  EXPECT_FALSE(Prove(node, "no key", "x").ok());
}

}  // namespace
}  // namespace weir::transport
