// Service::Describe: a service's part of /status, from the same objects that decide. Numbers of the
// workers are read while they run, so sums may be a moment apart.
#include <chrono>
#include <nlohmann/json.hpp>

#include "authz/rfc3339.h"
#include "proxy/sidecar/service.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

// A word about each of fifty thousand endpoints would be many times the memory that they take.
constexpr std::size_t kMostEndpoints = 512;  // of an upstream, with details

json ReasonsJson(const std::vector<data::ServiceHost*>& hosts,
                 const data::DirectionStats data::ServiceStats::*direction,
                 const data::ReasonCounts data::DirectionStats::*counts) {
  json out = json::object();
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    const auto reason = static_cast<data::CloseReason>(i);
    std::int64_t sum = 0;
    for (const data::ServiceHost* host : hosts)
      sum += ((host->stats().*direction).*counts)[reason].value();
    if (sum != 0) out[data::CloseReasonName(reason)] = sum;
  }
  return out;
}

json DirectionJson(const std::vector<data::ServiceHost*>& hosts,
                   const data::DirectionStats data::ServiceStats::*direction) {
  std::int64_t active = 0, total = 0, resumed = 0, in = 0, out_bytes = 0;
  for (const data::ServiceHost* host : hosts) {
    const data::DirectionStats& stats = host->stats().*direction;
    active += stats.active.value();
    total += stats.total.value();
    resumed += stats.resumed.value();
    in += stats.bytes_in.value();
    out_bytes += stats.bytes_out.value();
  }
  return {{"active", active},
          {"total", total},
          {"resumed", resumed},
          {"bytes_in", in},
          {"bytes_out", out_bytes},
          {"closed", ReasonsJson(hosts, direction, &data::DirectionStats::closed)}};
}

json OfferJson(const tls::Offer& offer) {
  return {{"min", tls::VersionName(offer.least)},
          {"max", tls::VersionName(offer.most)},
          {"suites", offer.suites}};
}

}  // namespace

std::int64_t Service::HandshakesShed() const {
  std::int64_t shed = 0;
  for (const data::ServiceHost* host : hosts_) shed += host->stats().handshakes_shed.value();
  return shed;
}

std::vector<const control::Watch*> Service::OwnWatches() const {
  std::vector<const control::Watch*> all{find_proxy_.get(), config_watch_.get()};
  if (mesh_) all.push_back(&mesh_->watch());
  if (defaults_) all.push_back(&defaults_->watch());
  for (const control::Watch* watch :
       own_place_ ? own_place_->Watches() : std::vector<const control::Watch*>{})
    all.push_back(watch);
  for (const control::Watch* watch :
       identity_ ? identity_->Watches() : std::vector<const control::Watch*>{})
    all.push_back(watch);
  for (const control::Watch* watch :
       intentions_ ? intentions_->Watches() : std::vector<const control::Watch*>{})
    all.push_back(watch);
  std::erase(all, nullptr);
  return all;
}

std::vector<const control::Watch*> Service::Watches() const {
  std::vector<const control::Watch*> all = OwnWatches();
  for (const auto& [name, source] : upstreams_) {
    for (const control::Watch* watch : source->Watches()) all.push_back(watch);
  }
  return all;
}

void Service::DescribeItself(json* status) const {
  const net::MonotonicTime now = loop_.now();
  json& out = *status;
  out["name"] = name_;
  out["service"] = config_ ? config_->service : settings_.service;
  out["proxy_id"] = config_ ? config_->proxy_id : settings_.proxy_id;
  out["not_ready"] = NotReady();
  out["degraded"] = Degraded();
  out["state"] = draining_ ? "draining" : ready_ ? "ready" : "starting";
  out["leaf"] = nullptr;
  out["roots"] = nullptr;
  if (const auto identity = identity_ ? identity_->Current() : nullptr) {
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(
        identity->leaf->not_after() - std::chrono::system_clock::now());
    out["leaf"] = {
        {"spiffe_id", identity->leaf->id().Uri()},
        {"serial", identity->leaf->serial()},
        {"not_before", authz::Rfc3339(identity->leaf->not_before())},
        {"not_after", authz::Rfc3339(identity->leaf->not_after())},
        {"seconds_left", left.count()},
        {"expiring", left <= (identity->leaf->not_after() - identity->leaf->not_before()) / 3}};
    out["roots"] = {{"trust_domain", identity->roots->trust_domain()},
                    {"count", identity->roots->size()}};
  }
  const tls::Offers offers = Offers();
  out["tls"] = {
      {"incoming", OfferJson(offers.accepting)}, {"outgoing", OfferJson(offers.dialling)},
      {"mesh_entry", mesh_ && mesh_->exists()},  {"error", mesh_ ? mesh_->complaint() : ""},
      {"groups", settings_.tls_groups},          {"resumption", settings_.tls_resumption}};
  out["intentions"] = nullptr;
  if (snapshot_ && snapshot_->intentions) {
    out["intentions"] = {{"count", snapshot_->intentions->entries().size()},
                         {"default", authz::DefaultPolicyName(snapshot_->fallback)}};
  }
  out["state_file"] = nullptr;
  if (store_ && !store_->view().file.empty()) {
    const state::Store::View view = store_->view();
    out["state_file"] = {
        {"file", view.file},
        {"saved_seconds_ago",
         view.saved_at ? json(std::chrono::duration<double>(now - *view.saved_at).count())
                       : json(nullptr)},
        {"error", view.error},
        {"documents", view.documents},
        {"private_key", view.private_key}};
  }
  out["registered"] = registration_ && registration_->registered();
  json outbound = DirectionJson(hosts_, &data::ServiceStats::outbound);
  outbound["attempts_failed"] =
      ReasonsJson(hosts_, &data::ServiceStats::outbound, &data::DirectionStats::attempts_failed);
  out["connections"] = {{"inbound", DirectionJson(hosts_, &data::ServiceStats::inbound)},
                        {"outbound", outbound}};
  std::int64_t pauses = 0;
  for (const data::ServiceHost* host : hosts_) pauses += host->stats().accept_pauses.value();
  out["accept_pauses"] = pauses;
}

void Service::Describe(json* status) const {
  const net::MonotonicTime now = loop_.now();
  json& out = *status;
  DescribeItself(status);
  out["listeners"] = json::array();
  if (listeners_) {
    for (const auto& view : listeners_->Views())
      out["listeners"].push_back(ListenerJson(view, now));
  }
  out["limits"] = json::array();
  for (const LimitView& limit : Limits()) out["limits"].push_back(LimitJson(limit));
  out["upstreams"] = json::array();
  out["watches"] = json::array();
  for (const control::Watch* watch : Watches()) out["watches"].push_back(WatchJson(*watch, now));
  for (const auto& [name, source] : upstreams_) {
    const auto rules = source->Rules();
    json endpoints = json::array();
    for (const data::Endpoint& endpoint : rules->endpoints)
      endpoints.push_back(endpoint.address.Text());
    out["upstreams"].push_back(
        {{"name", source->settings().name},
         {"listener", name},
         {"type",
          source->settings().type == authz::UpstreamType::kService ? "service" : "prepared_query"},
         {"spiffe_id", rules->identity ? json(rules->identity->Uri()) : json(nullptr)},
         {"sni", rules->identity ? json(rules->identity->Sni()) : json(nullptr)},
         {"known", rules->known},
         {"endpoints", endpoints},
         {"ejected", EjectedOf(*rules)},
         {"endpoint_details", EndpointsJson(*rules, kMostEndpoints, now)},
         {"catalog", CatalogJson(*source, kMostEndpoints)},
         {"unresolved", source->source().names().Errors()}});
  }
}

}  // namespace mooring::sidecar
