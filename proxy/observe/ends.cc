#include "proxy/observe/ends.h"

#include <algorithm>

#include "proxy/data/traffic.h"

namespace mooring::observe {
namespace {

bool Alike(const Account& a, const Account& b) {
  const data::Record& x = a.report.record;
  const data::Record& y = b.report.record;
  return x.kind == y.kind && x.reason == y.reason && x.detail == y.detail;
}

// A probe and a port scan are nobody's call.
bool IsStranger(const Account& account) {
  const auto& reason = account.report.record.reason;
  return account.source == data::Traffic::kUnproven && reason && data::IsFailure(*reason);
}

}  // namespace

std::vector<End> EndsBetween(const std::vector<std::shared_ptr<const Account>>& accounts,
                             const std::string& source, const std::string& destination) {
  std::vector<End> ends;
  for (const auto& account : accounts) {
    if (account->destination != destination || !account->report.record.reason) continue;
    const bool stranger = account->source != source;
    if (stranger && !IsStranger(*account)) continue;
    const auto known = std::find_if(ends.begin(), ends.end(), [&](const End& end) {
      return end.perhaps == stranger && Alike(*end.last, *account);
    });
    if (known != ends.end()) {
      ++known->times;
    } else if (ends.size() < kMostEnds) {
      ends.push_back({account, 1, stranger});
    }
  }
  return ends;
}

}  // namespace mooring::observe
