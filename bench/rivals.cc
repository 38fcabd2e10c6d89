// SPDX-License-Identifier: Apache-2.0
#include "bench/rivals.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "shared/base/text.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

constexpr int64_t kStartMs = 5000;
constexpr size_t kMaxInConfig = 3000;  // nginx's parameters are smaller than 4 KB

constexpr char kNginxConfig[] = R"(daemon off;
master_process off;
worker_processes 1;
pid {0}/nginx.pid;
error_log {0}/nginx.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {0}/nginx-body;
  proxy_temp_path {0}/nginx-proxy;
  fastcgi_temp_path {0}/nginx-fastcgi;
  scgi_temp_path {0}/nginx-scgi;
  uwsgi_temp_path {0}/nginx-uwsgi;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nopush on;
{2}
  server {{
    listen {1};
    location / {{
      default_type application/json;
{3}
    }}
  }}
}}
)";

// {0}: the requests as Lua strings.
constexpr char kWrkScript[] = R"(local bodies = {{{0}}}
local requests, at = {{}}, 0
function init()
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", nil, {{["Content-Type"] = "application/json"}}, body)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %s", summary.requests, summary.duration,
        e.connect + e.read + e.write + e.timeout, e.status))
end
)";

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  int port = 0;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  ::close(fd);
  return port;
}

struct Launching {
  std::string http{};      // directives
  std::string location{};  // of every path
  std::string expected;    // body
  int core = 0;
};

Result<Nginx> Launch(const std::string& dir, const Launching& how) {
  const std::string address = fmt::format("127.0.0.1:{}", FreePort());
  WEIR_RETURN_IF_ERROR(WriteFileAtomic(
      dir + "/nginx.conf", fmt::format(kNginxConfig, dir, address, how.http, how.location)));
  WEIR_ASSIGN_OR_RETURN(Child process,
                        Child::Start({"taskset", "-c", std::to_string(how.core), "nginx", "-p", dir,
                                      "-c", dir + "/nginx.conf", "-e", dir + "/nginx.log"},
                                     dir + "/nginx.out"));
  http::Client client("http://" + address);
  for (int64_t waited_ms = 0; waited_ms < kStartMs && !Interrupted(); waited_ms += 20) {
    const auto got = client.Do("GET", "/");
    if (got.ok() && got->status == 200 && got->body == how.expected)
      return Nginx{std::move(process), address};
    PauseMs(20);
  }
  const Result<std::string> log = ReadFile(dir + "/nginx.log");
  const Result<std::string> out = ReadFile(dir + "/nginx.out");
  return Unavailable(
      fmt::format("nginx does not answer: {} {}", log.ok() ? *log : "", out.ok() ? *out : ""));
}

}  // namespace

Result<Nginx> StartNginx(const std::string& dir, const StaticAnswer& answer, int core) {
  std::string give;
  for (const auto& [name, value] : answer.headers)
    give += fmt::format("      add_header {} \"{}\";\n", name, value);
  if (answer.body.size() <= kMaxInConfig) {
    if (answer.body.find('\'') != std::string::npos || answer.body.find('$') != std::string::npos)
      return InvalidArgument("answer", "holds a character that nginx would interpret");
    give += fmt::format("      return 200 '{}';", answer.body);
  } else {  // from a file that stays open; nginx takes a POST to one for a mistake
    WEIR_RETURN_IF_ERROR(WriteFileAtomic(dir + "/answer", answer.body));
    give += fmt::format(
        "      root {};\n      open_file_cache max=4;\n      rewrite ^ /answer break;\n"
        "      error_page 405 =200 /answer;",
        dir);
  }
  return Launch(dir, {.location = give, .expected = answer.body, .core = core});
}

Result<Nginx> StartProxy(const std::string& dir, const std::string& service,
                         const StaticAnswer& answer) {
  return Launch(dir, {.http = fmt::format("  upstream service {{ server {}; keepalive 64; "
                                          "keepalive_requests 1000000000; }}",
                                          service),
                      .location = "      proxy_pass http://service;\n"
                                  "      proxy_http_version 1.1;\n"
                                  "      proxy_set_header Connection \"\";",
                      .expected = answer.body});
}

Result<ClosedLoop> RunWrk(const std::string& dir, const std::string& address,
                          const std::string& target, const std::vector<std::string>& bodies,
                          int core, int seconds) {
  std::string list;
  for (const std::string& body : bodies) list += fmt::format("[==[{}]==],\n", body);
  WEIR_RETURN_IF_ERROR(WriteFileAtomic(dir + "/wrk.lua", fmt::format(kWrkScript, list)));
  WEIR_ASSIGN_OR_RETURN(const std::string output,
                        RunToEnd({"taskset", "-c", std::to_string(core), "wrk", "-t1", "-c32",
                                  fmt::format("-d{}s", seconds), "-s", dir + "/wrk.lua",
                                  "http://" + address + target},
                                 dir + "/wrk.out"));
  const size_t at = output.find("RESULT ");
  long long requests = 0;
  long long duration_us = 0;
  long long failed = 0;
  long long refused = 0;
  if (at == std::string::npos ||
      std::sscanf(output.c_str() + at, "RESULT %lld %lld %lld %lld", &requests, &duration_us,
                  &failed, &refused) != 4 ||
      requests == 0) {
    return Unavailable("wrk: " + output);
  }
  if (failed + refused > 0)
    return Unavailable(fmt::format("{} of {} requests failed, {} were not answered with 200",
                                   failed, requests, refused));
  return ClosedLoop{static_cast<double>(requests), static_cast<double>(duration_us) / 1e6};
}

}  // namespace weir::bench
