#include "proxy/data/review.h"

#include <utility>

namespace mooring::data {

bool Enforce(const LivePolicy& policy, std::optional<Objection> verdict, std::optional<Objection>* standing,
             net::Timer* grace) {
  const bool stood = standing->has_value();
  *standing = std::move(verdict);
  if (!*standing) {
    if (stood) grace->Stop();  // allowed again within the grace
    return false;
  }
  if (policy.revoke_grace.count() == 0) return true;
  if (!stood) grace->Start(policy.revoke_grace);
  return false;
}

std::optional<Objection> JudgeChain(const Snapshot& snapshot, const tls::Session& session) {
  const tls::Judgement again = session.Rejudge(*snapshot.identity->roots);
  if (again.refusal == tls::Refusal::kNone) return std::nullopt;
  return Objection{CloseReason::kRootRemoved, tls::AlertFor(again.refusal),
                   std::string(tls::RefusalName(again.refusal)) + ": " + again.detail};
}

std::optional<Objection> JudgeCaller(const Snapshot& snapshot, const authz::ServiceId& source) {
  if (!snapshot.intentions) {
    return Objection{CloseReason::kRevoked, tls::Alert::kAccessDenied, "intentions are not known yet"};
  }
  authz::Decision decision = snapshot.intentions->Decide(source, snapshot.fallback);
  if (decision.allowed) return std::nullopt;
  return Objection{CloseReason::kRevoked, tls::Alert::kAccessDenied, std::move(decision.reason)};
}

Review::Review(const Snapshot* before, const Snapshot& now) : now_(now) {
  if (before == nullptr || !before->identity || !now.identity) {
    chains_ = now.identity != nullptr;
  } else {
    // Roots that are merely added take nothing away, and a verification costs a signature check.
    chains_ = before->identity->roots != now.identity->roots &&
              !now.identity->roots->Includes(*before->identity->roots);
  }
  decisions_ = before == nullptr || before->intentions != now.intentions || before->fallback != now.fallback;
}

std::optional<Objection> Review::OfCaller(const tls::Session& session, bool again) {
  if (std::optional<Objection> objection = OfChain(session, again)) return objection;
  if (!decisions_ && !again) return std::nullopt;
  const authz::ServiceId& source = session.judgement().id;
  const auto [entry, added] = by_source_.try_emplace(source.Uri());
  if (added) entry->second = JudgeCaller(now_, source);
  return entry->second;
}

std::optional<Objection> Review::OfInstance(const tls::Session& session, bool again) {
  return OfChain(session, again);
}

std::optional<Objection> Review::OfChain(const tls::Session& session, bool again) {
  if ((!chains_ && !again) || !now_.identity) return std::nullopt;
  const auto [entry, added] = by_chain_.try_emplace(session.ChainKey());
  if (added) entry->second = JudgeChain(now_, session);
  return entry->second;
}

}  // namespace mooring::data
