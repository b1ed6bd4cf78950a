#include "proxy/sidecar/status_table.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "proxy/sidecar/text_table.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

// Reasons is one line a reason, indented.
std::string Reasons(const json& status) {
  std::string out;
  for (const json& reason : status.value("not_ready", json::array()))
    out += "  not ready: " + Text(reason) + "\n";
  for (const json& what : status.value("degraded", json::array()))
    out += "  degraded: " + Text(what) + "\n";
  return out;
}

std::string ServiceFacts(const json& service) {
  std::string out;
  if (const json leaf = service.value("leaf", json()); leaf.is_object()) {
    out += "leaf   " + Text(leaf, "spiffe_id") + "  ends in " +
           Span(leaf.value("seconds_left", json())) +
           (leaf.value("expiring", false) ? "  NOT RENEWED YET" : "") + "\n";
  }
  if (const json roots = service.value("roots", json()); roots.is_object()) {
    out += "roots  " + Text(roots, "count") + " of " + Text(roots, "trust_domain") + "\n";
  }
  if (const json intentions = service.value("intentions", json()); intentions.is_object()) {
    out += "intentions  " + Text(intentions, "count") + ", others: " + Text(intentions, "default") +
           "\n";
  }
  if (const json file = service.value("state_file", json()); file.is_object()) {
    out += "state  " + Text(file, "file") + "  saved " +
           (file.value("saved_seconds_ago", json()).is_null()
                ? std::string("never")
                : Span(file["saved_seconds_ago"]) + " ago") +
           (file.value("private_key", true) ? "" : ", without the private key") + "\n";
    if (Text(file, "error") != "-") out += "  not saved: " + Text(file, "error") + "\n";
  } else {
    out += "state  not kept on disk\n";
  }
  return out;
}

std::string AgentFacts(const json& status) {
  const json agent = status.value("agent", json());
  if (!agent.is_object()) return {};
  std::string out = "agent  " + Text(agent, "address") + "  connections " +
                    Text(agent, "connections") + " of " + Text(agent, "max_connections") + "\n";
  if (Text(agent, "error") != "-") out += "  " + Text(agent, "error") + "\n";
  return out;
}

// ProcessLimits are those by number of connections that hold for all services; nothing if none is
// set.
std::string ProcessLimits(const json& status) {
  const json admission = status.value("admission", json::object());
  std::string out;
  if (const json all = admission.value("connections", json());
      all.is_object() && all.value("limit", json()).is_number()) {
    out += "max_total_connections  " + Text(all, "open") + " of " + Text(all, "limit") + ", " +
           Text(all, "refused") + " refused\n";
  }
  if (const json rate = admission.value("rate_per_address", json()); rate.is_object()) {
    out += "rate_per_address  " + Text(rate, "a_second") + " a second, " + Text(rate, "burst") +
           " at once, " + Text(rate, "addresses") + " addresses, " + Text(rate, "refused") +
           " refused\n";
  }
  return out;
}

// Confined is what the kernel holds the process to, and what it does not.
std::string Confined(const json& status) {
  const json parts = status.value("confinement", json::object());
  std::string held, missing;
  for (const auto& [name, part] : parts.items()) {
    if (!part.is_object()) continue;
    if (part.value("holds", false)) {
      held += "  " + name;
    } else {
      missing += "  not " + name + ": " + Text(part, "why") + "\n";
    }
  }
  if (held.empty() && missing.empty()) return {};
  const json filter = parts.value("seccomp", json::object());
  const json refused = filter.value("refused", json());
  const bool some = refused.is_number() && refused != 0;
  return "confined" + (held.empty() ? "  by nothing" : held) +
         (some ? "  calls refused " + Text(filter, "refused") : "") + "\n" + missing;
}

std::string Watches(const json& status) {
  TextTable table(std::vector<std::string>{"WATCH", "STATE", "ASKS", "SOURCE", "VERSION", "AGE",
                                           "ERRORS", "LAST ERROR"});
  for (const json& watch : status.value("watches", json::array())) {
    const json unanswered = watch.value("unanswered_seconds", json());
    table.Add({Text(watch, "name"),
               Text(watch, "state") +
                   (unanswered.is_number() ? " for " + Span(unanswered) : std::string()) +
                   (watch.value("stale", false) ? " (too old)" : ""),
               Text(watch, "asks") + (watch.value("cached", false) ? ", cached" : ""),
               Text(watch, "source"), Text(watch, "version"),
               Span(watch.value("age_seconds", json())), Text(watch, "errors"),
               Text(watch, "last_error")});
  }
  return table.Draw();
}

std::string Listeners(const json& status) {
  TextTable table(std::vector<std::string>{"LISTENER", "ADDRESS", "STATE", "WHY"});
  for (const json& listener : status.value("listeners", json::array())) {
    const json refuses = listener.value("refuses", json());
    std::string state = Text(listener, "state");
    std::string why = Text(listener, "error");
    if (refuses.is_object()) {
      state += " for " + Span(refuses.value("seconds", json()));
      if (why == "-") why = Text(refuses, "why");
    }
    table.Add({Text(listener, "name"), Text(listener, "address"), state, why});
  }
  return table.Draw();
}

// Failing is what is to be said of an upstream's endpoints beside their number.
std::string Failing(const json& upstream) {
  std::string says;
  for (const char* state : {"failing", "ejected", "probation"}) {
    std::size_t count = 0;
    std::string why;
    for (const json& endpoint : upstream.value("endpoint_details", json::array())) {
      if (endpoint.value("state", "") != state) continue;
      ++count;
      const json last = endpoint.value("last_failure", json());
      if (why.empty() && last.is_object()) why = ": " + Text(last, "reason");
    }
    if (count > 0)
      says += ", " + std::to_string(count) +
              (state == std::string_view("probation") ? " on " : " ") + state + why;
  }
  return says;
}

// Follows is what is to be said of how the catalog is followed: the tag, and who has left.
std::string Follows(const json& upstream) {
  const json catalog = upstream.value("catalog", json::object());
  const json select = catalog.value("select", json());
  const std::size_t left = catalog.value("departed", json::array()).size();
  return (select.is_object() ? " with tag " + Text(select, "tag") : std::string()) +
         (left == 0 ? std::string() : ", " + std::to_string(left) + " left");
}

std::string Upstreams(const json& status) {
  const json upstreams = status.value("upstreams", json::array());
  if (upstreams.empty()) return {};
  TextTable table(std::vector<std::string>{"UPSTREAM", "ENDPOINTS", "IDENTITY"});
  for (const json& upstream : upstreams) {
    table.Add({Text(upstream, "name"),
               upstream.value("known", false)
                   ? std::to_string(upstream.value("endpoints", json::array()).size()) +
                         Follows(upstream) + Failing(upstream)
                   : std::string("not known yet"),
               Text(upstream, "spiffe_id")});
  }
  return table.Draw();
}

// Limits are those by number of connections that are set; nothing if none is.
std::string Limits(const json& status) {
  const json limits = status.value("limits", json::array());
  if (limits.empty()) return {};
  TextTable table(std::vector<std::string>{"LIMIT", "LISTENER", "MOST", "USED", "REFUSED", "BY"});
  for (const json& limit : limits) {
    table.Add({Text(limit, "limit"), Text(limit, "listener"), Text(limit, "most"),
               Text(limit, "used"), Text(limit, "refused"), Text(limit, "identity")});
  }
  return table.Draw();
}

std::string Connections(const json& status) {
  const json connections = status.value("connections", json::object());
  TextTable table(std::vector<std::string>{"CONNECTIONS", "ACTIVE", "TOTAL", "BYTES IN",
                                           "BYTES OUT", "CLOSED"});
  for (const char* direction : {"inbound", "outbound"}) {
    const json side = connections.value(direction, json::object());
    const json counts = side.value("closed", json::object());
    std::string closed;
    for (const auto& [reason, count] : counts.items()) {
      closed += (closed.empty() ? "" : ", ") + Text(json(reason)) + " " + Text(count);
    }
    table.Add({direction, Text(side, "active"), Text(side, "total"), Text(side, "bytes_in"),
               Text(side, "bytes_out"), closed.empty() ? "-" : closed});
  }
  return table.Draw();
}

// Log is what the log does not hold; nothing if it holds everything.
std::string Log(const json& status) {
  const json log = status.value("log", json::object());
  const json dropped = log.value("dropped", json::object());
  const json left_out = log.value("left_out", json::object());
  std::string out;
  if (dropped.value("lines", 0U) > 0) {
    out +=
        "log lines lost, because nobody read them or the disk was full: " + Text(dropped, "lines") +
        " (" + Text(dropped, "error") + " error, " + Text(dropped, "warn") + " warn, " +
        Text(dropped, "info") + " info)\n\n";
  }
  if (left_out.value("lines", 0U) == 0) return out;
  TextTable table(
      std::vector<std::string>{"LOG LINES LEFT OUT", "REASON", "LINES", "MOST OF THEM"});
  for (const json& topic : left_out.value("topics", json::array())) {
    std::string largest;
    for (const json& one : topic.value("largest", json::array())) {
      largest += (largest.empty() ? "" : ", ") + Text(one, "who") +
                 (one.value("at_least", false) ? " at least " : " ") + Text(one, "lines");
    }
    table.Add({Text(topic, "message"), Text(topic, "reason"), Text(topic, "lines"), largest});
  }
  return out + table.Draw();
}

// Generations are the processes that live on after an upgrade; nothing if there is none.
std::string Generations(const json& status) {
  const json rows = status.value("generations", json::array());
  if (rows.empty()) return {};
  TextTable table(std::vector<std::string>{"OLD GENERATION", "PID", "VERSION", "RETIRED",
                                           "CONNECTIONS", "MEMORY", "STATE"});
  for (const json& row : rows) {
    table.Add({Text(row, "generation"), Text(row, "pid"), Text(row, "version"),
               Span(row.value("retired_seconds", json())) + " ago", Text(row, "connections"),
               std::to_string(row.value("resident_bytes", std::int64_t{0}) >> 20) + " MiB",
               Text(row, "state")});
  }
  return table.Draw();
}

// Tables are those of one service.
std::string Tables(const json& service) {
  return Watches(service) + Listeners(service) + Upstreams(service) + Limits(service) +
         Connections(service);
}

std::string OfOne(const json& status) {
  return "mooring " + Text(status, "version") + "  " + Text(status, "service") + "  " +
         Text(status, "state") + "  up " + Span(status.value("uptime_seconds", json())) + "\n" +
         Reasons(status) + ServiceFacts(status) + AgentFacts(status) + ProcessLimits(status) +
         Confined(status) + "\n" + Tables(status) + Generations(status) + Log(status);
}

std::string OfSeveral(const json& status, const json& services) {
  std::string out = "mooring " + Text(status, "version") + "  " + std::to_string(services.size()) +
                    " services  " + Text(status, "state") + "  up " +
                    Span(status.value("uptime_seconds", json())) + "\n";
  out += AgentFacts(status) + ProcessLimits(status) + Confined(status) + "\n";
  TextTable table(std::vector<std::string>{"SERVICE", "STATE", "ACTIVE IN", "ACTIVE OUT",
                                           "NOT READY, OR DEGRADED"});
  for (const json& service : services) {
    const json connections = service.value("connections", json::object());
    std::string why;
    for (const char* key : {"not_ready", "degraded"}) {
      for (const json& reason : service.value(key, json::array()))
        why += (why.empty() ? "" : "; ") + Text(reason);
    }
    table.Add({Text(service, "name"), Text(service, "state"),
               Text(connections.value("inbound", json::object()), "active"),
               Text(connections.value("outbound", json::object()), "active"),
               why.empty() ? "-" : why});
  }
  out += table.Draw() + Listeners(status);
  for (const json& service : services) {
    out += "== " + Text(service, "name") + "  " + Text(service, "state") + "\n" + Reasons(service) +
           ServiceFacts(service) + "\n" + Tables(service);
  }
  return out + Generations(status) + Log(status);
}

}  // namespace

Result<std::string> StatusTable(std::string_view status_json) {
  const json status = json::parse(status_json, nullptr, false);
  if (!status.is_object() || !(status.contains("watches") || status.contains("services"))) {
    return Invalid("this is no status of a mooring");
  }
  try {
    const json services = status.value("services", json::array());
    return services.size() > 1 ? OfSeveral(status, services) : OfOne(status);
  } catch (const json::exception& error) {
    return Invalid(std::string("this is no status of a mooring: ") + error.what());
  }
}

}  // namespace mooring::sidecar
