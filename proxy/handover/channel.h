// Channel: messages between two generations of this program, or a command and one of them, over a
// unix socket: JSON, with descriptors beside it (SCM_RIGHTS).
//
// A message is four bytes of length, most significant first, and a JSON object with a `kind`. The
// other end is our own user's (place.h), but may be an older or a newer version: an unknown kind or
// field is ignored by who reads it, and what is no message ends the channel. Bounded in size and
// descriptors. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "authz/result.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::handover {

inline constexpr std::size_t kMaxMessage = std::size_t{64} << 20U;  // bytes
inline constexpr std::size_t kMaxDescriptors = 64;                  // of one message

struct Message {
  std::string kind;
  nlohmann::json fields = nlohmann::json::object();
  std::vector<net::UniqueFd> descriptors{};

  // These are a field, or what stands for none if it is absent or of another type.
  std::string Text(const char* name) const;
  std::int64_t Number(const char* name, std::int64_t otherwise = 0) const;
  bool Flag(const char* name) const;
  std::vector<std::string> Texts(const char* name) const;  // of a list; what is no text is left out
};

// Parse reads the JSON of one message; its descriptors are not in the text.
Result<Message> Parse(std::string_view text);

class Channel final {
 public:
  struct Callbacks {
    // Both may destroy the Channel.
    std::function<void(Message message)> on_message;
    std::function<void(const std::string& why)> on_end;  // once; nothing is called after it
  };
  // `fd` is connected, non-blocking, and taken over.
  Channel(net::Loop& loop, net::UniqueFd fd, Callbacks callbacks);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Send queues a message. Descriptors are copied by the kernel; those given here are closed once
  // they have been sent. What cannot be sent ends the channel.
  void Send(Message message);
  // Listen has what comes from now on told to others; also from inside a callback.
  void Listen(Callbacks callbacks) { callbacks_ = std::move(callbacks); }
  // Release gives the socket back, to go on with it on another loop; nullopt while there is more
  // than whole messages in it.
  std::optional<net::UniqueFd> Release();

 private:
  struct Outgoing {
    std::string bytes;
    std::size_t done = 0;
    std::vector<net::UniqueFd> descriptors;
  };

  void OnReady(net::Poller::Ready ready);
  bool Read();  // false: there is nothing now
  // Next is the next whole message in what has been read.
  Result<std::optional<Message>> Next();
  void Write();
  int Flush();  // what can be sent now; an errno that ends the channel, or 0
  void End(const std::string& why);

  net::Loop& loop_;
  net::UniqueFd fd_;
  Callbacks callbacks_;
  std::string in_;
  std::deque<net::UniqueFd> descriptors_;  // that came, and whose message is not whole yet
  std::deque<Outgoing> out_;
  bool ended_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<net::Poller> poller_;  // ends before fd_
};

}  // namespace mooring::handover
