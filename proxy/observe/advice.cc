#include "proxy/observe/advice.h"

namespace mooring::observe {
namespace {

using data::CloseReason;
using data::ListenerKind;

Advice Inbound(CloseReason reason) {
  switch (reason) {
    case CloseReason::kDone: return {"Both sides have said all they had to say.", ""};
    case CloseReason::kTlsTruncated:
      return {
          "Both directions ended, but the caller's TLS without a close_notify: its sidecar was "
          "probably ended.",
          "Look at SOURCE's sidecar at that moment."};
    case CloseReason::kReset:
      return {"The caller or the app reset the connection, and the other one got the reset.",
              "The app's own log says whether it was the app; the access log has bytes and times."};
    case CloseReason::kIdleTimeout:
      return {"No byte passed for as long as idle_timeout says.",
              "Raise idle_timeout (0 is none), or have SOURCE keep its connections busy."};
    case CloseReason::kDrained:
      return {"It was closed between two exchanges, since the proxy was about to stop.", ""};
    case CloseReason::kDrainTimeout:
      return {"It was still open when drain_time was over, and was reset.",
              "Raise drain_time, or have the app end long sessions when it is told to stop."};
    case CloseReason::kMaxConnectionAge:
      return {"It was older than max_connection_age.", "Raise max_connection_age (0 is none)."};
    case CloseReason::kRevoked:
      return {"It was let in, and then an intention or the default came to deny it.",
              "`consul intention check SOURCE DESTINATION`; whoever wrote the intention meant "
              "this."};
    case CloseReason::kRootRemoved:
      return {"The caller's certificate leads to a CA root that is not trusted any more.",
              "`mooring status` shows our roots; SOURCE's sidecar needs a new leaf certificate."};
    case CloseReason::kProbe:
      return {"Somebody connected and left without a byte: a health check or a port scan.", ""};
    case CloseReason::kNotTls:
      return {"The caller spoke no TLS.",
              "SOURCE called the public port itself: it has to call its own sidecar."};
    case CloseReason::kHandshakeTimeout:
      return {"The caller did not finish its handshake within handshake_timeout.",
              "Look at the network between the two, and at the load of SOURCE's machine."};
    case CloseReason::kHandshakeAborted:
      return {"The caller left in the middle of the handshake.",
              "SOURCE's sidecar did not like our certificate, or gave up: its log says which."};
    case CloseReason::kTlsVersion:
      return {"The two have no TLS version in common.",
              "`consul config read -kind mesh -name mesh` shows what the mesh allows."};
    case CloseReason::kTlsError:
      return {"The handshake or the session failed as TLS; the detail names the fault.",
              "If the detail does not say it: what stands between the two and changes bytes?"};
    case CloseReason::kPeerAlert:
      return {"The caller ended the session by a fatal alert, which the detail names.",
              "The log of SOURCE's sidecar has the same moment from its side."};
    case CloseReason::kNoClientCertificate:
      return {"The caller showed no certificate.",
              "It is no sidecar: SOURCE has to call its own sidecar, which shows one."};
    case CloseReason::kCertificateMalformed:
    case CloseReason::kLeafRules:
    case CloseReason::kNotAServiceId:
      return {
          "The caller's certificate is none of a service in a Consul mesh; the detail says "
          "what is wrong.",
          "Where is SOURCE's certificate from? `openssl s_client` against its sidecar shows "
          "it."};
    case CloseReason::kChainTooLong:
      return {"The caller showed more certificates than a chain may have.",
              "The intermediates of SOURCE's CA; the limit is stated in the README."};
    case CloseReason::kUnknownCa:
      return {"The caller's certificate leads to no CA root that we trust.",
              "`consul connect ca get-config` and `mooring status` on both sides: are they of one "
              "mesh?"};
    case CloseReason::kCertExpired:
      return {"The caller's certificate has ended.",
              "SOURCE's sidecar could not renew it: look at its agent, and at both clocks."};
    case CloseReason::kCertNotYetValid:
      return {"The caller's certificate begins in the future.", "Compare the clocks: `date -u`."};
    case CloseReason::kForeignTrustDomain:
      return {"The caller is of another trust domain.",
              "`mooring status` shows ours; SOURCE belongs to another mesh."};
    case CloseReason::kSanMismatch:
      return {"The caller's certificate is another service's.", "Look at SOURCE's registration."};
    case CloseReason::kDenied:
      return {"An intention, or the default, denies SOURCE.",
              "`consul intention create -allow SOURCE DESTINATION` if it is meant to be allowed."};
    case CloseReason::kLeafExpired:
      return {"Our own leaf certificate has ended, so nobody would believe us.",
              "`mooring status`: why could the agent not renew it?"};
    case CloseReason::kNotReady:
      return {"Our identity or the intentions were not known.",
              "`mooring ready` says what is missing."};
    case CloseReason::kStale:
      return {"The agent has not confirmed what we know for longer than max_stale.",
              "`mooring status`: what does the agent answer?"};
    case CloseReason::kLocalConnectFailed:
      return {"The app did not take the connection.",
              "Does it run? `ss -ltnp` shows who listens at the address in the detail."};
    case CloseReason::kOverLimit:
      return {
          "A limit that is set was reached: of callers (max_inbound_connections), of SOURCE's own "
          "(max_connections_per_identity), of the process (max_total_connections), or of one "
          "address (rate_per_address); the detail names it.",
          "`mooring status` (LIMIT) shows each with its use. Does SOURCE leave connections open, "
          "or is the limit too low?"};
    case CloseReason::kOutOfResources:
      return {"Memory, descriptors, ports or epoll watches ran out.",
              "`mooring status` (admission) shows limits and use; the log names the limit."};
    case CloseReason::kInternalError:
      return {"A mistake of ours, which this connection has paid for.",
              "The log has a line at ERROR: please report it."};
    case CloseReason::kDeparted:
    case CloseReason::kNoEndpoint:
    case CloseReason::kConnectRefused:
    case CloseReason::kConnectTimeout:
    case CloseReason::kClosedEarly:
    case CloseReason::kConnectFailed:
    case CloseReason::kReasons: break;  // of upstreams alone
  }
  return {"The connection to the app was not made.", "Does the app run? `ss -ltnp`."};
}

Advice Outbound(CloseReason reason) {
  switch (reason) {
    case CloseReason::kTlsTruncated:
      return {
          "Both directions ended, but the instance's TLS without a close_notify: its sidecar "
          "was probably ended.",
          "Look at DESTINATION's sidecar at that moment."};
    case CloseReason::kReset:
      return {"The app or the instance reset the connection, and the other one got the reset.",
              "The app's own log says whether it was the app; the access log has bytes and times."};
    case CloseReason::kIdleTimeout:
      return {"No byte passed for as long as idle_timeout says.",
              "Raise idle_timeout (0 is none; an upstream may have its own)."};
    case CloseReason::kDeparted:
      return {
          "Its instance left the catalog or lost the tag that `select` wants, as the detail "
          "says, and on_departure is close.",
          "`mooring status` shows the instances of DESTINATION now; a longer departure_grace "
          "gives exchanges more time."};
    case CloseReason::kRevoked:
    case CloseReason::kDenied:
      return {"DESTINATION's side denies SOURCE.", "`consul intention check SOURCE DESTINATION`."};
    case CloseReason::kRootRemoved:
      return {"The instance's certificate leads to a CA root that is not trusted any more.",
              "`mooring status` shows our roots; DESTINATION's sidecar needs a new leaf "
              "certificate."};
    case CloseReason::kNotTls:
    case CloseReason::kTlsError:
      return {"The instance's port did not answer as TLS should; the detail names the fault.",
              "Is it a sidecar's port? `mooring status` shows the endpoints of DESTINATION."};
    case CloseReason::kHandshakeTimeout:
      return {"The instance took the connection and did not finish its handshake in time.",
              "Is its sidecar stopped or overloaded? `mooring status` names the endpoint."};
    case CloseReason::kHandshakeAborted:
      return {"The instance left in the middle of the handshake.",
              "The log of DESTINATION's sidecar says why."};
    case CloseReason::kTlsVersion:
      return {"The two have no TLS version in common.",
              "`consul config read -kind mesh -name mesh` shows what the mesh allows."};
    case CloseReason::kPeerAlert:
      return {
          "The instance ended the session by a fatal alert: it may deny SOURCE, or not reach "
          "its app; the detail names the alert.",
          "`consul intention check SOURCE DESTINATION`, then the log of DESTINATION's "
          "sidecar."};
    case CloseReason::kNoClientCertificate:
    case CloseReason::kCertificateMalformed:
    case CloseReason::kLeafRules:
    case CloseReason::kNotAServiceId:
    case CloseReason::kChainTooLong:
      return {"What the instance showed is no certificate of a service in a Consul mesh.",
              "Who listens at that endpoint? `mooring status` names it."};
    case CloseReason::kUnknownCa:
      return {"The instance's certificate leads to no CA root that we trust.",
              "`consul connect ca get-config` and `mooring status` on both sides: are they of one "
              "mesh?"};
    case CloseReason::kCertExpired:
      return {"The instance's certificate has ended.",
              "DESTINATION's sidecar could not renew it: look at its agent, and at both clocks."};
    case CloseReason::kCertNotYetValid:
      return {"The instance's certificate begins in the future.", "Compare the clocks: `date -u`."};
    case CloseReason::kForeignTrustDomain:
      return {"The instance is of another trust domain.",
              "`mooring status` shows ours; the endpoint belongs to another mesh."};
    case CloseReason::kSanMismatch:
      return {"The instance proved to be another service than DESTINATION.",
              "Who is registered at that address? `consul catalog nodes -service=DESTINATION`; an "
              "address may have been given to another instance."};
    case CloseReason::kNotReady:
      return {"Our identity, or the endpoints of DESTINATION, were not known in time.",
              "`mooring ready` says what is missing."};
    case CloseReason::kStale:
      return {"The agent has not confirmed roots or endpoints for longer than max_stale.",
              "`mooring status`: what does the agent answer?"};
    case CloseReason::kOverLimit:
      return {
          "A limit that is set was reached: of connections to DESTINATION (max_connections), of "
          "those that have no instance yet (max_pending), or of the process "
          "(max_total_connections); the detail names it.",
          "`mooring status` (LIMIT) shows each with its use. Does the app leave connections open, "
          "or is the limit too low? Consul's entries set it as UpstreamConfig Limits."};
    case CloseReason::kNoEndpoint:
      return {"DESTINATION has no healthy instance.",
              "`consul watch -type=service -service=DESTINATION`, or its checks in Consul's UI."};
    case CloseReason::kConnectRefused:
      return {"The instance's machine answered, and nobody takes connections at that port.",
              "Does DESTINATION's sidecar run there? `mooring status` names the endpoint."};
    case CloseReason::kConnectTimeout:
      return {"No instance answered before connect_timeout was over.",
              "Is the way open? From this machine: `nc -vz ADDRESS PORT` with an endpoint of "
              "`mooring status`."};
    case CloseReason::kClosedEarly:
      return {"The instance proved itself, and ended the connection within early_close.",
              "Does DESTINATION's app run there? The log of its sidecar says; early_close: 0 takes "
              "such an end for the app's."};
    case CloseReason::kConnectFailed:
      return {"No instance could be reached and proven; each attempt had a reason of its own.",
              "`mooring status` (attempts that failed) and the log's lines about attempts."};
    case CloseReason::kLocalConnectFailed:
    case CloseReason::kDone:
    case CloseReason::kDrained:
    case CloseReason::kDrainTimeout:
    case CloseReason::kMaxConnectionAge:
    case CloseReason::kProbe:
    case CloseReason::kLeafExpired:
    case CloseReason::kOutOfResources:
    case CloseReason::kInternalError:
    case CloseReason::kReasons: break;  // the same either way
  }
  return Inbound(reason);
}

}  // namespace

Advice AdviceOn(data::CloseReason reason, data::ListenerKind direction) {
  return direction == ListenerKind::kPublic ? Inbound(reason) : Outbound(reason);
}

std::string WithNames(std::string_view text, std::string_view source,
                      std::string_view destination) {
  constexpr std::string_view kSource = "SOURCE";
  constexpr std::string_view kDestination = "DESTINATION";
  std::string out;
  while (!text.empty()) {
    if (text.starts_with(kSource)) {
      out += source;
      text.remove_prefix(kSource.size());
    } else if (text.starts_with(kDestination)) {
      out += destination;
      text.remove_prefix(kDestination.size());
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace mooring::observe
