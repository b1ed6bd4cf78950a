#include "proxy/control/watch.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include "tls/cleanse.h"
#include "tls/digest.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kFirstBackoff{250};
// Together with what follows the answer (an empty list is believed 2 s late) within the ten seconds in which fresh
// state is promised.
constexpr milliseconds kMaxBackoff{8'000};
constexpr milliseconds kMaxPatience{10'000};  // what a Retry-After may ask for
constexpr milliseconds kAnswerTime{10'000};  // what an agent may take beyond the wait it was asked for
// Answers may follow each other at once this often, then at this rate: an agent that re-issues leaves in a
// loop (25 a second were seen) must not keep us busy, and a change must not wait.
constexpr double kBurst = 4;
constexpr double kPerSecond = 4;
// An index that cannot be waited on, or that never moves though the answer came at once, must not spin.
constexpr milliseconds kNoSpin{1'000};
constexpr std::chrono::minutes kSayAgain{5};
constexpr std::size_t kVersionDigits = 12;
constexpr char kFilteredHeader[] = "x-consul-results-filtered-by-acls";
constexpr std::chrono::minutes kClockSlack{5};  // between the clocks of two runs

std::optional<std::uint64_t> ParseNumber(const std::string* text) {
  if (text == nullptr) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return value;
}

std::string DocumentName(const Watch::Options& options) {
  return options.name + " " + options.path + "?" + options.query;
}

// What is looked at besides the body.
std::map<std::string, std::string> KeptHeaders(const http::Response& response) {
  std::map<std::string, std::string> kept;
  for (const char* name : {"x-consul-translate-addresses", "x-consul-default-acl-policy", kFilteredHeader}) {
    if (const std::string* value = response.Header(name)) kept[name] = *value;
  }
  return kept;
}

// Where the agent numbers nothing, the content tells one version from another.
std::string ContentVersion(const http::Response& response) {
  return tls::Sha256Hex(response.body).substr(0, kVersionDigits);
}

bool Says(const http::Response& response, const std::string& header, std::string_view value) {
  const std::string* text = response.Header(header);
  return text != nullptr && *text == value;
}

}  // namespace

Watch::Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply)
    : loop_(loop),
      log_(log),
      agent_(agent),
      options_(std::move(options)),
      apply_(std::move(apply)),
      document_(DocumentName(options_)),
      client_(agent.NewClient()),
      timer_(loop, [this] { Send(); }),
      restore_(loop, [this] { Restore(); }),
      allowance_(kBurst),
      allowance_at_(loop.now()),
      random_(std::random_device{}()) {
  if (options_.keep && agent_.store() != nullptr) {
    ticket_ = agent_.store()->Follow(document_, options_.secret, [this] { Refresh(); });
  }
}

Watch::~Watch() {
  agent_.ForgetWaiting(this);
  if (ticket_) agent_.store()->Unfollow(*ticket_);
}

void Watch::Start() { Send(); }

void Watch::Refresh() {
  refresh_wanted_ = true;
  // A question that does not block is answered soon, and asked again then; cut short each time, it might never be.
  if (client_->busy() && !blocking_) return;
  timer_.Stop();
  Send();
}

void Watch::Stop() {
  timer_.Stop();
  restore_.Stop();
  client_->Cancel();
  refresh_wanted_ = false;
  agent_.ForgetWaiting(this);
}

bool Watch::TooOld() const {
  const bool asked_once = options_.blocking == Blocking::kNone && options_.poll_interval.count() == 0;
  return !asked_once && agent_.max_stale().count() > 0 && state_.fresh_at &&
         loop_.now() - *state_.fresh_at > agent_.max_stale();
}

void Watch::Send() {
  if (!std::exchange(restore_armed_, true) && ticket_) {
    const auto wait = std::chrono::duration_cast<milliseconds>(agent_.SavedFrom() - loop_.now());
    restore_.Start(std::max(wait, milliseconds(0)));
  }
  std::string query = options_.query;
  const auto add = [&query](const std::string& text) {
    if (!query.empty()) query += '&';
    query += text;
  };
  milliseconds deadline = kAnswerTime;
  sent_index_ = 0;
  // After a failure the first question is not a blocking one: it says at once that the agent is back.
  if (!refresh_wanted_ && failures_ == 0) {
    const std::string wait = "wait=" + std::to_string(options_.wait.count()) + "ms";
    if (options_.blocking == Blocking::kIndex && state_.index > 0) {
      sent_index_ = state_.index;
      add("index=" + std::to_string(state_.index));
      add(wait);
      deadline += options_.wait + options_.wait / 16;  // the server adds up to a sixteenth
    } else if (options_.blocking == Blocking::kHash && !hash_.empty()) {
      add("hash=" + UrlEncode(hash_));
      add(wait);
      deadline += options_.wait + options_.wait / 16;
    }
  }
  refresh_wanted_ = false;
  http::Request request = agent_.NewRequest(options_.method, options_.path, query);
  request.body = options_.body;
  request.deadline = deadline;
  request.blocking = blocking_ = deadline > kAnswerTime;
  sent_at_ = loop_.now();
  client_->Send(std::move(request), [this](Result<http::Response> answer) { OnAnswer(std::move(answer)); });
}

void Watch::OnAnswer(Result<http::Response> answer) {
  if (answer) agent_.NoteAnswer();
  if (!answer) {
    Fail(answer.error(), milliseconds(0));
    return;
  }
  if (answer->status != 200) {
    milliseconds at_least{0};
    if (const auto seconds = ParseNumber(answer->Header("retry-after"))) {
      at_least = std::min(milliseconds(static_cast<milliseconds::rep>(std::min<std::uint64_t>(*seconds, 10) * 1000)),
                          kMaxPatience);
    }
    const Error error = Explain(*answer, agent_, options_.name);
    if (answer->status == 403 || answer->status == 404) state_.refusal = error.message;
    Fail(error, at_least);
    return;
  }
  if (auto distrust = Distrust(*answer)) {
    Fail(*distrust, milliseconds(0));
    return;
  }
  Status applied = apply_(*answer);
  if (!applied) {
    tls::Cleanse(&answer->body);
    Fail({applied.error().code, options_.name + ": " + applied.error().message}, milliseconds(0));
    return;
  }
  if (ticket_) {
    agent_.store()->Keep(*ticket_, KeptHeaders(*answer), answer->body);
  }
  Succeed(*answer);
  if (options_.secret) tls::Cleanse(&answer->body);
}

std::optional<Error> Watch::Distrust(const http::Response& response) {
  using Partial = Options::Partial;
  if (options_.partial == Partial::kUnmarked) return std::nullopt;
  const bool nothing_better = options_.partial == Partial::kInsteadOfNothing && state_.source == State::Source::kNone;
  if (Says(response, "x-consul-knownleader", "false") && !nothing_better) {
    return Error{ErrorCode::kUnavailable,
                 options_.name + ": not taken up: the answer comes from a server with no known leader"};
  }
  const bool filtered = Says(response, kFilteredHeader, "true");
  // A token that has never seen the whole list gets its changes all the same.
  const bool no_less = nothing_better || (options_.partial == Partial::kInsteadOfNothing && state_.filtered);
  if (filtered && !no_less) {
    state_.refusal = options_.name + ": not taken up: the answer was filtered by ACLs; a permission is missing from " +
                     agent_.TokenName();
    return Error{ErrorCode::kDenied, state_.refusal};
  }
  return std::nullopt;
}

void Watch::Restore() {
  if (!ticket_ || state_.source != State::Source::kNone) return;
  auto saved = agent_.store()->Saved(*ticket_);
  if (!saved) return;
  const auto age = std::chrono::system_clock::now() - saved->confirmed;
  http::Response response;
  response.status = 200;
  response.from_disk = true;
  response.headers = std::move(saved->headers);
  response.body = std::move(saved->body);
  std::string version = ContentVersion(response);
  Status applied = apply_(response);
  tls::Cleanse(&response.body);
  if (!applied) {
    log_.Err("agent", "saved state not used", {{"watch", options_.name}, {"reason", applied.error().message}});
    return;
  }
  state_.source = State::Source::kDisk;
  state_.filtered = Says(response, kFilteredHeader, "true");
  state_.version = std::move(version);
  state_.fresh_at = loop_.now() - std::chrono::duration_cast<net::MonotonicTime::duration>(age);
  // A time of confirmation that has not come yet proves no age: with a limit it is beyond it.
  if (age < -kClockSlack) state_.fresh_at = net::MonotonicTime{} - std::chrono::hours(24 * 365);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  log_.Warn("agent", "serving from saved state", {{"watch", options_.name}, {"age_seconds", std::to_string(seconds)}});
}

void Watch::Succeed(const http::Response& response) {
  const bool recovered = state_.phase == State::Phase::kRetrying;
  if (recovered) {
    log_.Info("agent", "watch recovered", {{"watch", options_.name}, {"agent", agent_.name()}});
  }
  agent_.ForgetWaiting(this);
  restore_.Stop();
  failures_ = 0;
  refusal_said_at_.reset();
  state_.phase = State::Phase::kOk;
  state_.source = State::Source::kAgent;
  state_.filtered = Says(response, kFilteredHeader, "true");
  state_.last_error.clear();
  state_.refusal.clear();
  state_.fresh_at = loop_.now();
  ++state_.updates;

  const net::MonotonicTime now = loop_.now();
  const bool came_at_once = now - sent_at_ < kNoSpin;
  state_.version.clear();
  bool can_wait = false;
  bool unmoved = false;
  switch (options_.blocking) {
    case Blocking::kIndex: {
      const std::uint64_t index = ParseNumber(response.Header("x-consul-index")).value_or(0);
      can_wait = index > 0;
      unmoved = sent_index_ != 0 && index == sent_index_;
      state_.index = index < sent_index_ ? 0 : index;  // backwards: the agent's state is a new one
      state_.version = index > 0 ? std::to_string(index) : std::string();
      break;
    }
    case Blocking::kHash: {
      const std::string* hash = response.Header("x-consul-contenthash");
      can_wait = hash != nullptr && !hash->empty();
      const std::string next = can_wait ? *hash : std::string();
      unmoved = next == hash_ && !hash_.empty();
      hash_ = next;
      state_.version = next;
      break;
    }
    case Blocking::kNone:
      break;
  }
  state_.can_wait = can_wait;
  if (state_.version.empty()) state_.version = ContentVersion(response);
  if (recovered) agent_.SayBack();
  if (refresh_wanted_) {
    Send();
    return;
  }
  if (!can_wait) {
    if (options_.poll_interval.count() > 0) timer_.Start(options_.poll_interval);
    return;
  }
  if (unmoved && came_at_once) {
    timer_.Start(kNoSpin);
    return;
  }
  const double elapsed = std::chrono::duration<double>(now - allowance_at_).count();
  allowance_ = std::min(kBurst, allowance_ + elapsed * kPerSecond);
  allowance_at_ = now;
  if (allowance_ >= 1) {
    allowance_ -= 1;
    Send();
  } else {
    timer_.Start(milliseconds(static_cast<milliseconds::rep>((1 - allowance_) / kPerSecond * 1000) + 1));
  }
}

void Watch::Fail(const Error& error, milliseconds at_least) {
  ++failures_;
  ++state_.errors;
  const bool news = state_.last_error != error.message;
  state_.phase = State::Phase::kRetrying;
  state_.last_error = error.message;
  if (error.code == ErrorCode::kDenied) {
    SayRefused(error);
  } else if (news) {
    log_.Warn("agent", "watch failed, will retry",
              {{"watch", options_.name}, {"error", error.message}, {"agent", agent_.name()}});
  }
  timer_.Start(std::max(Backoff(), at_least));
  // An agent that asks for patience gets it; a silent or broken one is asked again as soon as it is back.
  if (error.code == ErrorCode::kUnavailable && at_least.count() == 0) {
    agent_.CallWhenBack(this, [this] { Refresh(); });
  } else {
    agent_.ForgetWaiting(this);
  }
  Restore();
  if (on_error_) on_error_(error);
}

void Watch::SayRefused(const Error& error) {
  // No outage, and nothing that waiting cures: said loudly, and again while it lasts.
  if (refusal_said_at_ && loop_.now() - *refusal_said_at_ < kSayAgain) return;
  refusal_said_at_ = loop_.now();
  agent_.NameToken([&log = log_, watch = options_.name, message = error.message,
                    needs = options_.needs](const std::string& token) {
    log.Err("agent", "agent refuses",
              {{"watch", watch}, {"error", message}, {"token", token}, {"needs", needs}});
  });
}

milliseconds Watch::Backoff() {
  const unsigned doublings = std::min(failures_ > 0 ? failures_ - 1 : 0u, 6u);
  const milliseconds limit = std::min(kFirstBackoff * (1 << doublings), kMaxBackoff);
  // Between half and all of it, so that many proxies do not come back at one moment.
  std::uniform_int_distribution<milliseconds::rep> spread(limit.count() / 2, limit.count());
  return milliseconds(spread(random_));
}

}  // namespace mooring::control
