// HostCheck: whether a request was meant for us, by its Host header.
//
// A web page elsewhere can have its own name resolve to a loopback address, and then a browser asks
// us in that page's name, and lets it read the answer (DNS rebinding). Such a request has the
// page's name in its Host header; ours have an IP literal, localhost, or a name that we were told.
// Pure.
#pragma once

#include <string>
#include <string_view>

namespace mooring::http {

// IsOurs judges the value of a Host header, with its port or without. `name` is one more that is
// taken; empty: none.
bool IsOurs(std::string_view host, std::string_view name);

}  // namespace mooring::http
