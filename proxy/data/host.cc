#include "proxy/data/host.h"

#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "proxy/net/socket.h"

namespace mooring::data {

CloseReason Host::Escaped(log::Literal message) noexcept {
  CloseReason reason = CloseReason::kInternalError;
  const char* what = "an exception of no known kind";
  try {
    throw;
  } catch (const std::bad_alloc&) {
    reason = CloseReason::kOutOfResources;
    what = "no memory was to be had";
  } catch (const std::system_error& error) {
    if (net::IsShortage(error.code().value())) reason = CloseReason::kOutOfResources;
    what = std::strerror(error.code().value());
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  try {
    StrangerLog(reason,
                reason == CloseReason::kInternalError ? log::Level::kError : log::Level::kWarn,
                message, what, {{"reason", CloseReasonName(reason)}, {"error", what}});
  } catch (...) {  // not even for a line; the count of the reason says it
  }
  return reason;
}

void Host::EnterFlow(Record* record, std::string_view peer, std::string_view datacenter) noexcept {
  if (record->flow) return;
  try {
    FlowKey key;
    key.kind = record->kind;
    const Snapshot* now = snapshot().get();
    std::string own = now != nullptr ? now->service : std::string();
    if (record->kind == ListenerKind::kPublic) {
      key.source = peer;
      key.destination = std::move(own);
      if (now != nullptr) key.datacenter = now->datacenter;
    } else {
      key.source = std::move(own);
      key.destination = peer;
      key.datacenter = datacenter;
    }
    record->flow = traffic().Enter(std::move(key), loop().now());
  } catch (const std::bad_alloc&) {
    return;
  }
}

void Host::EnterFlowOf(Record* record, const std::string& listener) noexcept {
  std::shared_ptr<Upstream> upstream;
  try {
    upstream = UpstreamOf(listener);
  } catch (const std::bad_alloc&) {
    return;
  }
  const UpstreamRules* rules = upstream ? upstream->rules().get() : nullptr;
  if (rules == nullptr) {
    EnterFlow(record, listener, {});
  } else if (rules->identity) {
    EnterFlow(record, rules->identity->service, rules->identity->datacenter);
  } else {
    EnterFlow(record, rules->name, {});
  }
}

void Host::LogShortage(log::Literal message, const std::string& whose, int error) {
  StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn, message, whose,
              {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
               {"of", whose},
               {"error", std::strerror(error)},
               {"cure", net::CureOf(error)}});
}

}  // namespace mooring::data
