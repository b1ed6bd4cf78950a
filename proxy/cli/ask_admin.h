// AskAdmin: one question to the admin port of a running proxy. Blocks until it is answered or has
// failed.
#pragma once

#include <string>

#include "authz/result.h"
#include "proxy/config/flag_syntax.h"
#include "proxy/http/client.h"
#include "proxy/net/address.h"

namespace mooring::cli {

// AdminFlag is the flag that says where it is; AdminAddress reads it, or is the address that a
// proxy has by default.
config::FlagSpec AdminFlag();
Result<net::Address> AdminAddress(const config::CommandLine& line);

Result<http::Response> AskAdmin(const net::Address& address, const std::string& path);

}  // namespace mooring::cli
