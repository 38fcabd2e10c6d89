// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>

#include "shared/http/client.h"
#include "shared/http/server.h"
#include "tests/unit/shared/http/raw_socket.h"

namespace weir::http {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

Response EventStream() {
  Response head;
  head.content_type = "text/event-stream";
  return head;
}

// Three events at once on /now; on other paths the exchange is handed to the test.
class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto handler = [this](std::shared_ptr<Exchange> exchange) {
      if (exchange->request().path != "/now") return arrived_.set_value(std::move(exchange));
      exchange->StartStream(EventStream());
      for (const char* event : {"data: 1\n\n", "data: 2\n\n", "data: 3\n\n"})
        exchange->Write(event);
      exchange->Write("");  // nothing, and not the end
      exchange->End();
    };
    ASSERT_TRUE(server_.Start({}, handler).ok());
  }
  void OnWorker(std::function<void()> task) {
    std::promise<void> done;
    server_.worker(0).Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::promise<std::shared_ptr<Exchange>> arrived_;
  Server server_;  // ends before what its handler uses
};

TEST_F(StreamTest, SendsChunksAndKeepsTheConnection) {
  RawSocket socket(server_.address());
  for (int i = 0; i < 2; ++i) {
    socket.Send("GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), AllOf(HasSubstr("Transfer-Encoding: chunked\r\n"),
                                                    HasSubstr("Content-Type: text/event-stream"),
                                                    Not(HasSubstr("Content-Length"))));
    EXPECT_EQ(socket.ReadUntil("0\r\n\r\n"),
              "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n");
  }
}

TEST_F(StreamTest, SendsOldClientsThePlainBytes) {
  RawSocket socket(server_.address());
  socket.Send("GET /now HTTP/1.0\r\n\r\n");
  EXPECT_THAT(socket.ReadAll(), AllOf(Not(HasSubstr("chunked")),
                                      EndsWith("\r\n\r\ndata: 1\n\ndata: 2\n\ndata: 3\n\n")));
}

TEST_F(StreamTest, SendsEachPieceWhenItIsWritten) {
  RawSocket socket(server_.address());
  socket.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived_.get_future().get();
  OnWorker([&] { exchange->StartStream(EventStream()); });
  socket.ReadUntil("\r\n\r\n");
  for (const char* piece : {"one", "two"}) {
    OnWorker([&] { exchange->Write(piece); });
    EXPECT_EQ(socket.ReadUntil("\r\n"), "3\r\n");
    EXPECT_EQ(socket.ReadUntil("\r\n"), std::string(piece) + "\r\n");
  }
  OnWorker([&] {
    EXPECT_FALSE(exchange->closed());
    exchange->End();
    EXPECT_TRUE(exchange->closed());
  });
  EXPECT_EQ(socket.ReadUntil("\r\n\r\n"), "0\r\n\r\n");
}

TEST_F(StreamTest, TellsTheHandlerThatTheClientHasGone) {
  RawSocket socket(server_.address());
  socket.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived_.get_future().get();
  std::promise<void> gone;
  OnWorker([&] {
    exchange->OnClose([&] { gone.set_value(); });
    exchange->StartStream(EventStream());
    exchange->Write("x");
  });
  socket.ReadUntil("x");
  socket.Close();
  gone.get_future().wait();
  OnWorker([&] {
    EXPECT_TRUE(exchange->closed());
    exchange->Write("ignored");
    exchange->End();
  });
}

TEST_F(StreamTest, WaitsForASlowReaderAndLosesNothing) {
  RawSocket socket(server_.address(), /*receive_buffer=*/4096);
  socket.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived_.get_future().get();
  const std::string piece(65536, 'p');
  OnWorker([&] {
    exchange->StartStream(EventStream());
    for (int i = 0; i < 128; ++i) exchange->Write(piece);
    exchange->End();
  });
  socket.ReadUntil("\r\n\r\n");
  const std::string body = socket.ReadUntil("\r\n0\r\n\r\n");
  EXPECT_EQ(static_cast<size_t>(std::count(body.begin(), body.end(), 'p')), 128 * piece.size());
}

TEST_F(StreamTest, CutsOffAReaderThatIsTooSlow) {
  RawSocket socket(server_.address(), /*receive_buffer=*/4096);
  socket.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived_.get_future().get();
  OnWorker([&] {
    exchange->StartStream(EventStream());
    const std::string piece(1024 * 1024, 'p');
    int written = 0;
    for (; written < 1000 && !exchange->closed(); ++written) exchange->Write(piece);
    EXPECT_GE(written, 16);
    EXPECT_LT(written, 100);
  });
}

TEST_F(StreamTest, ClientReadsUntilTheEndOrUntilItHasEnough) {
  Client client("http://" + server_.address());
  std::string all;
  const Status whole = client.Stream("/now", {}, [&](std::string_view data) {
    all += data;
    return true;
  });
  EXPECT_TRUE(whole.ok()) << whole.ToString();
  EXPECT_EQ(all, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
  std::string first;
  const Status some = client.Stream("/now", {}, [&](std::string_view data) {
    first += data;
    return false;
  });
  EXPECT_TRUE(some.ok()) << some.ToString();
  EXPECT_EQ(first, "data: 1\n\n");
}

}  // namespace
}  // namespace weir::http
