#include "proxy/control/token.h"

#include <utility>

#include "authz/text.h"
#include "proxy/config/checks.h"
#include "tls/cleanse.h"

namespace mooring::control {

Result<std::shared_ptr<Token>> Token::Make(log::Log& log, Origin origin) {
  std::shared_ptr<Token> token(new Token(log, std::move(origin)));
  if (token->origin_.file.empty()) return token;
  if (auto read = token->Read(When::kFirst); !read)
    return Invalid("Error loading token file: " + read.error().message);
  if (const std::string warning = config::OpenToOthers(token->origin_.file); !warning.empty()) {
    log.Warn("agent", "a token is open to others", {{"warning", warning}});
  }
  if (token->once_) {
    log.Info("agent", "the token file is a pipe and was read once: another token needs a restart",
             {{"file", token->origin_.file}});
  }
  return token;
}

Token::~Token() {
  tls::Cleanse(&from_file_);
  tls::Cleanse(&origin_.given);
}

Status Token::Read(When when) {
  // Looked at before it is read: a write in between is then seen at the next look.
  const config::FileLook look = config::LookAt(origin_.file);
  const bool pipe = config::IsPipe(origin_.file);
  if (pipe && when == When::kAgain)
    return Invalid(origin_.file + ": it has become a pipe, which is read at the start alone");
  once_ = pipe;
  auto text = once_ ? config::ReadPipe(origin_.file) : config::ReadFile(origin_.file);
  if (!text) return text.error();
  std::string before = std::exchange(from_file_, std::string(authz::Trimmed(*text)));
  if (const Status sound = config::CheckToken(from_file_); !sound) {
    tls::Cleanse(&from_file_);
    from_file_ = std::move(before);
    tls::Cleanse(&*text);
    return Invalid(origin_.file + ": " + sound.error().message);
  }
  tls::Cleanse(&before);
  if (pipe && from_file_.empty())
    return Invalid(origin_.file + ": nothing came out of this pipe; is it given for two services?");
  tls::Cleanse(&*text);
  look_ = look;
  return Ok();
}

void Token::Renew() {
  if (origin_.file.empty() || once_ || config::LookAt(origin_.file) == look_) return;
  // A file that is gone or unreadable for a moment (it is being replaced) leaves the last token in
  // force.
  auto read = Read(When::kAgain);
  if (read) {
    error_said_ = false;
    log_.Info("agent", "token file read again", {{"file", origin_.file}});
  } else if (!error_said_) {
    error_said_ = true;
    log_.Warn("agent", "token file cannot be read; the token read before stays in force",
              {{"error", read.error().message}});
  }
}

std::string Token::Name() const {
  if (!from_file_.empty()) return "the token of " + origin_.file;
  if (!origin_.given.empty()) return origin_.name;
  return "no token" + WhyNone();
}

std::string Token::WhyNone() const {
  if (origin_.file.empty() || !Secret().empty()) return {};
  return " (the token file " + origin_.file + " is empty)";
}

std::string Token::NameOf(const std::string& secret) const {
  if (secret == Secret()) return Name();
  if (secret.empty()) return "no token";
  if (secret == origin_.given) return origin_.name;
  return "the token that " + origin_.file + " had before";
}

std::string Token::Blot(std::string text, const std::string& secret) const {
  for (const std::string* token : {&from_file_, &origin_.given, &secret}) {
    for (std::size_t at = 0;
         !token->empty() && (at = text.find(*token, at)) != std::string::npos;) {
      text.replace(at, token->size(), "(the token)");
    }
  }
  return text;
}

}  // namespace mooring::control
