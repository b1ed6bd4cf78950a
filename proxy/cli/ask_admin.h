// AskAdmin: one question to the admin port of a running proxy. Blocks until it is answered or has
// failed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "authz/result.h"
#include "proxy/config/flag_syntax.h"
#include "proxy/http/client.h"
#include "proxy/net/address.h"

namespace mooring::cli {

// AdminFlag is the flag that says where it is; AdminAddress reads it, or is the address that a
// proxy has by default.
config::FlagSpec AdminFlag();
Result<net::Address> AdminAddress(const config::CommandLine& line);

Result<http::Response> AskAdmin(const net::Address& address, const std::string& path,
                                net::milliseconds deadline = http::Request().deadline,
                                std::size_t max_body = http::kMaxBody);

// AskDocument is the body of an answer that is good. Else the error says where it was asked, why it
// did not answer, and what to look at; it is escaped.
Result<std::string> AskDocument(const net::Address& address, const std::string& path);
// PostDocument is the same of a question that is a document itself.
Result<std::string> PostDocument(const net::Address& address, const std::string& path,
                                 std::string body, const std::string& content_type);

// PathWith is the path with a query of those values that are not empty.
std::string PathWith(std::string path,
                     const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace mooring::cli
