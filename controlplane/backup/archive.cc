// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "shared/base/text.h"

namespace weir::control::backup {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kBufferBytes = 256 * 1024;
constexpr size_t kMaxManifest = 64 << 20;
constexpr char kManifest[] = "manifest.json";
constexpr char kManifestHash[] = "manifest.sha256";
constexpr uint64_t kMaxOctal = (uint64_t{1} << 33) - 1;  // what eleven octal digits hold

using Block = std::array<char, kBlock>;

class Sha256 {
 public:
  Sha256() { crypto_hash_sha256_init(&state_); }
  void Add(std::string_view bytes) {
    crypto_hash_sha256_update(&state_, reinterpret_cast<const uint8_t*>(bytes.data()),
                              bytes.size());
  }
  std::string Hex() {
    std::array<uint8_t, crypto_hash_sha256_BYTES> hash;
    crypto_hash_sha256_final(&state_, hash.data());
    return ToHex(hash);
  }

 private:
  crypto_hash_sha256_state state_;
};

std::string Sha256Of(std::string_view bytes) {
  Sha256 hash;
  hash.Add(bytes);
  return hash.Hex();
}

Status FileError(const char* what, const std::string& path) {
  const Code code = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? Code::kResourceExhausted
                    : errno == EEXIST                                    ? Code::kAlreadyExists
                    : errno == ENOENT                                    ? Code::kNotFound
                                                                         : Code::kUnavailable;
  return {code, fmt::format("cannot {} {}: {}", what, path, strerror(errno))};
}

void PutOctal(char* field, size_t digits, uint64_t number) {
  for (size_t i = digits; i-- > 0; number >>= 3) field[i] = static_cast<char>('0' + (number & 7));
}

// The sum of the header's bytes, its own field taken as blanks.
uint64_t SumOf(const Block& block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

Block HeaderOf(const std::string& name, uint64_t bytes) {
  Block block{};
  std::copy(name.begin(), name.end(), block.begin());
  std::memcpy(block.data() + 100, "0000600", 7);
  std::memcpy(block.data() + 108, "0000000", 7);
  std::memcpy(block.data() + 116, "0000000", 7);
  if (bytes <= kMaxOctal) {
    PutOctal(block.data() + 124, 11, bytes);
  } else {  // as GNU tar: big-endian, marked by the first bit
    block[124] = static_cast<char>(0x80);
    for (size_t i = 0; i < 8; ++i) block[135 - i] = static_cast<char>(bytes >> (8 * i));
  }
  std::memcpy(block.data() + 136, "00000000000", 11);
  block[156] = '0';
  std::memcpy(block.data() + 257, "ustar", 6);
  std::memcpy(block.data() + 263, "00", 2);
  PutOctal(block.data() + 148, 6, SumOf(block));
  block[154] = '\0';
  block[155] = ' ';
  return block;
}

Result<uint64_t> ReadOctal(std::string_view field) {
  if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    uint64_t number = 0;
    for (size_t i = field.size() - 8; i < field.size(); ++i)
      number = number << 8 | static_cast<unsigned char>(field[i]);
    return number;
  }
  uint64_t number = 0;
  for (const char c : field) {
    if (c == '\0' || c == ' ') break;
    if (c < '0' || c > '7') return DataLoss("a number in a header is none");
    number = number << 3 | static_cast<uint64_t>(c - '0');
  }
  return number;
}

uint64_t PaddingOf(uint64_t bytes) { return (kBlock - bytes % kBlock) % kBlock; }

}  // namespace

bool IsPartName(std::string_view name) {
  constexpr std::string_view kBlobs = "blobs/";
  if (name.starts_with(kBlobs)) {
    const std::string_view hash = name.substr(kBlobs.size());
    return hash.size() == 64 && hash.find_first_not_of("0123456789abcdef") == hash.npos;
  }
  return name.size() <= 100 && IsResourceName(name) && name != kManifest && name != kManifestHash;
}

// Writing
// ------------------------------------------------------------------------------------------------

Result<std::unique_ptr<ArchiveWriter>> ArchiveWriter::Create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("create", path);
  return std::unique_ptr<ArchiveWriter>(new ArchiveWriter(path, fd));
}

ArchiveWriter::~ArchiveWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(path_.c_str());
}

Status ArchiveWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd_, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FileError("write", path_);
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return OkStatus();
}

Status ArchiveWriter::WriteHeader(const std::string& name, uint64_t bytes) {
  const Block block = HeaderOf(name, bytes);
  return Write({block.data(), block.size()});
}

Status ArchiveWriter::Pad(uint64_t bytes) { return Write(std::string(PaddingOf(bytes), '\0')); }

Status ArchiveWriter::AddText(const std::string& name, const std::string& text) {
  WEIR_RETURN_IF_ERROR(WriteHeader(name, text.size()));
  WEIR_RETURN_IF_ERROR(Write(text));
  return Pad(text.size());
}

Status ArchiveWriter::Add(const std::string& name, const std::string& file,
                          const std::function<void(uint64_t bytes)>& on_bytes) {
  if (!IsPartName(name)) return InvalidArgument("", fmt::format("\"{}\" is no part's name", name));
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError("read", file);
  struct stat found {};
  Status status = ::fstat(fd, &found) == 0 ? OkStatus() : FileError("read", file);
  const auto size = static_cast<uint64_t>(found.st_size);
  if (status.ok()) status = WriteHeader(name, size);
  Sha256 hash;
  std::string buffer(kBufferBytes, '\0');
  for (uint64_t left = size; status.ok() && left > 0;) {
    const ssize_t read = ::read(fd, buffer.data(), std::min<uint64_t>(left, buffer.size()));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) status = FileError("read", file);
    if (read == 0) status = DataLoss(fmt::format("{} became shorter while it was read", file));
    if (read <= 0) break;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(read));
    hash.Add(bytes);
    status = Write(bytes);
    left -= bytes.size();
    if (on_bytes) on_bytes(bytes.size());
  }
  ::close(fd);
  WEIR_RETURN_IF_ERROR(status);
  parts_.push_back({name, size, hash.Hex()});
  return Pad(size);
}

Status ArchiveWriter::Finish(codec::Json manifest) {
  manifest["format"] = kArchiveFormat;
  manifest["parts"] = codec::Json::array();
  for (const Part& part : parts_) {
    manifest["parts"].push_back(
        {{"name", part.name}, {"bytes", part.bytes}, {"sha256", part.sha256}});
  }
  const std::string text = manifest.dump(2) + "\n";
  WEIR_RETURN_IF_ERROR(AddText(kManifest, text));
  WEIR_RETURN_IF_ERROR(AddText(kManifestHash, Sha256Of(text) + "  " + kManifest + "\n"));
  WEIR_RETURN_IF_ERROR(Write(std::string(2 * kBlock, '\0')));
  if (::fsync(fd_) != 0) return FileError("write", path_);
  ::close(fd_);
  fd_ = -1;
  return OkStatus();
}

// Reading
// ------------------------------------------------------------------------------------------------

namespace {

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}
  ~Reader() {
    if (fd_ >= 0) ::close(fd_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Status Open() {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found {};
    if (fd_ < 0 || ::fstat(fd_, &found) != 0) return FileError("read", path_);
    size_ = static_cast<uint64_t>(found.st_size);
    return OkStatus();
  }

  // A part's header; false at the end, which must be a whole one.
  Result<bool> Next(Part& part) {
    Block block{};
    WEIR_RETURN_IF_ERROR(Exactly(block.data(), kBlock));
    if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; })) {
      WEIR_RETURN_IF_ERROR(Exactly(block.data(), kBlock));
      const bool is_end =
          at_ == size_ && std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
      if (!is_end) return Damaged("something follows its end");
      return false;
    }
    if (std::string_view(block.data() + 257, 5) != "ustar") {
      if (at_ > kBlock) return Damaged("a part's header is not one");
      return FailedPrecondition(path_ + " is no backup of Weir");
    }
    const Result<uint64_t> sum = ReadOctal({block.data() + 148, 8});
    const bool is_ended = block[154] == '\0' && block[155] == ' ';
    if (!sum.ok() || !is_ended || *sum != SumOf(block))
      return Damaged("a part's header has changed");
    const Result<uint64_t> bytes = ReadOctal({block.data() + 124, 12});
    if (!bytes.ok()) return Damaged(bytes.status().message());
    part = {std::string(block.data(), strnlen(block.data(), 100)), *bytes, ""};
    if (part.bytes > size_ - at_) return CutOff();
    return true;
  }

  // The content of the part whose header came last, and its hash.
  Status Content(Part& part, const Take& take) {
    Sha256 hash;
    std::string buffer(kBufferBytes, '\0');
    for (uint64_t left = part.bytes; left > 0;) {
      const size_t size = std::min<uint64_t>(left, buffer.size());
      WEIR_RETURN_IF_ERROR(Exactly(buffer.data(), size));
      const std::string_view bytes(buffer.data(), size);
      hash.Add(bytes);
      if (take) WEIR_RETURN_IF_ERROR(take(bytes));
      left -= size;
    }
    part.sha256 = hash.Hex();
    return SkipPadding(part.bytes);
  }

  Status Skip(const Part& part) {
    if (::lseek(fd_, static_cast<off_t>(part.bytes), SEEK_CUR) < 0) return FileError("read", path_);
    at_ += part.bytes;
    return SkipPadding(part.bytes);
  }

  Status Damaged(const std::string& why) const {
    return DataLoss(
        fmt::format("{} is damaged: {} (before byte {} of {})", path_, why, at_, size_));
  }
  Status CutOff() const {
    return DataLoss(fmt::format("{} is cut off: it ends after {} bytes", path_, size_));
  }
  uint64_t at() const { return at_; }
  uint64_t size() const { return size_; }

 private:
  Status Exactly(char* to, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
      const ssize_t read = ::read(fd_, to + done, bytes - done);
      if (read < 0 && errno == EINTR) continue;
      if (read < 0) return FileError("read", path_);
      if (read == 0) return CutOff();
      done += static_cast<size_t>(read);
    }
    at_ += bytes;
    return OkStatus();
  }
  Status SkipPadding(uint64_t bytes) {
    Block block{};
    const size_t padding = PaddingOf(bytes);
    WEIR_RETURN_IF_ERROR(Exactly(block.data(), padding));
    const bool is_zero = std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
    return is_zero ? OkStatus() : Damaged("what fills a block is not empty");
  }

  const std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  uint64_t at_ = 0;
};

Result<codec::Json> ParseManifest(const Reader& reader, const std::string& path,
                                  const std::string& text, const std::string& hash) {
  if (text.empty()) return reader.Damaged("it has no manifest");
  if (hash != Sha256Of(text) + "  " + kManifest + "\n")
    return reader.Damaged("the manifest has changed");
  auto manifest = codec::ParseJson(text);
  if (!manifest.ok() || !manifest->is_object() || !manifest->contains("parts"))
    return reader.Damaged("the manifest cannot be read");
  const int format = manifest->value("format", 0);
  if (format > kArchiveFormat) {
    return FailedPrecondition(
        fmt::format("{} has format {}, this program knows formats up to {}: use a newer weir", path,
                    format, kArchiveFormat));
  }
  return manifest;
}

Status Compare(const Reader& reader, const codec::Json& manifest,
               const std::map<std::string, Part>& parts) {
  size_t named = 0;
  for (const codec::Json& entry : manifest["parts"]) {
    const std::string name = entry.value("name", "");
    const auto found = parts.find(name);
    if (found == parts.end()) return reader.Damaged(name + " is missing");
    ++named;
    if (entry.value("bytes", uint64_t{0}) != found->second.bytes ||
        entry.value("sha256", "") != found->second.sha256) {
      return reader.Damaged(name + " has changed: its SHA-256 is not the manifest's");
    }
  }
  return named == parts.size() ? OkStatus() : reader.Damaged("a part is not in the manifest");
}

// What is read of it as text: the manifest and its hash.
Result<std::string> TextOf(Reader& reader, Part& part) {
  if (part.bytes > kMaxManifest) return reader.Damaged("the manifest is too large");
  std::string text;
  WEIR_RETURN_IF_ERROR(reader.Content(part, [&](std::string_view bytes) {
    text += bytes;
    return OkStatus();
  }));
  return text;
}

}  // namespace

Result<codec::Json> ReadArchive(const std::string& path,
                                const std::function<Result<Take>(const Part&)>& on_part,
                                const Progress& progress) {
  Reader reader(path);
  WEIR_RETURN_IF_ERROR(reader.Open());
  std::map<std::string, Part> parts;
  std::string text;
  std::string hash;
  for (Part part;;) {
    WEIR_ASSIGN_OR_RETURN(const bool is_part, reader.Next(part));
    if (!is_part) break;
    if (part.name == kManifest || part.name == kManifestHash) {
      WEIR_ASSIGN_OR_RETURN((part.name == kManifest ? text : hash), TextOf(reader, part));
      continue;
    }
    if (!IsPartName(part.name)) return reader.Damaged("a part has a name that is none");
    if (parts.contains(part.name)) return reader.Damaged(part.name + " is there twice");
    Take take;
    if (on_part) {
      WEIR_ASSIGN_OR_RETURN(take, on_part(part));
    }
    WEIR_RETURN_IF_ERROR(reader.Content(part, [&](std::string_view bytes) {
      const Status taken = take ? take(bytes) : OkStatus();
      if (progress) progress(reader.at(), reader.size());
      return taken;
    }));
    parts[part.name] = part;
  }
  WEIR_ASSIGN_OR_RETURN(codec::Json manifest, ParseManifest(reader, path, text, hash));
  WEIR_RETURN_IF_ERROR(Compare(reader, manifest, parts));
  return manifest;
}

Result<codec::Json> ReadManifest(const std::string& path) {
  Reader reader(path);
  WEIR_RETURN_IF_ERROR(reader.Open());
  std::string text;
  std::string hash;
  for (Part part;;) {
    WEIR_ASSIGN_OR_RETURN(const bool is_part, reader.Next(part));
    if (!is_part) break;
    if (part.name == kManifest || part.name == kManifestHash) {
      WEIR_ASSIGN_OR_RETURN((part.name == kManifest ? text : hash), TextOf(reader, part));
    } else {
      WEIR_RETURN_IF_ERROR(reader.Skip(part));
    }
  }
  return ParseManifest(reader, path, text, hash);
}

}  // namespace weir::control::backup
