#include "proxy/observe/recent.h"

#include <algorithm>
#include <utility>

#include "proxy/observe/account_text.h"

namespace mooring::observe {
namespace {

using Kept = std::shared_ptr<const Account>;

bool Fits(const Account& account, std::string_view match) {
  if (match.empty()) return true;
  const data::Record& record = account.report.record;
  const std::string peer = record.peer.length() == 0 ? std::string() : record.peer.Text();
  const std::string_view reason =
      record.reason ? data::CloseReasonName(*record.reason) : std::string_view();
  const std::string_view texts[] = {peer, account.source, account.destination, record.identity,
                                    reason};
  return std::any_of(std::begin(texts), std::end(texts), [match](std::string_view text) {
    return text.find(match) != std::string_view::npos;
  });
}

// Choose leaves the newest `limit` of those that match. They were put together service by service.
void Choose(std::vector<Kept>* all, const Recent::Question& question) {
  std::erase_if(*all, [&](const Kept& one) { return !Fits(*one, question.match); });
  std::stable_sort(all->begin(), all->end(),
                   [](const Kept& a, const Kept& b) { return a->report.at > b->report.at; });
  all->erase(all->begin(),
             all->begin() + static_cast<std::ptrdiff_t>(std::min(question.offset, all->size())));
  if (all->size() > question.limit) all->resize(question.limit);
}

void AppendList(std::string* out, const std::vector<Kept>& accounts) {
  *out += '[';
  for (std::size_t i = 0; i < accounts.size(); ++i) {
    *out += i == 0 ? "\n " : ",\n ";
    *out += JsonOf(*accounts[i]);
  }
  *out += ']';
}

}  // namespace

void Recent::Add(unsigned service) {
  const std::lock_guard lock(mutex_);
  services_[service];
}

void Recent::Remove(unsigned service) {
  decltype(services_)::node_type gone;  // ends after the lock
  const std::lock_guard lock(mutex_);
  gone = services_.extract(service);
}

void Recent::Keep(Kept account) {
  const auto put = [&account](Ring* ring, std::size_t most) {
    ring->push_front(account);
    if (ring->size() > most) ring->pop_back();
  };
  Kept first, second;  // what falls out ends after the lock
  const std::lock_guard lock(mutex_);
  const auto found = services_.find(account->report.service);
  if (found == services_.end()) return;
  OfService& service = found->second;
  if (service.ended.size() >= kEnded) first = service.ended.back();
  if (service.failed.size() >= kFailed) second = service.failed.back();
  put(&service.ended, kEnded);
  const auto& reason = account->report.record.reason;
  if (reason && data::IsFailure(*reason)) put(&service.failed, kFailed);
}

Recent::Answer Recent::Ask(const Question& question) const {
  Answer answer;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, service] : services_) {
      if (question.service && *question.service != number) continue;
      answer.ended.insert(answer.ended.end(), service.ended.begin(), service.ended.end());
      answer.failed.insert(answer.failed.end(), service.failed.begin(), service.failed.end());
    }
  }
  Choose(&answer.ended, question);
  Choose(&answer.failed, question);
  return answer;
}

std::string RecentJson(const Recent::Answer& answer, std::uint64_t missing) {
  std::string out = "{\"ended\":";
  AppendList(&out, answer.ended);
  out += ",\n\"failed\":";
  AppendList(&out, answer.failed);
  out += ",\n\"missing\":" + std::to_string(missing) + "}";
  return out;
}

}  // namespace mooring::observe
