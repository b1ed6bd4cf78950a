// Text from peers and agents: how much of it may stand in a message, how it goes into a URL, and
// how Consul compares service IDs.
//
// Pure functions of their input, the same in every locale.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mooring::authz {

// Shortened cuts what is longer than `limit` bytes, never inside a UTF-8 sequence, and says so by
// "...". So a foreign name leaves room for the rest of the message. It escapes nothing: messages
// are raw, and whoever writes one to a log, a terminal or into a document escapes it there, once
// (proxy/log/escape.h).
std::string Shortened(std::string_view text, std::size_t limit = 160);

// Trimmed is without the blanks, tabs and line ends around it.
std::string_view Trimmed(std::string_view text);

// PercentEncoded writes every byte but ASCII letters, digits and those of `kept` as %XX. The
// default is for one path segment or query value (RFC 3986 2.3: all but unreserved).
std::string PercentEncoded(std::string_view text, std::string_view kept = "-._~");

// EqualIgnoringCase folds A-Z only. Never for identities: those are compared byte by byte.
bool EqualIgnoringCase(std::string_view a, std::string_view b);

}  // namespace mooring::authz
