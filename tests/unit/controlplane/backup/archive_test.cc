// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/archive.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::backup {
namespace {

using ::testing::HasSubstr;

class Archive : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }

  void Make(const std::map<std::string, std::string>& parts) {
    auto writer = ArchiveWriter::Create(Path("a.tar"));
    ASSERT_TRUE(writer.ok()) << writer.status().ToString();
    for (const auto& [name, content] : parts) {
      ASSERT_TRUE(WriteFileAtomic(Path("part"), content).ok());
      const Status added = (*writer)->Add(name, Path("part"));
      ASSERT_TRUE(added.ok()) << added.ToString();
    }
    ASSERT_TRUE((*writer)->Finish({{"revision", 7}}).ok());
  }
  // What is in it, as it is read; the status of reading.
  Status Read(std::map<std::string, std::string>* parts = nullptr) {
    return ReadArchive(Path("a.tar"),
                       [&](const Part& part) -> Result<Take> {
                         return Take([parts, name = part.name](std::string_view bytes) {
                           if (parts != nullptr) (*parts)[name] += bytes;
                           return OkStatus();
                         });
                       })
        .status();
  }

  fakes::TempDir dir_;
};

TEST_F(Archive, GivesBackWhatWasPutIn) {
  const std::map<std::string, std::string> parts = {{"weir.db", std::string(700'000, 'd')},
                                                    {"server.key", "k"},
                                                    {"exact", std::string(512, 'e')}};
  Make(parts);
  std::map<std::string, std::string> read;
  EXPECT_TRUE(Read(&read).ok());
  EXPECT_EQ(read, parts);
  struct stat file {};
  ASSERT_EQ(::stat(Path("a.tar").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  const auto manifest = ReadManifest(Path("a.tar"));
  ASSERT_TRUE(manifest.ok()) << manifest.status().ToString();
  EXPECT_EQ((*manifest)["revision"], 7);
  EXPECT_EQ((*manifest)["parts"].size(), 3u);
}

TEST_F(Archive, IsATarThatTarReads) {
  Make({{"weir.db", "database"}, {"server.key", "key"}});
  const std::string command = "tar -tf " + Path("a.tar") + " > " + Path("list") + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << *ReadFile(Path("list"));
  EXPECT_EQ(*ReadFile(Path("list")), "server.key\nweir.db\nmanifest.json\nmanifest.sha256\n");
}

TEST_F(Archive, NoticesEveryBitThatChanges) {
  Make({{"weir.db", "database"}, {"server.key", "key"}});
  const std::string whole = *ReadFile(Path("a.tar"));
  for (size_t at = 0; at < whole.size(); at += 5) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    std::ofstream(Path("a.tar"), std::ios::binary) << damaged;
    EXPECT_FALSE(Read().ok()) << "byte " << at << " of " << whole.size();
  }
}

TEST_F(Archive, NoticesWhereverItIsCutOff) {
  Make({{"weir.db", std::string(2000, 'd')}});
  const std::string whole = *ReadFile(Path("a.tar"));
  for (size_t bytes = 0; bytes < whole.size(); bytes += 61) {
    std::ofstream(Path("a.tar"), std::ios::binary) << whole.substr(0, bytes);
    const Status status = Read();
    EXPECT_EQ(status.code(), Code::kDataLoss) << bytes << ": " << status.ToString();
    EXPECT_FALSE(ReadManifest(Path("a.tar")).ok()) << bytes;
  }
  ASSERT_TRUE(WriteFileAtomic(Path("a.tar"), whole + "x").ok());
  EXPECT_EQ(Read().code(), Code::kDataLoss) << "something follows";
}

TEST_F(Archive, SaysThatAFileIsNoneOfOurs) {
  ASSERT_TRUE(WriteFileAtomic(Path("a.tar"), std::string(4096, 'x')).ok());
  EXPECT_THAT(Read().message(), HasSubstr("is no backup of Weir"));
  EXPECT_EQ(ReadManifest(Path("none.tar")).status().code(), Code::kNotFound);
}

TEST_F(Archive, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {"../weir.db", "/etc/passwd", "blobs/../weir.db", "blobs/abc", ".hidden",
                           "a/b", "manifest.json", ""}) {
    EXPECT_FALSE(IsPartName(name)) << name;
  }
  EXPECT_TRUE(IsPartName("server.key.next"));
  EXPECT_TRUE(IsPartName("blobs/" + std::string(64, 'a')));
}

TEST_F(Archive, LeavesNothingWhenItWasNotFinished) {
  {
    auto writer = ArchiveWriter::Create(Path("a.tar"));
    ASSERT_TRUE(writer.ok());
    EXPECT_EQ((*writer)->Add("weir.db", Path("none")).code(), Code::kNotFound);
    EXPECT_EQ(ArchiveWriter::Create(Path("a.tar")).status().code(), Code::kAlreadyExists);
  }
  EXPECT_FALSE(std::filesystem::exists(Path("a.tar")));
}

}  // namespace
}  // namespace weir::control::backup
