// What the headers of an agent's answer say, for watches. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/http/client.h"

namespace mooring::control {

inline constexpr char kIndexHeader[] = "x-consul-index";
inline constexpr char kFilteredHeader[] = "x-consul-results-filtered-by-acls";

// HeaderNumber is a header's decimal number; nothing if it is absent, or no number of 64 bits.
std::optional<std::uint64_t> HeaderNumber(const http::Response& response,
                                          const std::string& header);
bool HeaderSays(const http::Response& response, const std::string& header, std::string_view value);
// HasIndex: the document can be waited on, and one version of it be told from an older one.
bool HasIndex(const http::Response& response);
// KeptHeaders are those that are looked at besides the body, for an answer that is kept on disk.
std::map<std::string, std::string> KeptHeaders(const http::Response& response);
// ContentVersion tells one version from another where the agent numbers nothing.
std::string ContentVersion(const http::Response& response);

}  // namespace mooring::control
