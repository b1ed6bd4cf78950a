#include "proxy/control/watch.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kFirstBackoff{250};
constexpr milliseconds kMaxBackoff{10'000};
constexpr milliseconds kAnswerTime{10'000};  // what an agent may take beyond the wait it was asked for
// Answers may follow each other at once this often, then at this rate: an agent that re-issues leaves in a
// loop (25 a second were seen) must not keep us busy, and a change must not wait.
constexpr double kBurst = 4;
constexpr double kPerSecond = 4;
// An index that cannot be waited on, or that never moves though the answer came at once, must not spin.
constexpr milliseconds kNoSpin{1'000};

std::optional<std::uint64_t> ParseNumber(const std::string* text) {
  if (text == nullptr) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return value;
}

}  // namespace

Watch::Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply)
    : loop_(loop),
      log_(log),
      agent_(agent),
      options_(std::move(options)),
      apply_(std::move(apply)),
      client_(agent.NewClient()),
      timer_(loop, [this] { Send(); }),
      allowance_(kBurst),
      allowance_at_(loop.now()),
      random_(std::random_device{}()) {}

Watch::~Watch() = default;

void Watch::Start() { Send(); }

void Watch::Refresh() {
  refresh_wanted_ = true;
  timer_.Stop();
  Send();
}

void Watch::Send() {
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
  sent_at_ = loop_.now();
  client_->Send(std::move(request), [this](Result<http::Response> answer) { OnAnswer(std::move(answer)); });
}

void Watch::OnAnswer(Result<http::Response> answer) {
  if (!answer) {
    Fail(answer.error(), milliseconds(0));
    return;
  }
  if (answer->status != 200) {
    milliseconds at_least{0};
    if (const auto seconds = ParseNumber(answer->Header("retry-after"))) {
      at_least = std::min(milliseconds(static_cast<milliseconds::rep>(std::min<std::uint64_t>(*seconds, 10) * 1000)),
                          kMaxBackoff);
    }
    Fail(Explain(*answer, agent_, options_.name), at_least);
    return;
  }
  if (Status applied = apply_(*answer); !applied) {
    Fail({applied.error().code, options_.name + ": " + applied.error().message}, milliseconds(0));
    return;
  }
  Succeed(*answer);
}

void Watch::Succeed(const http::Response& response) {
  if (state_.phase == State::Phase::kRetrying) {
    log_.Info("agent", "watch recovered", {{"watch", options_.name}, {"agent", agent_.name()}});
  }
  failures_ = 0;
  state_.phase = State::Phase::kOk;
  state_.last_error.clear();
  state_.last_code.reset();
  state_.fresh_at = loop_.now();
  ++state_.updates;

  const net::MonotonicTime now = loop_.now();
  const bool came_at_once = now - sent_at_ < kNoSpin;
  bool can_wait = false;
  bool unmoved = false;
  switch (options_.blocking) {
    case Blocking::kIndex: {
      const std::uint64_t index = ParseNumber(response.Header("x-consul-index")).value_or(0);
      can_wait = index > 0;
      unmoved = sent_index_ != 0 && index == sent_index_;
      state_.index = index < sent_index_ ? 0 : index;  // backwards: the agent's state is a new one
      break;
    }
    case Blocking::kHash: {
      const std::string* hash = response.Header("x-consul-contenthash");
      can_wait = hash != nullptr && !hash->empty();
      const std::string next = can_wait ? *hash : std::string();
      unmoved = next == hash_ && !hash_.empty();
      hash_ = next;
      break;
    }
    case Blocking::kNone:
      break;
  }
  state_.can_wait = can_wait;
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
  state_.last_code = error.code;
  if (news) {
    log_.Warn("agent", "watch failed, will retry",
              {{"watch", options_.name}, {"error", error.message}, {"agent", agent_.name()}});
  }
  timer_.Start(std::max(Backoff(), at_least));
  if (on_error_) on_error_(error);
}

milliseconds Watch::Backoff() {
  const unsigned doublings = std::min(failures_ > 0 ? failures_ - 1 : 0u, 6u);
  const milliseconds limit = std::min(kFirstBackoff * (1 << doublings), kMaxBackoff);
  // Between half and all of it, so that many proxies do not come back at one moment.
  std::uniform_int_distribution<milliseconds::rep> spread(limit.count() / 2, limit.count());
  return milliseconds(spread(random_));
}

}  // namespace mooring::control
