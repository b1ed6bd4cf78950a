#include "proxy/data/judge.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace mooring::data {

std::optional<Objection> BeforeHandshake(const Snapshot* now, tls::WallTime time) {
  const auto objection = [](CloseReason reason, const char* detail,
                            tls::Alert alert = tls::Alert::kInternalError) {
    return Objection{reason, alert, detail, log::Level::kError};
  };
  if (now == nullptr || !now->identity || !now->inbound)
    return objection(CloseReason::kNotReady, "no identity yet");
  if (now->identity->leaf->ExpiredAt(time)) {
    return objection(CloseReason::kLeafExpired,
                     "the agent has not renewed our leaf certificate; see its log",
                     tls::Alert::kCertificateExpired);
  }
  if (now->roots_stale) return objection(CloseReason::kStale, "the roots are older than max_stale");
  return std::nullopt;
}

Judge::Judge(const Snapshot* before, const Snapshot& now, const Judge* unfinished) : now_(now) {
  if (before == nullptr || !before->identity || !now.identity) {
    chains_ = now.identity != nullptr;
  } else {
    // Roots that are merely added take nothing away, and a verification costs a signature check.
    chains_ = before->identity->roots != now.identity->roots &&
              !now.identity->roots->Includes(*before->identity->roots);
  }
  decisions_ =
      before == nullptr || before->intentions != now.intentions || before->fallback != now.fallback;
  if (unfinished != nullptr) {
    chains_ = chains_ || unfinished->chains_;
    decisions_ = decisions_ || unfinished->decisions_;
  }
}

std::optional<Objection> Judge::OfCaller(const tls::Session& session, Moment moment,
                                         std::string* by) {
  const bool entering = moment == Moment::kEntering;
  if (entering && (!now_.identity || !now_.inbound)) {
    return Objection{CloseReason::kNotReady, tls::Alert::kInternalError, "identity was withdrawn",
                     log::Level::kWarn};
  }
  if (std::optional<Objection> objection = OfChain(session, moment)) return objection;
  if (moment == Moment::kLive && !decisions_) return std::nullopt;
  if (!now_.intentions) {
    return Objection{CloseReason::kNotReady, tls::Alert::kAccessDenied,
                     "intentions are not known yet", log::Level::kWarn};
  }
  // What is old goes on to hold for those who are in.
  if (entering && (now_.roots_stale || now_.intentions_stale)) {
    return Objection{CloseReason::kStale, tls::Alert::kInternalError,
                     "roots or intentions are older than max_stale", log::Level::kError};
  }
  authz::Decision decision = Decide(session, moment);
  if (!decision.allowed) {
    return Objection{entering ? CloseReason::kDenied : CloseReason::kRevoked,
                     tls::Alert::kAccessDenied, std::move(decision.reason), log::Level::kInfo};
  }
  if (by != nullptr) *by = std::move(decision.reason);
  return std::nullopt;
}

std::optional<Objection> Judge::OfInstance(const tls::Session& session, Moment moment) {
  return OfChain(session, moment);
}

std::optional<Objection> Judge::OfChain(const tls::Session& session, Moment moment) {
  if ((!chains_ && moment != Moment::kInGrace) || !now_.identity) return std::nullopt;
  const auto [entry, added] = by_chain_.try_emplace(session.ChainKey());
  if (added) entry->second = session.Rejudge(*now_.identity->roots);
  const tls::Judgement& again = entry->second;
  if (again.refusal == tls::Refusal::kNone) return std::nullopt;
  if (moment == Moment::kEntering) {
    return Objection{FromRefusal(again.refusal), tls::AlertFor(again.refusal), again.detail,
                     log::Level::kInfo};
  }
  return Objection{CloseReason::kRootRemoved, tls::AlertFor(again.refusal),
                   std::string(tls::RefusalName(again.refusal)) + ": " + again.detail,
                   log::Level::kInfo};
}

authz::Decision Judge::Decide(const tls::Session& session, Moment moment) {
  const authz::ServiceId& source = session.judgement().id;
  if (moment == Moment::kEntering) return now_.intentions->Decide(source, now_.fallback);
  const auto [entry, added] = by_source_.try_emplace(source.Uri());
  if (added) entry->second = now_.intentions->Decide(source, now_.fallback);
  return entry->second;
}

Grace::Then Grace::Note(const LivePolicy& policy, std::optional<Objection> verdict,
                        net::MonotonicTime changed) {
  if (verdict && !objection_) ends_ = changed + policy.revoke_grace;
  objection_ = std::move(verdict);
  if (!objection_) return Then::kGoesOn;
  if (policy.revoke_grace.count() == 0 || changed >= ends_) return Then::kEnds;
  if (!policy.revoke_quietly) return Then::kWaits;
  return objection_->reason == CloseReason::kRootRemoved ? Then::kEnds : Then::kQuiets;
}

net::milliseconds Grace::Left(net::MonotonicTime now) const {
  return std::max(net::milliseconds(0), std::chrono::ceil<net::milliseconds>(ends_ - now));
}

}  // namespace mooring::data
