// What flags and YAML check alike, once both have filled in their settings.
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/config/settings.h"

namespace mooring::config {

// Overlap: two listeners on these addresses cannot both be bound. A host name overlaps only with
// itself, but for localhost, which is 127.0.0.1 here; port 0 overlaps with nothing; [::] takes the
// port of IPv4, too (Linux, net.ipv6.bindv6only = 0).
bool Overlap(const net::Address& one, const net::Address& other);

// Reaches: a call of `app` arrives at `listener`, as far as the two alone tell. An address beyond
// loopback is another machine's to a listener on every interface.
bool Reaches(const net::Address& app, const net::Address& listener);

// CheckDialled refuses an address that nobody can connect to: port 0.
Status CheckDialled(const net::Address& address);

// ParseAdvertise reads the host under which others reach us, IPv6 with or without brackets: no port
// (the listener's is used), no wildcard.
Result<std::string> ParseAdvertise(std::string_view text);

// CheckOnRevoke refuses quiet without a grace; `grace` is how one is written.
Status CheckOnRevoke(const ServiceSettings& service, std::string_view grace);

// ParseOnRevoke reads close, quiet or keep, ParseOnDeparture close or keep, ParseNoEndpoint refuse
// or reset, ParseOnOff on or off; the others write them.
Result<OnRevoke> ParseOnRevoke(std::string_view text);
std::string OnRevokeText(const OnRevoke& policy);
Result<OnDeparture> ParseOnDeparture(std::string_view text);
std::string OnDepartureText(const OnDeparture& policy);
Result<NoEndpoint> ParseNoEndpoint(std::string_view text);
std::string NoEndpointText(const NoEndpoint& policy);
Result<MeshGateway> ParseMeshGateway(std::string_view text);  // none, local or remote
std::string MeshGatewayText(const MeshGateway& mode);
Result<bool> ParseOnOff(std::string_view text);
std::string OnOffText(const bool& on);

Result<Seccomp> ParseSeccomp(std::string_view text);  // on, kill or off
std::string SeccompText(const Seccomp& policy);

// ParseFolders reads absolute paths between commas.
Result<std::vector<std::string>> ParseFolders(std::string_view text);
std::string FoldersText(const std::vector<std::string>& folders);

// ParseBalance reads one of the rules by which connections are spread; BalanceText writes it.
Result<Balance> ParseBalance(std::string_view text);
std::string BalanceText(const Balance& balance);

// CheckToken refuses what cannot be an ACL token: control characters, a byte order mark, bytes
// beyond ASCII. Empty is none. The message repeats nothing of it.
Status CheckToken(std::string_view token);

// CheckTag refuses what can be no tag: nothing, and what has blanks around it or control
// characters.
Status CheckTag(std::string_view tag);

// CheckMaxStale refuses a limit that would pass without any outage; 0 is no limit.
Status CheckMaxStale(milliseconds limit);

// CheckProbeInterval refuses to have endpoints tried all the time; 0 is never.
Status CheckProbeInterval(milliseconds interval);

// CheckAdmin refuses an admin port beyond loopback, unless that is allowed. `metrics` is how the
// caller's form calls metrics.address, `allow` what allows it.
Status CheckAdmin(const Settings& settings, std::string_view metrics, std::string_view allow);

// ParseLogFormat reads text or json. ParseAccessLog reads where an access log goes: off, stdout,
// journald or a file's absolute path. CheckReportEvery refuses what is more often than connections
// are looked at; 0 is never.
Result<log::Format> ParseLogFormat(std::string_view text);
std::string LogFormatText(const log::Format& format);
Result<std::string> ParseAccessLog(std::string_view text);
Status CheckReportEvery(milliseconds every);

// WarnOfExposure adds a warning for everything that is allowed and lets others in or see more than
// usual: upstream listeners and the admin port beyond loopback, an agent spoken to in clear text or
// unverified.
void WarnOfExposure(Settings* settings);

}  // namespace mooring::config
