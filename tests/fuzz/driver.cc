// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: the corpus, then a fixed number of seeded mutations of it,
// so that every build runs the same inputs. An input that crashes, hangs or takes too much memory
// is written to a file, and its path and seed are printed.
//   NAME_fuzz [--runs N] [--seed S] [--corpus DIR] [--dict FILE] [--out DIR] [FILE...]
// With files only those are run.
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <vector>

#include "tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kMaxSeconds = 20;                    // of one input, in the slowest build
constexpr int64_t kMaxBytes = int64_t{192} << 20;  // that one input may hold at a time

// The input under way, for the signal handlers.
struct Running {
  const char* data = nullptr;
  size_t size = 0;
  char path[512] = "";
  char origin[512] = "";
};
Running g_running;

void Say(const char* text) {
  const ssize_t ignored = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(ignored);
}

// Only what a signal handler may do.
void KeepInput(const char* why) {
  if (g_running.data == nullptr) return;
  const int fd = ::open(g_running.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const ssize_t written = fd < 0 ? -1 : ::write(fd, g_running.data, g_running.size);
  ::close(fd);
  const char* const origin = g_running.origin;
  for (const char* text : {"\nfuzz: ", why, " with ", origin, "\nfuzz: the input is "}) Say(text);
  Say(written < 0 ? "not kept: it could not be written to " : "in ");
  Say(g_running.path);
  Say("\n");
  g_running.data = nullptr;
}

void OnSignal(int signal) {
  KeepInput(signal == SIGALRM   ? "an input takes too long"
            : signal == SIGABRT ? "an invariant does not hold (abort)"
                                : "a crash");
  ::signal(signal, SIG_DFL);
  if (signal == SIGALRM) ::_exit(1);
  ::raise(signal);
}

void CatchSignals() {
  static char stack[64 * 1024];  // the ordinary one may be what has run out
  const stack_t alternate{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    ::sigaction(signal, &action, nullptr);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WEIR_COUNTS_BYTES
std::atomic<int64_t> g_bytes{0};
std::atomic<int64_t> g_peak{0};

void* Allocate(std::size_t size, std::size_t alignment) {
  const std::size_t whole =
      (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
  if (g_bytes + static_cast<int64_t>(whole) > kMaxBytes && g_running.data != nullptr) {
    KeepInput("more memory than an input may take");
    ::_exit(1);
  }
  void* memory = std::aligned_alloc(alignment, whole);
  if (memory == nullptr) throw std::bad_alloc();
  g_bytes += static_cast<int64_t>(::malloc_usable_size(memory));
  g_peak = std::max<int64_t>(g_peak, g_bytes);
  return memory;
}

void Release(void* memory) {
  g_bytes -= static_cast<int64_t>(::malloc_usable_size(memory));
  std::free(memory);
}
#endif

}  // namespace

#ifdef WEIR_COUNTS_BYTES  // a sanitizer has its own. NOLINTBEGIN: names and forms are the library's
void* operator new(std::size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { Release(memory); }
void operator delete(void* memory, std::size_t) noexcept { Release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { Release(memory); }
#endif  // NOLINTEND

namespace weir::fuzz {
namespace {

struct Options {
  uint64_t runs = 1000;
  uint64_t seed = 1;
  std::string corpus;
  std::string dictionary;
  std::string out = ".";
  std::vector<std::string> files;
};

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "fuzz: cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(in), {}};
}

void RunOne(const Options& options, const std::string& input, const std::string& origin) {
  // A copy of exactly its size, so that a sanitizer sees a read past the end.
  const std::vector<char> exact(input.begin(), input.end());
  std::snprintf(g_running.origin, sizeof g_running.origin, "%s", origin.c_str());
  std::snprintf(g_running.path, sizeof g_running.path, "%s/crash-%d", options.out.c_str(),
                ::getpid());
  g_running.size = exact.size();
  g_running.data = input.data();
  ::alarm(kMaxSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(exact.data()), exact.size());
  ::alarm(0);
  g_running.data = nullptr;
}

std::vector<std::filesystem::path> FilesOf(const std::string& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

int Run(const Options& options) {
  CatchSignals();
  for (const std::string& file : options.files) RunOne(options, ReadAll(file), file);
  if (!options.files.empty()) return 0;

  std::vector<std::string> corpus;
  size_t inputs = 0;
  for (const auto& file : FilesOf(options.corpus)) {
    std::string input = ReadAll(file);
    RunOne(options, input, file.string());
    ++inputs;
    // What reaches a limit takes seconds, and so would its mutations.
    const bool is_slow = file.filename().string().rfind("slow_", 0) == 0;
    if (!is_slow) corpus.push_back(std::move(input));
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "fuzz: no corpus in %s\n", options.corpus.c_str());
    return 2;
  }
  const std::vector<std::string> dictionary = options.dictionary.empty()
                                                  ? std::vector<std::string>()
                                                  : ParseDictionary(ReadAll(options.dictionary));
  Mutator mutator(corpus, dictionary);
  for (uint64_t i = 0; i < options.runs; ++i) {
    const uint64_t seed = options.seed + i;
    RunOne(options, mutator.Make(seed), "the mutation of --runs 1 --seed " + std::to_string(seed));
  }
  std::printf("%zu inputs of the corpus and %llu mutations from seed %llu", inputs,
              static_cast<unsigned long long>(options.runs),
              static_cast<unsigned long long>(options.seed));
#ifdef WEIR_COUNTS_BYTES
  std::printf("; at most %.1f MB held", static_cast<double>(g_peak) / (1 << 20));
#endif
  std::printf("\n");
  return 0;
}

uint64_t Number(const char* text) {
  char* end = nullptr;
  const uint64_t number = std::strtoull(text, &end, 10);
  if (end != text && *end == '\0') return number;
  std::fprintf(stderr, "fuzz: %s is not a number\n", text);
  std::exit(2);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      options.files.push_back(name);
      continue;
    }
    if (++i == argc) {
      std::fprintf(stderr, "fuzz: %s needs a value\n", name.c_str());
      std::exit(2);
    }
    const char* value = argv[i];
    if (name == "--runs") {
      options.runs = Number(value);
    } else if (name == "--seed") {
      options.seed = Number(value);
    } else if (name == "--corpus") {
      options.corpus = value;
    } else if (name == "--dict") {
      options.dictionary = value;
    } else if (name == "--out") {
      options.out = value;
    } else {
      std::fprintf(stderr, "fuzz: unknown option %s\n", name.c_str());
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace weir::fuzz

int main(int argc, char** argv) { return weir::fuzz::Run(weir::fuzz::Parse(argc, argv)); }
