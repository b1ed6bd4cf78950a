// What flags and YAML check alike, once both have filled in their settings.
// Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/config/settings.h"

namespace mooring::config {

inline constexpr unsigned kMaxWorkers = 256;
inline constexpr unsigned kMostHandshakes = 1'000'000;

// Overlap: two listeners on these addresses cannot both be bound. A host name overlaps only with
// itself; port 0 overlaps with nothing.
bool Overlap(const net::Address& a, const net::Address& b);

// CheckDialled refuses an address that nobody can connect to: port 0.
Status CheckDialled(const net::Address& address);

// ParseAdvertise reads the host under which others reach us: no port (the listener's is used), no
// wildcard.
Result<std::string> ParseAdvertise(std::string_view text);

// ParseOnRevoke reads close or keep.
Result<OnRevoke> ParseOnRevoke(std::string_view text);

// ParseOnOff reads on or off.
Result<bool> ParseOnOff(std::string_view text);

// CheckMaxStale refuses a limit that would pass without any outage; 0 is no limit.
Status CheckMaxStale(milliseconds limit);

// StateDirFromEnvironment takes the state directory that systemd made for us (StateDirectory= in the unit), if
// there is one; of several the first.
void StateDirFromEnvironment(const std::map<std::string, std::string>& environment, Settings* settings);

// WarnOfExposure adds a warning for everything that is allowed and lets others in or see more than
// usual: upstream listeners and the admin port beyond loopback, an agent spoken to in clear text or
// unverified.
void WarnOfExposure(Settings* settings);

}  // namespace mooring::config
