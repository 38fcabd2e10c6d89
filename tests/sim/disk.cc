// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

namespace weir::sim {
namespace {

std::map<std::string, Disk*>& Disks() {
  static std::map<std::string, Disk*> disks;
  return disks;
}

Disk* DiskOf(const std::string& path) {
  const auto found = Disks().find(std::filesystem::path(path).parent_path().string());
  return found == Disks().end() ? nullptr : found->second;
}

void Apply(std::string& content, const Disk::Write& write) {
  if (write.bytes.empty()) return content.resize(write.offset);
  const size_t end = write.offset + write.bytes.size();
  if (content.size() < end) content.resize(end, '\0');
  content.replace(write.offset, write.bytes.size(), write.bytes);
}

// An open file, laid over SQLite's.
struct OpenFile {
  sqlite3_file base;
  Disk* disk;
  uint64_t life;
  std::shared_ptr<Disk::File>* file;
  std::vector<std::unique_ptr<std::string>>* shared;  // the WAL's index, gone with the process
};

OpenFile& Of(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file); }
bool IsAlive(const OpenFile& open) {
  return !open.disk->is_dead() && open.disk->life() == open.life;
}
bool MayWrite(const OpenFile& open) { return IsAlive(open) && open.disk->MayWrite(); }

int Close(sqlite3_file* file) {
  OpenFile& open = Of(file);
  delete open.file;
  delete open.shared;
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* to, int amount, sqlite3_int64 offset) {
  const OpenFile& open = Of(file);
  if (!IsAlive(open)) return SQLITE_IOERR_READ;
  const std::string& content = (*open.file)->content;
  const auto from = std::min<size_t>(static_cast<size_t>(offset), content.size());
  const size_t there = std::min<size_t>(static_cast<size_t>(amount), content.size() - from);
  std::memcpy(to, content.data() + from, there);
  if (there == static_cast<size_t>(amount)) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + there, 0, static_cast<size_t>(amount) - there);
  return SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
  OpenFile& open = Of(file);
  if (!MayWrite(open)) return SQLITE_IOERR_WRITE;
  Disk::Write write{static_cast<uint64_t>(offset),
                    std::string(static_cast<const char*>(from), static_cast<size_t>(amount))};
  Apply((*open.file)->content, write);
  (*open.file)->since.push_back(std::move(write));
  return SQLITE_OK;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  OpenFile& open = Of(file);
  if (!MayWrite(open)) return SQLITE_IOERR_TRUNCATE;
  const Disk::Write write{static_cast<uint64_t>(size), ""};
  Apply((*open.file)->content, write);
  (*open.file)->since.push_back(write);
  return SQLITE_OK;
}

int Sync(sqlite3_file* file, int) {
  OpenFile& open = Of(file);
  if (!MayWrite(open)) return SQLITE_IOERR_FSYNC;
  for (const Disk::Write& write : (*open.file)->since) Apply((*open.file)->synced, write);
  (*open.file)->since.clear();
  return SQLITE_OK;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  const OpenFile& open = Of(file);
  if (!IsAlive(open)) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>((*open.file)->content.size());
  return SQLITE_OK;
}

int NoLock(sqlite3_file*, int) { return SQLITE_OK; }
int CheckReserved(sqlite3_file*, int* held) {
  *held = 0;
  return SQLITE_OK;
}
int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return 512; }
int Characteristics(sqlite3_file*) { return 0; }

int ShmMap(sqlite3_file* file, int region, int bytes, int, void volatile** at) {
  OpenFile& open = Of(file);
  while (open.shared->size() <= static_cast<size_t>(region)) {
    open.shared->push_back(std::make_unique<std::string>(static_cast<size_t>(bytes), '\0'));
  }
  *at = (*open.shared)[static_cast<size_t>(region)]->data();
  return SQLITE_OK;
}
int ShmLock(sqlite3_file*, int, int, int) { return SQLITE_OK; }
void ShmBarrier(sqlite3_file*) {}
int ShmUnmap(sqlite3_file* file, int) {
  Of(file).shared->clear();
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    2,        Close,         Read,        Write,      Truncate,        Sync,   FileSize, NoLock,
    NoLock,   CheckReserved, FileControl, SectorSize, Characteristics, ShmMap, ShmLock,  ShmBarrier,
    ShmUnmap, nullptr,       nullptr};

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  OpenFile& open = Of(file);
  open.base.pMethods = nullptr;
  Disk* disk = name == nullptr ? nullptr : DiskOf(name);
  if (disk == nullptr || disk->is_dead()) return SQLITE_CANTOPEN;
  std::shared_ptr<Disk::File>& kept = disk->files()[name];
  if (kept == nullptr) kept = std::make_shared<Disk::File>();
  open.disk = disk;
  open.life = disk->life();
  open.file = new std::shared_ptr<Disk::File>(kept);
  open.shared = new std::vector<std::unique_ptr<std::string>>();
  open.base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* name, int) {
  Disk* disk = DiskOf(name);
  if (disk == nullptr || disk->is_dead() || !disk->MayWrite()) return SQLITE_IOERR_DELETE;
  return disk->files().erase(name) == 0 ? SQLITE_IOERR_DELETE_NOENT : SQLITE_OK;
}

int Access(sqlite3_vfs*, const char* name, int, int* there) {
  Disk* disk = DiskOf(name);
  *there = disk != nullptr && disk->files().contains(name) ? 1 : 0;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
  if (std::strlen(name) + 1 > static_cast<size_t>(size)) return SQLITE_CANTOPEN;
  std::strcpy(out, name);
  return SQLITE_OK;
}

int Randomness(sqlite3_vfs*, int size, char* out) {
  std::memset(out, 0x5a, static_cast<size_t>(size));
  return size;
}
int Sleep(sqlite3_vfs*, int microseconds) { return microseconds; }
int CurrentTime(sqlite3_vfs*, double* julian_day) {
  *julian_day = 2461000.0;
  return SQLITE_OK;
}
int GetLastError(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

void RegisterDisks() {
  static sqlite3_vfs vfs = {};
  if (vfs.iVersion != 0) return;
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(OpenFile);
  vfs.mxPathname = 512;
  vfs.zName = "sim";
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTime;
  vfs.xGetLastError = GetLastError;
  sqlite3_vfs_register(&vfs, 1);
}

void ResetSqliteRandom() { sqlite3_test_control(SQLITE_TESTCTRL_PRNG_RESET); }

Disk::Disk(std::string directory) : directory_(std::move(directory)) {
  std::filesystem::create_directories(directory_);
  Disks()[directory_] = this;
}

Disk::~Disk() { Disks().erase(directory_); }

bool Disk::MayWrite() {
  if (is_dead_) return false;
  if (effect_ && !effect_()) Die();
  return !is_dead_;
}

void Disk::Settle(bool power, Random& random) {
  for (auto& [path, file] : files_) {
    if (power) {
      std::string left = file->synced;
      for (Write& write : file->since) {
        const int64_t fate = random.Between(0, 2);
        if (fate == 0) continue;
        if (fate == 1 && write.bytes.size() > 512) {
          const int64_t sectors = static_cast<int64_t>(write.bytes.size()) / 512;
          write.bytes.resize(static_cast<size_t>(random.Between(1, sectors)) * 512);
        }
        Apply(left, write);
      }
      file->content = std::move(left);
    }
    file->synced = file->content;
    file->since.clear();
  }
}

void Disk::Revive() {
  ++life_;
  is_dead_ = false;
}

Disk::Files Disk::Copy() const {
  Files copy;
  for (const auto& [path, file] : files_) {
    copy[path] = std::make_shared<File>(File{file->content, file->content, {}});
  }
  return copy;
}

void Disk::Replace(const Files& files) {
  files_.clear();
  for (const auto& [path, file] : files) files_[path] = std::make_shared<File>(*file);
}

}  // namespace weir::sim
