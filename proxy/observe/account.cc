#include "proxy/observe/account.h"

#include <utility>

#include "authz/rfc3339.h"
#include "authz/spiffe.h"
#include "proxy/observe/flow_metrics.h"

namespace mooring::observe {
namespace {

using data::ListenerKind;
using data::Record;
using data::Report;

const Record& Of(const Account& account) { return account.report.record; }

std::string Number(std::uint64_t number) { return std::to_string(number); }

template <typename Duration>
std::string Milliseconds(Duration duration) {
  return std::to_string(std::chrono::duration_cast<net::milliseconds>(duration).count());
}

std::string AddressText(const net::SocketAddress& address) {
  return address.length() == 0 ? std::string() : address.Text();
}

const char* EventName(Report::What what) {
  switch (what) {
    case Report::What::kStart: return "start";
    case Report::What::kAlive: return "alive";
    case Report::What::kEnd: return "end";
  }
  return "";
}

bool HasTls(const Account& account) { return Of(account).tls.version[0] != '\0'; }

constexpr FieldType kText = FieldType::kText;
constexpr FieldType kNumber = FieldType::kNumber;
constexpr FieldType kBoolean = FieldType::kBoolean;

const AccountField kFields[] = {
    {"time", kText, "When the line was due, as RFC 3339 in UTC.",
     [](const Account& account) { return authz::Rfc3339(account.time, 3); }},
    {"event", kText,
     "end; with at_start also start, when the first bytes may pass; with every also alive.",
     [](const Account& account) { return std::string(EventName(account.report.what)); }},
    {"id", kNumber, "The connection's number in this process.",
     [](const Account& account) { return Number(Of(account).id); }},
    {"direction", kText, "inbound: a caller of the mesh; outbound: our app calls an upstream.",
     [](const Account& account) { return std::string(DirectionName(Of(account).kind)); }},
    {"service", kText, "Our service.", [](const Account& account) { return account.service; }},
    {"source", kText, "The service that calls; unproven: it has not proven who it is.",
     [](const Account& account) { return account.source; }},
    {"destination", kText, "The service that is called.",
     [](const Account& account) { return account.destination; }},
    {"datacenter", kText, "The destination's, where it is known.",
     [](const Account& account) { return account.datacenter; }},
    {"identity", kText, "The SPIFFE ID that the peer in the mesh has proven.",
     [](const Account& account) { return Of(account).identity; }},
    {"peer", kText, "Address of the client that connected to us.",
     [](const Account& account) { return AddressText(Of(account).peer); }},
    {"local", kText, "Address of ours that it connected to.",
     [](const Account& account) { return AddressText(Of(account).local); }},
    {"endpoint", kText, "Address that we connected to: the app's, or an instance's.",
     [](const Account& account) {
       return Of(account).endpoint ? AddressText(*Of(account).endpoint) : std::string();
     }},
    {"instance", kText, "What the catalog has at that endpoint, as NODE/ID.",
     [](const Account& account) {
       const auto& instance = Of(account).instance;
       return instance ? instance->node + '/' + instance->id : std::string();
     }},
    {"attempts", kNumber, "How many endpoints were tried.",
     [](const Account& account) { return Number(Of(account).attempts); }},
    {"bytes_received", kNumber, "Plaintext from the client, so far.",
     [](const Account& account) { return Number(Of(account).bytes_in); }},
    {"bytes_sent", kNumber, "Plaintext to the client, so far.",
     [](const Account& account) { return Number(Of(account).bytes_out); }},
    {"duration_ms", kNumber, "From the accept on.",
     [](const Account& account) { return Milliseconds(account.report.at - Of(account).begun); }},
    {"connect_ms", kNumber, "TCP connect to the endpoint.",
     [](const Account& account) {
       const auto& took = Of(account).connect_took;
       return took ? Milliseconds(*took) : std::string();
     }},
    {"handshake_ms", kNumber,
     "The TLS handshake: inbound from the accept on, outbound with the instance that was used.",
     [](const Account& account) {
       const auto& took = Of(account).handshake_took;
       return took ? Milliseconds(*took) : std::string();
     }},
    {"first_byte_ms", kNumber, "From the accept to the first byte of the payload, either way.",
     [](const Account& account) {
       const auto& first = Of(account).first_byte;
       return first ? Milliseconds(*first - Of(account).begun) : std::string();
     }},
    {"reason", kText, "Why it ended, as in mooring_connections_closed_total.",
     [](const Account& account) {
       const auto& reason = Of(account).reason;
       return reason ? std::string(data::CloseReasonName(*reason)) : std::string();
     }},
    {"detail", kText, "More of that, in words.",
     [](const Account& account) { return Of(account).detail; }},
    {"decided_by", kText, "The intention, or the default, that let the caller in or forbade it.",
     [](const Account& account) { return Of(account).decided_by; }},
    {"tls_version", kText, "As TLSv1.3.",
     [](const Account& account) { return std::string(Of(account).tls.version); }},
    {"tls_cipher", kText, "The cipher suite, by IANA's name.",
     [](const Account& account) { return std::string(Of(account).tls.cipher); }},
    {"tls_group", kText, "The group of the key exchange, as X25519MLKEM768.",
     [](const Account& account) { return std::string(Of(account).tls.group); }},
    {"tls_resumed", kBoolean, "Whether the handshake was an abbreviated one.",
     [](const Account& account) {
       if (!HasTls(account)) return std::string();
       return std::string(Of(account).tls.resumed ? "true" : "false");
     }},
    {"one_in", kNumber, "With refused_one_in: of so many that were refused alike this is one.",
     [](const Account& account) {
       return account.one_in > 1 ? Number(account.one_in) : std::string();
     }},
};

}  // namespace

Account MakeAccount(Report&& report, std::chrono::system_clock::time_point time,
                    const std::string& service) {
  Account account;
  account.time = time;
  account.report = std::move(report);
  Record& record = account.report.record;
  const bool inbound = record.kind == ListenerKind::kPublic;
  std::string& own = inbound ? account.destination : account.source;
  std::string& peer = inbound ? account.source : account.destination;
  if (const auto flow = std::exchange(record.flow, nullptr)) {
    account.source = flow->key.source;
    account.destination = flow->key.destination;
    account.datacenter = flow->key.datacenter;
  }
  if (own.empty()) own = service;
  // A flow may stand for many peers; what this one has proven is its own.
  if (!record.identity.empty() && (peer.empty() || peer == data::Traffic::kOther)) {
    if (const auto proven = authz::ParseServiceId(record.identity)) {
      peer = proven->service;
      if (!inbound) account.datacenter = proven->datacenter;
    }
  }
  account.service = own;
  return account;
}

bool IsRefusal(const Account& account) {
  const Record& record = Of(account);
  if (record.kind != ListenerKind::kPublic || record.endpoint || !record.reason) return false;
  return data::IsFailure(*record.reason) || *record.reason == data::CloseReason::kProbe;
}

std::span<const AccountField> AccountFields() { return kFields; }

}  // namespace mooring::observe
