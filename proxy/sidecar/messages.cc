#include "proxy/sidecar/messages.h"

#include <chrono>
#include <cstddef>
#include <utility>

#include "proxy/log/escape.h"
#include "proxy/log/line.h"

namespace mooring::sidecar {
namespace {

struct Fact {
  log::Literal key;  // in JSON
  const char* label;
  std::string value;
};

std::vector<Fact> ServiceFacts(const config::ServiceSettings& settings) {
  std::vector<Fact> facts;
  if (!settings.service.empty()) facts.push_back({"service", "Service", settings.service});
  if (!settings.proxy_id.empty()) facts.push_back({"proxy_id", "Proxy ID", settings.proxy_id});
  if (!settings.sidecar_for.empty())
    facts.push_back({"sidecar_for", "Sidecar for", settings.sidecar_for});
  if (settings.public_listen && settings.local_app) {
    facts.push_back({"public_listener", "Public listener",
                     settings.public_listen->Text() + " => " + settings.local_app->Text()});
  }
  for (const config::UpstreamSettings& upstream : settings.upstreams) {
    facts.push_back({"upstream", "Upstream", upstream.name + " on " + upstream.listen.Text()});
  }
  return facts;
}

std::vector<Fact> ProcessFacts(const config::Settings& settings, const std::string& agent) {
  std::vector<Fact> facts;
  facts.push_back({"agent", "Agent", agent.empty() ? "none; everything comes from files" : agent});
  if (settings.admin) facts.push_back({"admin", "Admin", settings.admin->Text()});
  if (settings.metrics) facts.push_back({"metrics", "Metrics", settings.metrics->Text()});
  return facts;
}

std::string AsText(const std::vector<Fact>& facts) {
  constexpr std::size_t kColumn = 20;
  std::string out;
  for (const Fact& fact : facts) {
    const std::string label = std::string(fact.label) + ": ";
    out.append(label.size() < kColumn ? kColumn - label.size() : 0, ' ');
    out += label + log::Plain(fact.value) + "\n";
  }
  return out;
}

// AsJson is one line of the log. A key stands there once, so upstreams share theirs.
std::string AsJson(const std::vector<Fact>& facts) {
  std::vector<log::Field> fields;
  for (const Fact& fact : facts) {
    if (!fields.empty() && fields.back().key.view() == fact.key.view()) {
      fields.back().value += ", " + fact.value;
    } else {
      fields.emplace_back(fact.key, fact.value);
    }
  }
  return log::MakeLine(log::Format::kJson, std::chrono::system_clock::now(), log::Level::kInfo,
                       "sidecar", "starting", fields);
}

}  // namespace

std::string Starting(const config::Settings& settings, const std::string& agent) {
  const auto write = settings.log_json ? AsJson : AsText;
  std::string out = settings.log_json ? "" : "Mooring proxy starting...\n";
  for (const config::ServiceSettings& service : settings.services)
    out += write(ServiceFacts(service));
  return out + write(ProcessFacts(settings, agent));
}

std::string NoSidecar(const std::string& service_id, std::size_t services_seen, bool filtered,
                      const std::string& token_name) {
  std::string text = "No sidecar proxy registered for " + service_id;
  if (filtered) {
    return text + " that " + token_name +
           " may see: the agent's list is filtered by ACLs; give it service:read on the name "
           "that the sidecar is registered under (a service identity for the service has it)";
  }
  if (services_seen == 0) {
    return text +
           "; the agent lists no service at all, which is also what it answers to a token without "
           "service:read (here: " +
           token_name + ")";
  }
  return text +
         "; check that this is the service's instance ID, not its name, and that it is registered "
         "with a connect sidecar_service";
}

std::string ChooseOne(const std::vector<std::string>& proxy_ids) {
  std::string list;
  for (const std::string& id : proxy_ids) list += (list.empty() ? "" : ", ") + id;
  return "Start proxy with -proxy-id and one of the following IDs: " + list;
}

}  // namespace mooring::sidecar
