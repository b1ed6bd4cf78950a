#include "proxy/sidecar/messages.h"

#include "proxy/log/escape.h"

namespace mooring::sidecar {
namespace {

void Line(std::string* out, std::string label, const std::string& value) {
  label += ": ";
  out->append(label.size() < 20 ? 20 - label.size() : 0, ' ');
  *out += label + log::Plain(value) + "\n";
}

}  // namespace

std::string ServiceFacts(const config::ServiceSettings& settings) {
  std::string out;
  if (!settings.service.empty()) Line(&out, "Service", settings.service);
  if (!settings.proxy_id.empty()) Line(&out, "Proxy ID", settings.proxy_id);
  if (!settings.sidecar_for.empty()) Line(&out, "Sidecar for", settings.sidecar_for);
  if (settings.public_listen && settings.local_app) {
    Line(&out, "Public listener",
         settings.public_listen->Text() + " => " + settings.local_app->Text());
  }
  for (const config::UpstreamSettings& upstream : settings.upstreams) {
    Line(&out, "Upstream", upstream.name + " on " + upstream.listen.Text());
  }
  return out;
}

std::string ProcessFacts(const config::Settings& settings, const std::string& agent) {
  std::string out;
  Line(&out, "Agent", agent.empty() ? "none; everything comes from files" : agent);
  if (settings.admin) Line(&out, "Admin", settings.admin->Text());
  if (settings.metrics) Line(&out, "Metrics", settings.metrics->Text());
  return out;
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
