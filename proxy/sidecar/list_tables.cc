#include "proxy/sidecar/list_tables.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "proxy/sidecar/text_table.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

constexpr double kWindow = 10;  // seconds

std::string Short(const json& direction) {
  const std::string text = Text(direction);
  return text == "inbound" ? "in" : text == "outbound" ? "out" : text;
}

double Number(const json& object, const char* key) {
  const json value = object.value(key, json());
  return value.is_number() ? value.get<double>() : 0;
}

std::string Rate(double rate) {
  std::array<char, 32> text{};
  if (rate > 0 && rate < 9.95) {
    std::snprintf(text.data(), text.size(), "%.1f", rate);
    return text.data();
  }
  return BytesText(rate);
}

// Moment writes how long an answer took: 850us, 2.3ms, 410ms, 1.2s.
std::string Moment(double seconds) {
  if (seconds < 0) return "-";
  std::array<char, 32> text{};
  if (seconds < 0.001) {
    std::snprintf(text.data(), text.size(), "%.0fus", seconds * 1e6);
  } else if (seconds < 0.01) {
    std::snprintf(text.data(), text.size(), "%.1fms", seconds * 1e3);
  } else if (seconds < 1) {
    std::snprintf(text.data(), text.size(), "%.0fms", seconds * 1e3);
  } else {
    std::snprintf(text.data(), text.size(), "%.1fs", seconds);
  }
  return text.data();
}

std::string Instance(const json& connection) {
  const json instance = connection.value("instance", json());
  return instance.is_object() ? Text(instance, "node") + "/" + Text(instance, "id")
                              : std::string("-");
}

std::string Tls(const json& connection) {
  const json tls = connection.value("tls", json());
  if (!tls.is_object()) return "-";
  return Text(tls, "version") + " " + Text(tls, "group") +
         (tls.value("resumed", false) ? " resumed" : "");
}

// Quantile is as Histogram's (proxy/data/histogram.h), of what has come between two readings; -1:
// nothing.
double Quantile(const std::vector<double>& bounds, const std::vector<double>& below, double share) {
  double all = 0;
  for (const double count : below) all += count;
  if (all <= 0 || bounds.empty()) return -1;
  double passed = 0;
  for (std::size_t i = 0; i < bounds.size() && i < below.size(); ++i) {
    if (below[i] > 0 && passed + below[i] >= share * all) {
      const double low = i == 0 ? 0 : bounds[i - 1];
      return low + (bounds[i] - low) * (share * all - passed) / below[i];
    }
    passed += below[i];
  }
  return bounds.back();
}

}  // namespace

Result<std::string> ConnectionsTable(std::string_view connections_json, std::size_t width) {
  const json list = json::parse(connections_json, nullptr, false);
  if (!list.is_object() || !list.contains("connections"))
    return Invalid("this is no list of connections");
  try {
    TextTable table(std::vector<TextTable::Column>{{"ID", true},
                                                   {"WAY"},
                                                   {"FROM"},
                                                   {"TO"},
                                                   {"STATE"},
                                                   {"AGE", true},
                                                   {"IDLE", true},
                                                   {"IN", true},
                                                   {"OUT", true},
                                                   {"PEER", false, 1},
                                                   {"ENDPOINT", false, 2},
                                                   {"TLS", false, 3},
                                                   {"INSTANCE", false, 4}});
    const json& connections = list.at("connections");
    for (const json& one : connections) {
      table.Add({Text(one, "id"), Short(one.value("direction", json())), Text(one, "source"),
                 Text(one, "destination"), Text(one, "state"),
                 Span(one.value("age_seconds", json())), Span(one.value("idle_seconds", json())),
                 BytesText(Number(one, "bytes_in")), BytesText(Number(one, "bytes_out")),
                 Text(one, "peer"), Text(one, "endpoint"), Tls(one), Instance(one)});
    }
    const std::string matched = Text(list, "matched");
    std::string out = "connections  " + std::to_string(connections.size()) + " of " + matched;
    if (matched != Text(list, "total")) out += " found, " + Text(list, "total") + " open";
    return out + "\n\n" + table.Draw(width);
  } catch (const json::exception& error) {
    return Invalid(std::string("this is no list of connections: ") + error.what());
  }
}

struct Talkers::Reading {
  struct Flow {
    json facts;
    std::vector<double> below;
  };
  double at = 0;
  bool whole = false;
  double total = 0;
  std::vector<double> bounds;
  std::map<std::string, Flow> flows;  // by who talks to whom
};

Talkers::Talkers() = default;
Talkers::~Talkers() = default;

Status Talkers::Read(std::string_view traffic_json) {
  const json traffic = json::parse(traffic_json, nullptr, false);
  if (!traffic.is_object() || !traffic.contains("flows"))
    return Invalid("this is no list of who talks to whom");
  try {
    auto reading = std::make_unique<Reading>();
    reading->at = traffic.at("at_seconds").get<double>();
    reading->total = Number(traffic, "total");
    reading->bounds = traffic.at("answer_bounds_seconds").get<std::vector<double>>();
    for (const json& flow : traffic.at("flows")) {
      const json key{flow.at("service"), flow.at("direction"), flow.at("source"),
                     flow.at("destination"), flow.at("datacenter")};
      reading->flows[key.dump(-1, ' ', true, json::error_handler_t::replace)] = {
          flow, flow.at("answer").at("below").get<std::vector<double>>()};
    }
    reading->whole = static_cast<double>(reading->flows.size()) >= reading->total;
    // it was restarted
    if (!readings_.empty() && readings_.back()->at > reading->at) readings_.clear();
    readings_.push_back(std::move(reading));
  } catch (const json::exception& error) {
    return Invalid(std::string("this is no list of who talks to whom: ") + error.what());
  }
  const double oldest = readings_.back()->at - kWindow;
  while (readings_.size() > 2 && readings_[1]->at <= oldest) readings_.pop_front();
  return Ok();
}

std::string Talkers::Table(std::size_t width, std::size_t most) const {
  TextTable table(std::vector<TextTable::Column>{{"FROM"},
                                                 {"TO"},
                                                 {"WAY"},
                                                 {"OPEN", true},
                                                 {"NEW/S", true},
                                                 {"REQ/S", true},
                                                 {"IN/S", true},
                                                 {"OUT/S", true},
                                                 {"FAILED", true},
                                                 {"P50", true, 1},
                                                 {"P99", true},
                                                 {"DC", false, 2}});
  if (readings_.empty()) return table.Draw(width);
  const Reading& now = *readings_.back();
  struct Row {
    double busy;
    std::vector<std::string> cells;
  };
  std::vector<Row> rows;
  for (const auto& [key, flow] : now.flows) {
    // The oldest that knows of it; or the one before, where that had all: then all of it is new.
    auto first = readings_.begin();
    while (!(*first)->flows.contains(key)) ++first;
    const Reading* then = first->get();
    const Reading::Flow* before = &then->flows.at(key);
    if (first != readings_.begin() && (*std::prev(first))->whole) {
      then = std::prev(first)->get();
      before = nullptr;
    }
    const double time = now.at - then->at;
    const json& facts = flow.facts;
    const auto since = [&](const char* name) {
      return std::max(0.0, Number(facts, name) - (before ? Number(before->facts, name) : 0));
    };
    const auto rate = [&](const char* name) { return time > 0 ? since(name) / time : 0; };
    std::vector<double> below = flow.below;
    // with one reading alone, of all the time
    for (std::size_t i = 0;
         time > 0 && before != nullptr && i < below.size() && i < before->below.size(); ++i)
      below[i] = std::max(0.0, below[i] - before->below[i]);
    const double in = rate("bytes_in"), out = rate("bytes_out"), opened = rate("opened");
    const double failed = Number(facts, "failed");
    const double lately = time > 0 ? since("failed") : 0;
    rows.push_back({in + out + 1000 * opened + Number(facts, "open"),
                    {Text(facts, "source"), Text(facts, "destination"),
                     Short(facts.value("direction", json())), Text(facts, "open"), Rate(opened),
                     Rate(rate("requests")), BytesText(in), BytesText(out),
                     lately > 0 ? BytesText(failed) + " +" + BytesText(lately) : BytesText(failed),
                     Moment(Quantile(now.bounds, below, 0.5)),
                     Moment(Quantile(now.bounds, below, 0.99)), Text(facts, "datacenter")}});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.busy > b.busy; });
  for (std::size_t i = 0; i < rows.size() && i < most; ++i) table.Add(std::move(rows[i].cells));
  return table.Draw(width);
}

}  // namespace mooring::sidecar
