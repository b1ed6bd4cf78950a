#include "proxy/data/lister.h"

#include <algorithm>
#include <new>
#include <utility>

namespace mooring::data {
namespace {

// libuv would serve a timer of 0, started anew by itself, for ever within one turn.
constexpr net::milliseconds kNextTurn{1};

char Small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// All that somebody may look for.
std::string Searchable(const ConnectionView& view) {
  std::string text;
  for (const std::string* part :
       {&view.source, &view.destination, &view.identity, &view.decided_by})
    text += *part + '\n';
  text += view.peer.Text() + '\n' + view.local.Text() + '\n';
  if (view.endpoint) text += view.endpoint->Text() + '\n';
  if (view.instance) text += view.instance->node + '/' + view.instance->id + '\n';
  text += std::string(view.kind == ListenerKind::kPublic ? "inbound" : "outbound") + '\n' +
          ConnectionStateName(view.state) + '\n' + view.tls.version + '\n' + view.tls.group + '\n' +
          std::to_string(view.id) + '\n';
  return text;
}

}  // namespace

std::vector<std::string> WordsOf(const std::string& typed) {
  std::vector<std::string> words;
  bool in_word = false;
  for (const char c : typed) {
    if (c == ' ' || c == '\t') {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    words.back() += Small(c);
  }
  return words;
}

bool HasAll(std::string text, const std::vector<std::string>& words) {
  std::transform(text.begin(), text.end(), text.begin(), Small);
  return std::all_of(words.begin(), words.end(),
                     [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

bool Before(Wanted::Order order, const ConnectionView& a, const ConnectionView& b) {
  if (order == Wanted::Order::kBytes) {
    const std::uint64_t of_a = a.bytes_in + a.bytes_out;
    const std::uint64_t of_b = b.bytes_in + b.bytes_out;
    if (of_a != of_b) return of_a > of_b;
  }
  return a.id > b.id;
}

bool Inquiry::Matches(const ConnectionView& view) const {
  return wanted_.words.empty() || HasAll(Searchable(view), wanted_.words);
}

void Inquiry::Take(Connection& connection) {
  if (wanted_.feed) {
    connection.Feed();
    return;
  }
  std::vector<ConnectionView>& views = found_.views;
  const auto before = [this](const ConnectionView& a, const ConnectionView& b) {
    return Before(wanted_.order, a, b);
  };
  const bool full = views.size() >= wanted_.most;
  // Older than all that are kept: there is nothing to look at but whether it matches.
  const bool late = full && wanted_.order == Wanted::Order::kNewest &&
                    (views.empty() || connection.record().id < views.front().id);
  if (late && wanted_.words.empty()) {
    ++found_.matched;
    return;
  }
  ConnectionView view;
  connection.Show(&view);
  if (!Matches(view)) return;
  ++found_.matched;
  if (late || wanted_.most == 0) return;
  if (full) {
    if (!before(view, views.front())) return;
    std::pop_heap(views.begin(), views.end(), before);
    views.back() = std::move(view);
  } else {
    views.push_back(std::move(view));
  }
  std::push_heap(views.begin(), views.end(), before);
}

void Inquiry::Return(bool failed) noexcept {
  found_.failed = failed;
  *into_ = std::move(found_);
  asker_.Post(std::move(back_));
}

Lister::Lister(net::Loop& loop, Connections& connections)
    : connections_(connections), next_(loop, [this] { GoOn(); }) {}

void Lister::Ask(std::shared_ptr<Inquiry> inquiry) noexcept {
  try {
    asked_.push_back(inquiry);
  } catch (const std::bad_alloc&) {
    inquiry->Return(/*failed=*/true);
    return;
  }
  if (asked_.size() > 1) return;
  rounds_.Restart();
  GoOn();
}

void Lister::GoOn() noexcept {
  if (asked_.empty()) return;
  Inquiry& inquiry = *asked_.front();
  bool failed = false;
  try {
    rounds_.Next([&](const std::unique_ptr<Connection>& connection) {
      if (!connection->retired()) inquiry.Take(*connection);
    });
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  if (failed || rounds_.AtEnd()) {
    inquiry.Return(failed);
    asked_.pop_front();
    rounds_.Restart();
  }
  if (!asked_.empty()) next_.Start(kNextTurn);
}

}  // namespace mooring::data
