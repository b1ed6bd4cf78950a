#include "proxy/data/leg_failure.h"

#include <cerrno>
#include <cstring>

namespace mooring::data {
namespace {

// OfAlert: an instance says by this one alert that it does not let us in; there is nothing wrong
// with it.
CloseReason OfAlert(const tls::Session& session, Reached reached) noexcept {
  const bool denied = session.alert() == static_cast<int>(tls::Alert::kAccessDenied);
  const bool instance = reached == Reached::kInstancesHandshake || reached == Reached::kProven;
  return denied && instance ? CloseReason::kDenied : CloseReason::kPeerAlert;
}

CloseReason OfHandshake(const tls::Session& session, Reached reached) noexcept {
  switch (session.failure()) {
    case tls::Failure::kNone: return CloseReason::kHandshakeAborted;
    case tls::Failure::kMemory: return CloseReason::kOutOfResources;
    case tls::Failure::kCertificate: return FromRefusal(session.judgement().refusal);
    case tls::Failure::kAlert: return OfAlert(session, reached);
    case tls::Failure::kNotTls: return CloseReason::kNotTls;
    case tls::Failure::kVersion: return CloseReason::kTlsVersion;
    case tls::Failure::kNoCommonCipher:
    case tls::Failure::kProtocol: return CloseReason::kTlsError;
  }
  return CloseReason::kTlsError;
}

}  // namespace

CloseReason ReasonOf(net::Stream& failed, Reached reached) noexcept {
  const tls::Session* session = failed.session();
  const tls::Failure failure = session == nullptr ? tls::Failure::kNone : session->failure();
  if (failure == tls::Failure::kMemory || net::IsShortage(failed.error()))
    return CloseReason::kOutOfResources;
  switch (reached) {
    case Reached::kCallersHandshake:
      if (!failed.received_anything()) return CloseReason::kProbe;
      [[fallthrough]];
    case Reached::kInstancesHandshake:
      return session == nullptr ? CloseReason::kHandshakeAborted : OfHandshake(*session, reached);
    case Reached::kProven:
      return failure == tls::Failure::kAlert ? OfAlert(*session, reached)
                                             : CloseReason::kConnectRefused;
    case Reached::kLive:
      return failure == tls::Failure::kAlert ? CloseReason::kPeerAlert : CloseReason::kReset;
  }
  return CloseReason::kReset;
}

CloseReason ReasonOfDial(int error, Dialed whom) noexcept {
  if (net::IsShortage(error)) return CloseReason::kOutOfResources;
  if (whom == Dialed::kLocalApp) return CloseReason::kLocalConnectFailed;
  return error == ETIMEDOUT ? CloseReason::kConnectTimeout : CloseReason::kConnectRefused;
}

std::string DetailOf(net::Stream& failed, Reached reached) {
  const tls::Session* session = failed.session();
  const bool instance = reached != Reached::kCallersHandshake;
  if (session != nullptr && session->failure() != tls::Failure::kNone) {
    // A Mooring sends it (data/inbound.h) where the fault is on its own side.
    const bool its_own_fault =
        session->alert() == static_cast<int>(tls::Alert::kInternalError) && instance;
    return session->failure_text() +
           (its_own_fault ? ": the instance may not reach its app, or not know now whom to let in"
                          : "");
  }
  if (failed.error() == ECONNRESET && reached == Reached::kInstancesHandshake) {
    // Consul's own proxy dials its app before it begins the handshake.
    return std::string(std::strerror(failed.error())) +
           " during the handshake: the instance may not reach its app";
  }
  if (failed.error() != 0) return std::strerror(failed.error());
  return session != nullptr && !session->handshake_done() ? "the peer closed during the handshake"
                                                          : "the peer closed";
}

}  // namespace mooring::data
