#include "proxy/control/feeder.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>

#include "proxy/control/question_parts.h"
#include "proxy/control/questions.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kSweep{1'000};
constexpr milliseconds kForgotten{60'000};  // a document that nobody has asked for so long
constexpr milliseconds kLongestWait{600'000};
constexpr std::size_t kConnections = 256;  // of all old generations
constexpr int kBadGateway = 502;
constexpr std::string_view kLeafPath = "/v1/agent/connect/ca/leaf";
constexpr std::string_view kAuthorizePath = "/v1/agent/connect/authorize";
// Of this server's own making.
constexpr std::array<std::string_view, 6> kOurHeaders{
    "content-length", "content-type", "connection", "date", "transfer-encoding", "vary"};

http::ServerResponse Refusal(int status, std::string text) {
  http::ServerResponse response;
  response.status = status;
  response.body = std::move(text);
  return response;
}

// WaitOf is what a blocking query asks for, as Question writes it: `wait=20000ms`.
std::optional<milliseconds> WaitOf(const http::ServerRequest& request) {
  const std::string* text = request.Query("wait");
  milliseconds::rep number = 0;
  if (text == nullptr) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || std::string_view(end) != "ms" || number < 0) return std::nullopt;
  return std::min(milliseconds(number), kLongestWait);
}

std::string VersionOf(const http::Response& response, Question::Blocking blocking) {
  const std::string* version = response.Header(
      blocking == Question::Blocking::kHash ? "x-consul-contenthash" : "x-consul-index");
  return version != nullptr ? *version : std::string();
}

}  // namespace

// Document is one question that old generations ask, and those who await its answer.
class Feeder::Document final : private Subscriber {
 public:
  Document(net::Loop& loop, std::shared_ptr<Agent> agent, const Question::What& what,
           const Question::How& how)
      : loop_(loop),
        agent_(std::move(agent)),
        blocking_(what.blocking),
        name_("feed " + what.path),
        question_(Questions::Of(agent_->link()).For(*agent_, what, how)),
        again_(loop, [this] { question_->Refresh(); }) {}
  ~Document() {
    if (joined_) question_->Leave(this);
  }

  // Ask has `reply` called with an answer that the agent gives from now on, or, where it waits,
  // with one of another version than `known`, or after `wait`.
  void Ask(const std::optional<std::string>& known, milliseconds wait,
           const http::Server::Reply& reply) {
    asked_at_ = loop_.now();
    if (known && last_ && VersionOf(*last_, blocking_) != *known) {
      reply(Answer());
      return;
    }
    waiting_.push_back({reply, known, loop_.now(), loop_.now() + wait});
    const bool asked = !std::exchange(joined_, true) && question_->Join(this);
    // What another has been told is as old as it likes, where the question is polled.
    if (!known && !asked) question_->Refresh();
  }

  // Look answers those whose time is over, with what is known, and asks again for those who know
  // nothing: a question for them may have come to nothing.
  void Look() {
    if (AreOverlooked(loop_.now() - kSweep)) again_.Arm();
    std::erase_if(waiting_, [this](const Waiting& one) {
      if (one.reply.gone()) return true;
      if (!one.known || !last_ || loop_.now() < one.until) return false;
      one.reply(Answer());
      return true;
    });
  }

  bool Forgotten() const { return waiting_.empty() && loop_.now() - asked_at_ > kForgotten; }

 private:
  struct Waiting {
    http::Server::Reply reply;
    std::optional<std::string> known;  // absent: it does not wait for a change
    net::MonotonicTime since;
    net::MonotonicTime until;
  };

  // AreOverlooked: somebody who knows nothing has waited since then or before.
  bool AreOverlooked(net::MonotonicTime since) const {
    return std::any_of(waiting_.begin(), waiting_.end(),
                       [since](const Waiting& one) { return !one.known && one.since <= since; });
  }

  Agent& agent() override { return *agent_; }
  const std::string& name() const override { return name_; }
  bool Knows() const override { return last_.has_value(); }
  milliseconds poll_interval() const override { return milliseconds(0); }
  const std::function<net::MonotonicTime()>& last_used() const override { return no_turns_; }
  const std::function<bool()>& spare() const override { return not_spare_; }
  bool IsAbsent(const http::Response&) override { return false; }

  Status Take(const http::Response& response, const Facts& facts) override {
    if (!facts.behind || !last_) last_ = response;
    const std::string version = VersionOf(*last_, blocking_);
    std::erase_if(waiting_, [&](const Waiting& one) {
      if (one.known ? *one.known == version : facts.answered_after < one.since) return false;
      one.reply(Answer());
      return true;
    });
    // They came while it was asked, or were told what another had been told.
    if (AreOverlooked(loop_.now())) again_.Arm();
    return Ok();
  }

  void OnFailed(const Failure& failure) override {
    // What is known is not the agent's word of now: they go by what they have.
    const http::ServerResponse said =
        Refusal(failure.refused ? 403 : kBadGateway, failure.error.message);
    for (const Waiting& one : std::exchange(waiting_, {})) one.reply(said);
  }

  void OnCutShort(bool) noexcept override {}  // they ask again when their time is over
  void Move() override {}                     // the token of a document is always the same

  http::ServerResponse Answer() const {
    http::ServerResponse response;
    response.content_type = "application/json";
    response.body = last_->body;
    for (const auto& [name, value] : last_->headers) {
      if (std::find(kOurHeaders.begin(), kOurHeaders.end(), name) == kOurHeaders.end())
        response.headers[name] = value;
    }
    return response;
  }

  net::Loop& loop_;
  const std::shared_ptr<Agent> agent_;
  const Question::Blocking blocking_;
  const std::string name_;
  const std::shared_ptr<Question> question_;
  net::Chore again_;
  const std::function<net::MonotonicTime()> no_turns_;
  const std::function<bool()> not_spare_;
  bool joined_ = false;
  net::MonotonicTime asked_at_{};
  std::optional<http::Response> last_;
  std::vector<Waiting> waiting_;
};

Feeder::Feeder(net::Loop& loop, AgentLink& link, net::UniqueFd listening)
    : loop_(loop),
      link_(link),
      sweep_(loop, [this] { Sweep(); }),
      server_(loop, std::move(listening), {.connections = kConnections},
              [this](const http::ServerRequest& request, const http::Server::Reply& reply) {
                Serve(request, reply);
              }) {
  sweep_.Start(kSweep);
}

Feeder::~Feeder() = default;

void Feeder::Serve(const http::ServerRequest& request, const http::Server::Reply& reply) {
  if (!request.user || *request.user != geteuid()) {
    reply(Refusal(403, "an old generation runs as our own user"));
    return;
  }
  const auto header = request.headers.find(kQuestionHeader);
  auto question = header != request.headers.end() ? ReadHeader(header->second) : std::nullopt;
  if (!question) {
    reply(Refusal(404, "old generations are told of documents alone"));
    return;
  }
  question->what.method = request.method;
  question->what.body = request.body;
  const bool asks = request.method == "GET" ||
                    (request.method == "POST" && question->what.path == kAuthorizePath);
  if (!asks || question->what.path.starts_with(kLeafPath)) {
    reply(Refusal(403, "documents alone are handed on, and no key"));
    return;
  }
  const auto token = request.headers.find("x-consul-token");
  const std::string* known =
      request.Query(question->what.blocking == Question::Blocking::kHash ? "hash" : "index");
  const milliseconds wait = WaitOf(request).value_or(question->how.wait);
  Find(question->what, question->how, token != request.headers.end() ? token->second : "")
      ->Ask(known != nullptr ? std::optional(*known) : std::nullopt, wait, reply);
}

Feeder::Document* Feeder::Find(const Question::What& what, const Question::How& how,
                               const std::string& secret) {
  auto& document = documents_[Key(what, secret)];
  if (!document) {
    std::weak_ptr<Agent>& known = agents_[secret];
    std::shared_ptr<Agent> agent = known.lock();
    if (!agent) known = agent = Agent::ForToken(link_, secret, "an old generation's token");
    document = std::make_unique<Document>(loop_, std::move(agent), what, how);
  }
  return document.get();
}

void Feeder::Sweep() {
  sweep_.Start(kSweep);
  for (const auto& [key, document] : documents_) document->Look();
  std::erase_if(documents_, [](const auto& one) { return one.second->Forgotten(); });
  std::erase_if(agents_, [](const auto& one) { return one.second.expired(); });
}

}  // namespace mooring::control
