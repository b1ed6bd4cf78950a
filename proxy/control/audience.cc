#include "proxy/control/audience.h"

#include <algorithm>
#include <utility>

namespace mooring::control {

// Telling: who leaves while there is one is marked, and erased at its end; an exception is an end
// as well.
class Audience::Telling final {
 public:
  explicit Telling(Audience& audience) : audience_(audience) { ++audience_.telling_; }
  ~Telling() {
    if (--audience_.telling_ > 0) return;
    std::erase_if(audience_.members_, [](const Member& one) { return one.who == nullptr; });
  }
  Telling(const Telling&) = delete;
  Telling& operator=(const Telling&) = delete;

 private:
  Audience& audience_;
};

void Audience::Add(Subscriber* subscriber) { members_.push_back(Member{.who = subscriber}); }

void Audience::Remove(Subscriber* subscriber) {
  const auto it = std::find_if(members_.begin(), members_.end(),
                               [&](const Member& one) { return one.who == subscriber; });
  if (it == members_.end()) return;
  if (telling_ > 0) {
    it->who = nullptr;
  } else {
    members_.erase(it);
  }
}

bool Audience::empty() const {
  return std::none_of(members_.begin(), members_.end(),
                      [](const Member& one) { return one.who != nullptr; });
}

bool Audience::HasNewcomers() const {
  return std::any_of(members_.begin(), members_.end(),
                     [this](const Member& one) { return IsMeant(one, Whom::kNewcomers); });
}

// By index, here and below: they may join meanwhile.
void Audience::ForEach(const std::function<void(Subscriber&)>& act) {
  const Telling telling(*this);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (Subscriber* const one = members_[i].who; one != nullptr) act(*one);
  }
}

bool Audience::Any(const std::function<bool(Subscriber&)>& fits) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const Member& one) { return one.who != nullptr && fits(*one.who); });
}

Subscriber& Audience::Find(const std::function<bool(Subscriber&)>& fits) const {
  Subscriber* first = nullptr;
  for (const Member& member : members_) {
    if (member.who == nullptr) continue;
    if (fits(*member.who)) return *member.who;
    if (first == nullptr) first = member.who;
  }
  return *first;
}

std::optional<ErrorCode> Audience::Tell(const http::Response& answer, Subscriber::Facts facts,
                                        Whom whom, bool goes_on) {
  std::optional<ErrorCode> useless;
  std::exception_ptr escaped;
  facts.say = true;
  for (Member& member : members_) {  // of a telling that was cut short itself
    member.error.reset();
    member.cut_short = false;
  }
  const Telling telling(*this);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!IsMeant(members_[i], whom)) continue;
    members_[i].told = true;
    try {
      const Status taken = members_[i].who->Take(answer, facts);
      goes_on = goes_on || taken;
      if (!taken && !useless) useless = taken.error().code;
      if (!taken) members_[i].error = taken.error();
    } catch (...) {
      escaped = std::current_exception();
      members_[i].cut_short = true;
    }
    facts.say = false;
  }
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const auto error = std::exchange(members_[i].error, std::nullopt);
    const bool cut_short = std::exchange(members_[i].cut_short, false);
    Subscriber* const one = members_[i].who;
    if (one != nullptr && error) {
      one->OnFailed({.error = *error, .refused = false, .alone = goes_on, .say = true});
    } else if (one != nullptr && cut_short && (goes_on || useless)) {
      one->OnCutShort(goes_on);
    }
  }
  if (escaped && !goes_on && !useless) std::rethrow_exception(escaped);
  if (escaped) escaped_ = escaped;
  return goes_on ? std::nullopt : useless;
}

void Audience::TellFailure(const Error& error, bool refused, Whom whom) {
  bool say = whom == Whom::kAll;  // of newcomers the first ones have said it
  const Telling telling(*this);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!IsMeant(members_[i], whom)) continue;
    members_[i].told = true;
    members_[i].who->OnFailed(
        {.error = error, .refused = refused, .alone = false, .say = std::exchange(say, false)});
  }
}

void Audience::CutShort() noexcept {
  for (const Member& member : members_) {
    if (member.who != nullptr) member.who->OnCutShort(/*alone=*/false);
  }
}

void Audience::Rethrow() {
  if (escaped_) std::rethrow_exception(std::exchange(escaped_, nullptr));
}

}  // namespace mooring::control
