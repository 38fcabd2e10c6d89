// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <list>

#include "shared/base/text.h"
#include "tests/integration/harness/process.h"

namespace weir::integration {
namespace {

constexpr char kIp[] = "/usr/sbin/ip";
constexpr char kTc[] = "/usr/sbin/tc";
constexpr char kNoRoom[] = "qdisc replace dev {} root bfifo limit 1";

Status RunTool(const char* tool, const std::string& command) {
  std::vector<std::string> arguments = Split(command, ' ');
  arguments.insert(arguments.begin(), tool);
  const Output output = RunProgram(arguments);
  if (output.exit_code == 0) return OkStatus();
  return Unavailable(fmt::format("{} {}: {}", tool, command, output.Text()));
}

Status Ip(const std::string& command) { return RunTool(kIp, command); }

Result<sockaddr_in> Parse(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  if (::inet_pton(AF_INET, address.substr(0, colon).c_str(), &out.sin_addr) == 1) return out;
  return InvalidArgument("address", address);
}

// Two ends of one connection that is passed on.
struct Pair {
  int a;
  int b;
};

// False when this direction has ended.
bool Pump(int from, int to) {
  std::array<char, 65536> bytes;
  const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
  return got > 0 && ::send(to, bytes.data(), static_cast<size_t>(got), MSG_NOSIGNAL) == got;
}

}  // namespace

Result<std::unique_ptr<Cell>> Cell::Make() {
  for (const char* tool : {kIp, kTc}) {
    if (::access(tool, X_OK) != 0) return Unavailable(std::string(tool) + " is not there");
  }
  std::unique_ptr<Cell> cell(new Cell());
  const std::string tag = RandomHex(3);
  const uint64_t network = RandomU64();
  const std::string prefix = fmt::format("10.{}.{}.", 128 + network % 100, network / 100 % 250);
  WEIR_RETURN_IF_ERROR(Ip("netns add weir-" + tag));
  cell->name_ = "weir-" + tag;
  cell->cable_ = "wv" + tag;
  cell->outside_ = prefix + "1";
  for (const std::string& command :
       {fmt::format("link add {0} type veth peer name {0}i netns {1}", cell->cable_, cell->name_),
        fmt::format("addr add {}/30 dev {}", cell->outside_, cell->cable_),
        fmt::format("link set {} up", cell->cable_),
        fmt::format("-n {} addr add {}2/30 dev {}i", cell->name_, prefix, cell->cable_),
        fmt::format("-n {} link set {}i up", cell->name_, cell->cable_),
        fmt::format("-n {} link set lo up", cell->name_)}) {
    WEIR_RETURN_IF_ERROR(Ip(command));
  }
  return cell;
}

Cell::~Cell() {
  if (!cable_.empty()) static_cast<void>(Ip("link del " + cable_));
  if (!name_.empty()) static_cast<void>(Ip("netns del " + name_));
}

std::vector<std::string> Cell::Prefix() const { return {kIp, "netns", "exec", name_}; }

void Cell::Run(const std::function<void()>& task) const {
  std::thread inside([&] {
    const int fd = ::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC);
    WEIR_CHECK(fd >= 0 && ::setns(fd, CLONE_NEWNET) == 0);
    ::close(fd);
    task();
  });
  inside.join();
}

// A queue in which no packet has room, at both ends: nobody is told that anything is amiss.
Status Cell::Cut() const {
  WEIR_RETURN_IF_ERROR(RunTool(kTc, fmt::format(kNoRoom, cable_)));
  return RunTool(kTc, "-n " + name_ + " " + fmt::format(kNoRoom, cable_ + "i"));
}

Status Cell::Heal() const {
  WEIR_RETURN_IF_ERROR(RunTool(kTc, fmt::format("qdisc del dev {} root", cable_)));
  return RunTool(kTc, fmt::format("-n {} qdisc del dev {}i root", name_, cable_));
}

Result<std::unique_ptr<Forwarder>> Forwarder::Open(const std::string& host,
                                                   const std::string& target) {
  std::unique_ptr<Forwarder> self(new Forwarder());
  self->target_ = target;
  WEIR_ASSIGN_OR_RETURN(sockaddr_in address, Parse(host + ":0"));
  self->listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof address;
  if (::bind(self->listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(self->listener_, 64) != 0 ||
      ::getsockname(self->listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return Unavailable(fmt::format("cannot listen on {}: {}", host, std::strerror(errno)));
  }
  self->address_ = fmt::format("{}:{}", host, ntohs(address.sin_port));
  self->thread_ = std::thread([raw = self.get()] { raw->Run(); });
  return self;
}

Forwarder::~Forwarder() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  if (listener_ >= 0) ::close(listener_);
}

void Forwarder::Run() {
  std::list<Pair> pairs;
  const auto end = [](const Pair& pair) {
    ::close(pair.a);
    ::close(pair.b);
  };
  while (!stop_) {
    std::vector<pollfd> items{{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      items.push_back({pair.a, POLLIN, 0});
      items.push_back({pair.b, POLLIN, 0});
    }
    if (::poll(items.data(), items.size(), 50) <= 0) continue;
    size_t at = 1;
    for (auto pair = pairs.begin(); pair != pairs.end(); at += 2) {
      const bool goes_on = (items[at].revents == 0 || Pump(pair->a, pair->b)) &&
                           (items[at + 1].revents == 0 || Pump(pair->b, pair->a));
      if (!goes_on) end(*pair);
      pair = goes_on ? std::next(pair) : pairs.erase(pair);
    }
    if (items[0].revents == 0) continue;
    const int a = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int b = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto to = Parse(target_);
    const bool is_connected =
        a >= 0 && to.ok() && ::connect(b, reinterpret_cast<sockaddr*>(&*to), sizeof *to) == 0;
    is_connected ? pairs.push_back({a, b}) : end({a, b});
  }
  for (const Pair& pair : pairs) end(pair);
}

}  // namespace weir::integration
