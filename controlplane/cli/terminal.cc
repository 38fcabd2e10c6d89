// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace weir::control::cli {
namespace {

constexpr int kPutBackOn[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

termios g_before;  // a signal handler has no other way to it

void PutBackAndDie(int signal) {
  ::tcsetattr(STDIN_FILENO, TCSANOW, &g_before);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

winsize Size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) size = {};
  return size;
}

}  // namespace

bool IsTerminal() { return ::isatty(STDOUT_FILENO) != 0; }

bool WantsColor() {
  const char* no_color = std::getenv("NO_COLOR");
  return IsTerminal() && (no_color == nullptr || *no_color == '\0');
}

size_t TerminalWidth() { return Size().ws_col > 0 ? Size().ws_col : 80; }
size_t TerminalHeight() { return Size().ws_row > 0 ? Size().ws_row : 24; }

Keyboard::Keyboard() {
  if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &g_before) != 0) return;
  termios raw = g_before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  has_keys_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  if (!has_keys_) return;
  for (const int signal : kPutBackOn) ::signal(signal, PutBackAndDie);
}

Keyboard::~Keyboard() {
  if (!has_keys_) return;
  for (const int signal : kPutBackOn) ::signal(signal, SIG_DFL);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &g_before);
}

std::optional<char> Keyboard::Read(int64_t wait_ms) const {
  if (!has_keys_) {
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    return std::nullopt;
  }
  pollfd ready{STDIN_FILENO, POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(wait_ms)) <= 0) return std::nullopt;
  char key = 0;
  return ::read(STDIN_FILENO, &key, 1) == 1 ? key : '\x04';
}

void Redrawn::Draw(const std::vector<std::string>& lines) {
  std::string out;
  if (drawn_ > 0) out = "\x1b[" + std::to_string(drawn_) + "A";
  out += "\x1b[J";
  for (const std::string& line : lines) out += line + "\n";
  std::fputs(out.c_str(), stdout);
  std::fflush(stdout);
  drawn_ = lines.size();
}

}  // namespace weir::control::cli
