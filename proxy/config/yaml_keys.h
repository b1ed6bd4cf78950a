// The keys of the YAML form, by the mapping that holds them. A setting that Consul does not have is
// spelt as its flag, with `_` for `-`. examples/mooring.yaml says what each means; a test compares
// the two.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace mooring::config {

template <std::size_t kCount>
using Keys = std::array<std::string_view, kCount>;

inline constexpr Keys<33> kFileKeys{
    "service",         "proxy_id",     "sidecar_for",       "no_wait",    "identity",
    "public_listener", "intentions",   "upstreams",         "agent",      "admin",
    "register",        "register_id",  "advertise",         "state_dir",  "cache_private_key",
    "max_stale",       "on_revoke",    "revoke_grace",      "allow_core", "max_connection_age",
    "log_level",       "log_json",     "connect_timeout",   "workers",    "idle_timeout",
    "drain_delay",     "drain_time",   "drain_quiet",       "memory_limit", "max_handshakes",
    "handshake_memory", "buffer_memory", "tls_resumption"};
inline constexpr Keys<3> kIdentityKeys{"certificate", "private_key", "roots"};
inline constexpr Keys<5> kPublicListenerKeys{"address", "socket_mode", "local_app",
                                             "handshake_timeout", "local_connect_timeout"};
inline constexpr Keys<2> kIntentionsKeys{"default", "rules"};
inline constexpr Keys<2> kRuleKeys{"source", "action"};
inline constexpr Keys<11> kUpstreamKeys{"service",   "query",           "datacenter",
                                       "listen",    "socket_mode",     "endpoints",
                                       "spiffe_id", "connect_timeout", "idle_timeout",
                                       "tls_resumption", "any_case"};
inline constexpr Keys<14> kAgentKeys{"address",   "token",       "token_file", "ca_file",
                                     "ca_path",   "client_cert", "client_key", "tls_server_name",
                                     "namespace", "partition",   "stale",      "verify",
                                     "max_answer_size", "max_agent_connections"};
inline constexpr Keys<1> kAdminKeys{"address"};

}  // namespace mooring::config
