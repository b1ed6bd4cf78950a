// Sidecar::ListConnections and ListTraffic: /connections and /traffic, of all services or of one.
//
// Connections are the workers'. Each host copies those that are asked for, a few in each turn of
// its loop (data/lister.h); they are put in order and written here. The flows can be read from any
// thread.
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/data/lister.h"
#include "proxy/observe/flow_metrics.h"
#include "proxy/sidecar/sidecar.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

// Who asks for lists faster than they are made gets a no: each of them costs the workers time.
constexpr std::size_t kMostQuestions = 16;

double Seconds(net::MonotonicTime::duration time) {
  return std::max(0.0, std::chrono::duration<double>(time).count());
}

json ViewJson(const std::string& service, const data::ConnectionView& view,
              net::MonotonicTime now) {
  json out{
      {"id", view.id},
      {"service", service},
      {"direction", observe::DirectionName(view.kind)},
      {"state", data::ConnectionStateName(view.state)},
      {"source", view.source},
      {"destination", view.destination},
      {"identity", view.identity},
      {"decided_by", view.decided_by},
      {"peer", view.peer.Text()},
      {"local", view.local.Text()},
      {"endpoint", view.endpoint ? json(view.endpoint->Text()) : json(nullptr)},
      {"instance", InstanceJson(view.instance.get())},
      {"attempts", view.attempts},
      {"tls", nullptr},
      {"age_seconds", Seconds(now - view.begun)},
      {"idle_seconds", view.last_active ? json(Seconds(now - *view.last_active)) : json(nullptr)},
      {"bytes_in", view.bytes_in},
      {"bytes_out", view.bytes_out}};
  if (*view.tls.version != '\0') {
    out["tls"] = {{"version", view.tls.version},
                  {"cipher", view.tls.cipher},
                  {"group", view.tls.group},
                  {"resumed", view.tls.resumed}};
  }
  return out;
}

// Of the time that answers take: `below` has how many are in each bucket, for those who compare two
// readings.
json MomentsJson(const data::Histogram& histogram) {
  json out{{"p50_seconds", nullptr}, {"p99_seconds", nullptr}, {"below", json::array()}};
  const auto seconds = [](std::optional<data::microseconds> time) {
    return time ? json(std::chrono::duration<double>(*time).count()) : json(nullptr);
  };
  out["p50_seconds"] = seconds(histogram.Quantile(0.5));
  out["p99_seconds"] = seconds(histogram.Quantile(0.99));
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i)
    out["below"].push_back(histogram.count(i));
  return out;
}

std::int64_t FailedOf(const data::Flow& flow) {
  std::int64_t failed = 0;
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    if (data::IsFailure(static_cast<data::CloseReason>(i))) failed += flow.closed[i].value();
  }
  return failed;
}

std::int64_t WeightOf(const data::Flow& flow, const std::string& sort) {
  if (sort == "open") return flow.open.value();
  if (sort == "opened") return flow.opened.value();
  if (sort == "failed") return FailedOf(flow);
  if (sort == "requests") return flow.requests.value();
  return flow.bytes_in.value() + flow.bytes_out.value();
}

json FlowJson(const std::string& service, const data::Flow& flow) {
  json closed = json::object();
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    if (const std::int64_t count = flow.closed[i].value(); count != 0)
      closed[data::CloseReasonName(static_cast<data::CloseReason>(i))] = count;
  }
  return {{"service", service},
          {"direction", observe::DirectionName(flow.key.kind)},
          {"source", flow.key.source},
          {"destination", flow.key.destination},
          {"datacenter", flow.key.datacenter},
          {"opened", flow.opened.value()},
          {"open", flow.open.value()},
          {"failed", FailedOf(flow)},
          {"closed", closed},
          {"bytes_in", flow.bytes_in.value()},
          {"bytes_out", flow.bytes_out.value()},
          {"requests", flow.requests.value()},
          {"answer", MomentsJson(flow.answer)}};
}

struct OneFlow {
  const Service* service;
  std::shared_ptr<const data::Flow> flow;
  std::int64_t weight;  // by what they are sorted
};

bool Mentions(const OneFlow& one, const std::vector<std::string>& words) {
  const std::string text = one.service->name() + '\n' + one.flow->key.source + '\n' +
                           one.flow->key.destination + '\n' + one.flow->key.datacenter + '\n' +
                           observe::DirectionName(one.flow->key.kind);
  return data::HasAll(text, words);
}

}  // namespace

// Gathering is one question while the hosts look for its answer. It ends with the last answer, or
// where a worker ends before.
struct Sidecar::Gathering {
  explicit Gathering(std::shared_ptr<std::size_t> count) : questions(std::move(count)) {
    ++*questions;
  }
  ~Gathering() { --*questions; }
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;

  const std::shared_ptr<std::size_t> questions;  // that are being answered
  std::vector<std::string> services;             // of the hosts, in their order
  std::vector<data::Found> found;
  std::int64_t total = 0;
  std::size_t left = 0;
};

std::vector<const Service*> Sidecar::Asked(const std::string& service) const {
  std::vector<const Service*> all;
  if (!service.empty()) {
    if (const Service* one = Find(service)) all.push_back(one);
    return all;
  }
  for (const auto& one : services_) all.push_back(one.get());
  return all;
}

void Sidecar::ListConnections(const std::string& service, const admin::Slice& slice,
                              admin::Admin::Sources::Done done) const {
  if (!slice.sort.empty() && slice.sort != "newest" && slice.sort != "bytes") {
    done(Invalid("sort has to be newest or bytes"));
    return;
  }
  data::Wanted wanted;
  wanted.order = slice.sort == "bytes" ? data::Wanted::Order::kBytes : data::Wanted::Order::kNewest;
  wanted.words = data::WordsOf(slice.match);
  wanted.most = slice.offset + slice.limit;
  AskHosts(service, wanted, done, [this, slice, done, order = wanted.order](const Gathering& all) {
    std::size_t matched = 0;
    std::vector<std::pair<const std::string*, const data::ConnectionView*>> views;
    for (std::size_t i = 0; i < all.found.size(); ++i) {
      matched += all.found[i].matched;
      for (const data::ConnectionView& view : all.found[i].views)
        views.emplace_back(&all.services[i], &view);
    }
    std::sort(views.begin(), views.end(), [order](const auto& a, const auto& b) {
      return data::Before(order, *a.second, *b.second);
    });
    json list = json::array();
    for (std::size_t i = slice.offset; i < views.size() && i < slice.offset + slice.limit; ++i)
      list.push_back(ViewJson(*views[i].first, *views[i].second, loop_.now()));
    done(WrittenInOneLine({{"total", all.total},
                           {"matched", matched},
                           {"offset", slice.offset},
                           {"limit", slice.limit},
                           {"connections", std::move(list)}}));
  });
}

void Sidecar::AskHosts(const std::string& service, const data::Wanted& wanted,
                       const admin::Admin::Sources::Done& done,
                       std::function<void(const Gathering&)> then) const {
  if (*questions_ >= kMostQuestions) {
    done(Error{ErrorCode::kUnavailable, "too many lists are being made already"});
    return;
  }
  auto gathering = std::make_shared<Gathering>(questions_);
  std::vector<data::ServiceHost*> hosts;
  for (const Service* one : Asked(service)) {
    for (data::ServiceHost* host : one->hosts()) {
      hosts.push_back(host);
      gathering->services.push_back(one->name());
      gathering->total += host->active();
    }
  }
  gathering->left = hosts.size();
  gathering->found.resize(hosts.size());
  const auto answered = [done, then = std::move(then)](const Gathering& all) {
    if (std::any_of(all.found.begin(), all.found.end(),
                    [](const data::Found& found) { return found.failed; })) {
      done(Error{ErrorCode::kUnavailable, "there was no memory to go through the connections"});
    } else {
      then(all);
    }
  };
  if (hosts.empty()) answered(*gathering);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    hosts[i]->PostInquiry(
        std::make_shared<data::Inquiry>(loop_, wanted, &gathering->found[i], [gathering, answered] {
          if (--gathering->left == 0) answered(*gathering);
        }));
  }
}

void Sidecar::ListTraffic(const std::string& service, const admin::Slice& slice,
                          admin::Admin::Sources::Done done) const {
  static constexpr std::array kSorts{"", "bytes", "open", "opened", "failed", "requests"};
  if (std::find(kSorts.begin(), kSorts.end(), slice.sort) == kSorts.end()) {
    done(Invalid("sort has to be bytes, open, opened, failed or requests"));
    return;
  }
  data::Wanted wanted;
  wanted.feed = true;  // of a long connection, rates would go by steps of a sweep
  AskHosts(service, wanted, done,
           [this, service, slice, done](const Gathering&) { done(TrafficJson(service, slice)); });
}

std::string Sidecar::TrafficJson(const std::string& service, const admin::Slice& slice) const {
  const std::vector<std::string> words = data::WordsOf(slice.match);
  std::vector<OneFlow> flows;
  std::size_t total = 0;
  for (const Service* one : Asked(service)) {
    for (auto& flow : one->traffic()->Flows(loop_.now())) {
      ++total;
      OneFlow known{one, std::move(flow), 0};
      known.weight = WeightOf(*known.flow, slice.sort);
      if (Mentions(known, words)) flows.push_back(std::move(known));
    }
  }
  std::stable_sort(flows.begin(), flows.end(),
                   [](const OneFlow& a, const OneFlow& b) { return a.weight > b.weight; });
  json list = json::array();
  for (std::size_t i = slice.offset; i < flows.size() && i < slice.offset + slice.limit; ++i)
    list.push_back(FlowJson(flows[i].service->name(), *flows[i].flow));
  json bounds = json::array();
  for (const data::microseconds bound : data::kMoments)
    bounds.push_back(std::chrono::duration<double>(bound).count());
  return WrittenInOneLine(
      {{"total", total},
       {"matched", flows.size()},
       {"offset", slice.offset},
       {"limit", slice.limit},
       {"at_seconds", std::chrono::duration<double>(loop_.now() - started_at_).count()},
       {"answer_bounds_seconds", bounds},
       {"flows", std::move(list)}});
}

}  // namespace mooring::sidecar
