#include "proxy/config/checks.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>

#include "authz/text.h"

namespace mooring::config {
namespace {

// Names are the words for the values of a setting, as people write them.
template <typename T, std::size_t N>
using Names = std::pair<std::string_view, T>[N];

template <typename T, std::size_t N>
Result<T> ValueOf(const Names<T, N>& names, std::string_view text) {
  std::string all;
  for (std::size_t i = 0; i < N; ++i) {
    if (text == names[i].first) return names[i].second;
    all += i == 0 ? "" : i + 1 < N ? ", " : N == 2 ? " nor " : " and ";
    all += names[i].first;
  }
  return Invalid("\"" + authz::Shortened(text) + (N == 2 ? "\" is neither " : "\" is none of ") +
                 all);
}

template <typename T, std::size_t N>
std::string NameOf(const Names<T, N>& names, const T& value) {
  for (const auto& [name, known] : names) {
    if (value == known) return std::string(name);
  }
  return {};
}

constexpr Names<OnRevoke, 3> kOnRevoke = {
    {"close", OnRevoke::kClose}, {"quiet", OnRevoke::kQuiet}, {"keep", OnRevoke::kKeep}};
constexpr Names<MeshGateway, 3> kMeshGateway = {
    {"none", MeshGateway::kNone}, {"local", MeshGateway::kLocal}, {"remote", MeshGateway::kRemote}};
constexpr Names<NoEndpoint, 2> kNoEndpoint = {{"refuse", NoEndpoint::kRefuse},
                                              {"reset", NoEndpoint::kReset}};
constexpr Names<OnDeparture, 2> kOnDeparture = {{"close", OnDeparture::kClose},
                                                {"keep", OnDeparture::kKeep}};
constexpr Names<bool, 2> kOnOff = {{"on", true}, {"off", false}};
constexpr Names<log::Format, 2> kLogFormats = {{"text", log::Format::kText},
                                               {"json", log::Format::kJson}};
constexpr Names<Seccomp, 3> kSeccomp = {
    {"on", Seccomp::kOn}, {"kill", Seccomp::kKill}, {"off", Seccomp::kOff}};
constexpr Names<Balance, 5> kBalances = {{"least_connections", Balance::kLeastConnections},
                                         {"least_time", Balance::kLeastTime},
                                         {"round_robin", Balance::kRoundRobin},
                                         {"random", Balance::kRandom},
                                         {"sticky", Balance::kSticky}};

bool StaysHere(const net::Address& address) {
  return address.IsLoopback() || address.host == "localhost";  // RFC 6761 6.3
}

bool IsV6(const net::Address& address) { return address.host.find(':') != std::string::npos; }

// Literal has 127.0.0.1 for localhost, which is there too where ::1 is.
net::Address Literal(net::Address address) {
  if (address.host == "localhost") address.host = "127.0.0.1";
  return address;
}

// Covers: the one is every address of the other's family, or of both.
bool Covers(const net::Address& one, const net::Address& other) {
  return one.IsWildcard() && (IsV6(one) || !IsV6(other));
}

std::string Normal(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

void WarnOfAgent(const AgentSettings& agent, std::vector<std::string>* warnings) {
  if (agent.https && !agent.tls.verify) {
    warnings->push_back("the agent's certificate is not verified: whoever answers at " +
                        agent.address.Text() + " can hand out roots and intentions");
  }
  if (!agent.https && !StaysHere(agent.address)) {
    warnings->push_back("the ACL token and the private key travel to and from the agent at " +
                        agent.address.Text() + " in clear text: use https");
  }
}

}  // namespace

bool Overlap(const net::Address& one, const net::Address& other) {
  if (one.kind != other.kind) return false;
  if (one.kind == net::Address::Kind::kUnix) return Normal(one.path) == Normal(other.path);
  const net::Address a = Literal(one);
  const net::Address b = Literal(other);
  if (a.port != b.port || a.port == 0) return false;
  if (a.host == b.host) return true;
  if (!a.IsIpLiteral() || !b.IsIpLiteral()) return false;
  return Covers(a, b) || Covers(b, a);
}

bool Reaches(const net::Address& app, const net::Address& listener) {
  const bool elsewhere = app.kind == net::Address::Kind::kTcp && listener.IsWildcard() &&
                         !app.IsWildcard() && !StaysHere(app);
  return !elsewhere && Overlap(app, listener);
}

Status CheckDialled(const net::Address& address) {
  if (address.kind == net::Address::Kind::kTcp && address.port == 0) {
    return Invalid("\"" + address.Text() + "\" cannot be dialled: port 0 stands for none");
  }
  return Ok();
}

Result<std::string> ParseAdvertise(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']') && text.find(':') != std::string_view::npos) {
    text = text.substr(1, text.size() - 2);
  }
  Result<std::string> host = net::ParseHost(text);
  if (!host) {
    return Invalid(host.error().message +
                   "; write an IP address or a host name alone, the port is the public listener's");
  }
  if (net::Address::Tcp(*host, 0).IsWildcard()) {
    return Invalid("\"" + *host + "\" is every interface and no address that others can dial");
  }
  return host;
}

Status CheckOnRevoke(const ServiceSettings& service, std::string_view grace) {
  if (service.on_revoke != OnRevoke::kQuiet || service.revoke_grace.count() > 0) return Ok();
  return Invalid("quiet needs " + std::string(grace) +
                 ", the longest that a session which is never silent may go on");
}

Result<OnRevoke> ParseOnRevoke(std::string_view text) { return ValueOf(kOnRevoke, text); }

std::string OnRevokeText(const OnRevoke& policy) { return NameOf(kOnRevoke, policy); }

Result<NoEndpoint> ParseNoEndpoint(std::string_view text) { return ValueOf(kNoEndpoint, text); }

Result<MeshGateway> ParseMeshGateway(std::string_view text) { return ValueOf(kMeshGateway, text); }

std::string MeshGatewayText(const MeshGateway& mode) { return NameOf(kMeshGateway, mode); }

std::string NoEndpointText(const NoEndpoint& policy) { return NameOf(kNoEndpoint, policy); }

Result<OnDeparture> ParseOnDeparture(std::string_view text) { return ValueOf(kOnDeparture, text); }

std::string OnDepartureText(const OnDeparture& policy) { return NameOf(kOnDeparture, policy); }

Result<bool> ParseOnOff(std::string_view text) { return ValueOf(kOnOff, text); }

std::string OnOffText(const bool& on) { return NameOf(kOnOff, on); }

Result<Seccomp> ParseSeccomp(std::string_view text) { return ValueOf(kSeccomp, text); }

std::string SeccompText(const Seccomp& policy) { return NameOf(kSeccomp, policy); }

Result<std::vector<std::string>> ParseFolders(std::string_view text) {
  std::vector<std::string> folders;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view folder = authz::Trimmed(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (!folder.starts_with('/'))
      return Invalid('"' + authz::Shortened(folder) + "\" is no absolute path of a folder");
    folders.emplace_back(folder);
  }
  return folders;
}

std::string FoldersText(const std::vector<std::string>& folders) {
  std::string text;
  for (const std::string& folder : folders) text += (text.empty() ? "" : ",") + folder;
  return text;
}

Result<Balance> ParseBalance(std::string_view text) { return ValueOf(kBalances, text); }

std::string BalanceText(const Balance& balance) { return NameOf(kBalances, balance); }

Status CheckTag(std::string_view tag) {
  if (tag.empty()) return Invalid("\"\" is no tag; name one, or leave it out");
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  if (tag.front() == ' ' || tag.back() == ' ' || std::any_of(tag.begin(), tag.end(), is_control)) {
    return Invalid("\"" + authz::Shortened(tag) +
                   "\" has blanks around it or control characters, as no tag has");
  }
  return Ok();
}

Status CheckToken(std::string_view token) {
  constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf";
  constexpr std::string_view kUtf16Marks[] = {"\xff\xfe", "\xfe\xff"};
  if (token.starts_with(kUtf8Mark))
    return Invalid("the token begins with a byte order mark; save it as UTF-8 without one");
  for (const std::string_view mark : kUtf16Marks) {
    if (token.starts_with(mark))
      return Invalid("the token is in UTF-16; save it as UTF-8 without a byte order mark");
  }
  const auto bad = std::find_if(token.begin(), token.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f;
  });
  if (bad == token.end()) return Ok();
  const bool control = static_cast<unsigned char>(*bad) < 0x80;
  return Invalid(std::string("the token holds a ") +
                 (control ? "control character" : "byte beyond ASCII") + " at byte " +
                 std::to_string(bad - token.begin() + 1) +
                 ", which no token has; write the token alone");
}

Status CheckMaxStale(milliseconds limit) {
  if (limit.count() == 0 || limit >= kLeastMaxStale) return Ok();
  return Invalid(
      "it must be 2m or more (what has not changed is confirmed only once a minute), or 0");
}

Status CheckAdmin(const Settings& settings, std::string_view metrics, std::string_view allow) {
  if (!settings.admin || StaysHere(*settings.admin) || settings.admin_allow_remote) return Ok();
  return Invalid(settings.admin->Text() +
                 " is beyond loopback, and whoever reaches it may read all there is: write "
                 "127.0.0.1 or unix:/path, and give scrapers and probes a port by " +
                 std::string(metrics) + "; " + std::string(allow) + " allows it");
}

Result<log::Format> ParseLogFormat(std::string_view text) { return ValueOf(kLogFormats, text); }

std::string LogFormatText(const log::Format& format) { return NameOf(kLogFormats, format); }

Result<std::string> ParseAccessLog(std::string_view text) {
  if (text == "off" || text == "stdout" || text == "journald" ||
      (text.size() > 1 && text.starts_with('/'))) {
    return std::string(text);
  }
  return Invalid("\"" + authz::Shortened(text) +
                 "\" is none of off, stdout, journald and a file's absolute path");
}

Status CheckReportEvery(milliseconds every) {
  if (every.count() == 0 || every >= kLeastReportEvery) return Ok();
  return Invalid("it must be 5s or more (live connections are looked at so often), or 0");
}

Status CheckProbeInterval(milliseconds interval) {
  if (interval.count() == 0 || interval >= kLeastProbeInterval) return Ok();
  return Invalid("it must be 1s or more, or 0");
}

void WarnOfExposure(Settings* settings) {
  for (const ServiceSettings& service : settings->services) {
    for (const UpstreamSettings& upstream : service.upstreams) {
      if (StaysHere(upstream.listen)) continue;
      settings->warnings.push_back("upstream " + upstream.name + " listens on " +
                                   upstream.listen.Text() +
                                   ": everybody who reaches that address " + "calls " +
                                   upstream.name + " in this service's name");
    }
  }
  if (settings->admin && !StaysHere(*settings->admin)) {
    settings->warnings.push_back("the admin port listens on " + settings->admin->Text() +
                                 ", beyond loopback, and asks nobody who they are");
  }
  if (settings->NeedsAgent()) WarnOfAgent(settings->agent, &settings->warnings);
}

}  // namespace mooring::config
