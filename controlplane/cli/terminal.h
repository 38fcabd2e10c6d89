// SPDX-License-Identifier: Apache-2.0
// The terminal of this process: its size, single keys, and a block of lines that is drawn again and
// again in the same place. One thread.
#pragma once

#include <termios.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::control::cli {

bool IsTerminal();        // stdout
bool WantsColor();        // a terminal, and NO_COLOR is unset
size_t TerminalWidth();   // columns; 80 where nobody knows
size_t TerminalHeight();  // lines; 24 where nobody knows

// Keys without Enter and without echo, while it lives; the terminal is put back at the end, also
// when a signal ends the process.
class Keyboard {
 public:
  Keyboard();
  ~Keyboard();
  Keyboard(const Keyboard&) = delete;
  Keyboard& operator=(const Keyboard&) = delete;

  // False where stdin is no terminal: there are no keys then.
  bool HasKeys() const { return has_keys_; }
  // Waits at most so long; '\x04' when stdin has ended.
  std::optional<char> Read(int64_t wait_ms) const;

 private:
  bool has_keys_ = false;
};

class Redrawn {
 public:
  // Replaces what was drawn last.
  void Draw(const std::vector<std::string>& lines);

 private:
  size_t drawn_ = 0;
};

}  // namespace weir::control::cli
