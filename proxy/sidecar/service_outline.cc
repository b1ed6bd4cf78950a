// Service::Outline: a service's part of /status?brief=1. Whatever there is, its size is bounded:
// long lists come in part, with how long they are.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "authz/text.h"
#include "proxy/data/endpoint_history.h"
#include "proxy/sidecar/service.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

constexpr std::size_t kMostSentences = 20;
constexpr std::size_t kMostListeners = 20;
constexpr std::size_t kMostEndpoints = 8;  // of one upstream
constexpr std::size_t kMostText = 300;     // bytes of one sentence

// Trouble is why an upstream serves less than it should; empty: it does not.
std::string Trouble(const control::UpstreamRoute& source) {
  const data::UpstreamRules& rules = *source.Rules();
  if (!rules.known) return "its instances are not known yet";
  if (rules.stale) return "what is known of its instances is too old";
  if (rules.endpoints.empty()) {
    const std::string& tag = source.settings().select;
    return tag.empty() ? "no healthy instance" : "no healthy instance with the tag " + tag;
  }
  if (EjectedOf(rules) == rules.endpoints.size()) return "every instance is ejected: all are tried";
  if (std::all_of(rules.endpoints.begin(), rules.endpoints.end(), IsFailing))
    return "the last attempt at each instance has failed";
  if (std::any_of(rules.endpoints.begin(), rules.endpoints.end(), IsFailing))
    return "the last attempt at some instance has failed";
  return source.Complaint();
}

bool Has(const std::string& text, const std::string& part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [](char a, char b) {
           return authz::EqualIgnoringCase({&a, 1}, {&b, 1});
         }) != text.end();
}

void Shorten(json* sentences) {
  if (sentences->size() > kMostSentences) {
    const std::size_t more = sentences->size() - kMostSentences;
    sentences->erase(sentences->begin() + kMostSentences, sentences->end());
    sentences->push_back("and " + std::to_string(more) + " more");
  }
  for (json& sentence : *sentences)
    sentence = authz::Shortened(sentence.get_ref<const std::string&>(), kMostText);
}

json ShortWatch(const control::Watch& watch, net::MonotonicTime now) {
  json out = WatchJson(watch, now);
  out["last_error"] = authz::Shortened(out["last_error"].get_ref<const std::string&>(), kMostText);
  return out;
}

}  // namespace

void Service::Outline(const admin::Slice& slice, json* status) const {
  const net::MonotonicTime now = loop_.now();
  json& out = *status;
  DescribeItself(status);
  Shorten(&out["not_ready"]);
  Shorten(&out["degraded"]);
  out["watches"] = json::array();
  for (const control::Watch* watch : OwnWatches())
    out["watches"].push_back(ShortWatch(*watch, now));
  out["listeners"] = json::array();
  std::map<std::string, json> listening;  // of upstreams
  std::map<std::string, json> limits;     // by listener
  for (const LimitView& limit : Limits()) limits[limit.listener].push_back(LimitJson(limit));
  const auto limits_of = [&limits](const std::string& listener) {
    const auto found = limits.find(listener);
    return found == limits.end() ? json::array() : found->second;
  };
  if (listeners_) {
    for (const auto& view : listeners_->Views()) {
      json listener = ListenerJson(view, now);
      listener["error"] = authz::Shortened(view.error, kMostText);
      listener["limits"] = limits_of(view.name);
      if (view.open && upstreams_.contains(view.name)) {
        listening[view.name] = std::move(listener);
      } else if (out["listeners"].size() < kMostListeners) {
        out["listeners"].push_back(std::move(listener));
      }
    }
  }
  struct Row {
    const std::string* listener;
    const control::UpstreamRoute* source;
    std::string trouble;
  };
  std::vector<Row> rows;
  for (const auto& [name, source] : upstreams_) {
    if (Has(name, slice.match) || Has(source->settings().name, slice.match))
      rows.push_back({&name, source.get(), Trouble(*source)});
  }
  const auto healthy = std::stable_partition(rows.begin(), rows.end(),
                                             [](const Row& row) { return !row.trouble.empty(); });
  json list = json::array();
  for (std::size_t i = slice.offset; i < rows.size() && i < slice.offset + slice.limit; ++i) {
    const Row& row = rows[i];
    const auto rules = row.source->Rules();
    const auto port = listening.find(*row.listener);
    const bool listens = port != listening.end();
    json one{{"name", row.source->settings().name},
             {"listener", *row.listener},
             {"address", listens ? port->second["address"] : json(nullptr)},
             {"refuses", listens ? port->second["refuses"] : json(nullptr)},
             {"limits", limits_of(*row.listener)},
             {"spiffe_id", rules->identity ? json(rules->identity->Uri()) : json(nullptr)},
             {"trouble", authz::Shortened(row.trouble, kMostText)},
             {"endpoint_count", rules->endpoints.size()},
             {"endpoints", EndpointsJson(*rules, kMostEndpoints, now)},
             {"catalog", CatalogJson(*row.source, kMostEndpoints)},
             {"watch", nullptr}};
    if (row.source->watch() != nullptr) one["watch"] = ShortWatch(*row.source->watch(), now);
    list.push_back(std::move(one));
  }
  out["upstreams"] = {
      {"total", upstreams_.size()}, {"matched", rows.size()}, {"troubled", healthy - rows.begin()},
      {"offset", slice.offset},     {"limit", slice.limit},   {"list", std::move(list)}};
}

}  // namespace mooring::sidecar
