// Dns: the addresses of a host name by /etc/hosts and the Domain Name System, on a Loop, without a
// thread (c-ares).
//
// Any number of look-ups may be under way: they share a few sockets, and the end of this object
// ends them all. Searches and orders as resolv.conf(5), hosts(5) and RFC 6724 say; a change of
// these files counts from the next try on. Knows no other source of nsswitch.conf(5), caches
// nothing, shares nothing: names.h does. Loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

struct ares_addrinfo;

namespace mooring::net {

class Dns final {
 public:
  // Port 0, never empty. kNotFound: there is no such name, it has no address, or there is nobody to
  // ask. kUnavailable: nobody has answered, or not well.
  using Found = Result<std::vector<SocketAddress>>;
  using Callback = std::function<void(Found)>;

  explicit Dns(Loop& loop);
  ~Dns();  // what is under way is dropped; its callbacks never run
  Dns(const Dns&) = delete;
  Dns& operator=(const Dns&) = delete;

  // LookUp calls back once, never from inside LookUp. A name that nobody answers for fails after 14
  // s for each server and for each domain that is searched.
  void LookUp(const std::string& host, Callback callback);

 private:
  struct Channel;
  struct Question;
  // What the files that a channel was made from looked like.
  using FilesLook = std::array<std::int64_t, 8>;

  static FilesLook LookAtFiles();
  Channel* CurrentChannel();
  void Ask(std::unique_ptr<Question> question);
  // Take makes an answer of c-ares' ours; `question` stays if this throws.
  void Take(std::unique_ptr<Question>& question, int status, const ares_addrinfo* list);
  void Answered(const std::unique_ptr<Question>& question, Found found);
  // Lost is for a question whose answer there was no memory for; TellLost fails it after the event
  // under way.
  void Lost(std::unique_ptr<Question> question) noexcept;
  void TellLost();
  void Deliver();
  // Settle ends channels that nobody needs any more, and begins again after a change of the files.
  void Settle();

  Loop& loop_;
  std::vector<std::unique_ptr<Channel>> channels_;  // the last one takes new questions
  FilesLook look_{};
  std::vector<std::unique_ptr<Question>> again_;  // their channel ended before they were answered
  std::vector<std::function<void()>> answers_;    // to be told after the event under way
  std::unique_ptr<Question> lost_;
  Chore tell_lost_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool ending_ = false;
};

}  // namespace mooring::net
