// Token: one ACL token, as its setting or its file has it now.
//
// The file is looked at again for every request and read when it has changed, so a rotated token is
// in force with the next one. A pipe, as the shell's <(...), is read once. Services that name the
// same file share one Token (AgentLink::TokenOf); two that hold the same secret from different
// places are the same to the agent, and Secret says so. Loop thread only.
#pragma once

#include <compare>
#include <memory>
#include <string>
#include <utility>

#include "authz/result.h"
#include "proxy/config/file.h"
#include "proxy/log/log.h"

namespace mooring::control {

class Token final {
 public:
  // Origin is where a token comes from. What the file has beats `given`, unless it is empty.
  struct Origin {
    std::string given;  // a secret
    std::string file;   // a path
    // of `given`, for messages
    std::string name = "the token given by -token, agent.token or CONSUL_HTTP_TOKEN";
    auto operator<=>(const Origin&) const = default;
  };

  // Make reads the file; an unreadable one is an error that names it.
  static Result<std::shared_ptr<Token>> Make(log::Log& log, Origin origin);
  ~Token();
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  // Renew looks at the file, and reads it where it has changed. One that cannot be read for a
  // moment leaves the token in force.
  void Renew();
  // Secret is the token in force, empty if there is none. Two Tokens are the same to the agent
  // where this is equal.
  const std::string& Secret() const { return from_file_.empty() ? origin_.given : from_file_; }

  const Origin& origin() const { return origin_; }
  // Name says which token is in use, never the token: "the token of /etc/mooring/token", "no
  // token".
  std::string Name() const;
  // NameOf says which token `secret` is, by which something was asked: the one in force, or what
  // the file had before.
  std::string NameOf(const std::string& secret) const;
  // WhyNone is " (the token file ... is empty)" where that is why there is no token.
  std::string WhyNone() const;
  // Blot replaces the token, and `secret`, in a text of the agent's, which may repeat what it was
  // asked with.
  std::string Blot(std::string text, const std::string& secret = {}) const;

 private:
  Token(log::Log& log, Origin origin) : log_(log), origin_(std::move(origin)) {}
  enum class When { kFirst, kAgain };
  Status Read(When when);

  log::Log& log_;
  Origin origin_;
  std::string from_file_;
  config::FileLook look_;  // what the file looked like when it was read
  bool once_ = false;      // the file is a pipe, and has been read
  bool error_said_ = false;
};

}  // namespace mooring::control
