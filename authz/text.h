// Text from peers and agents: how it may stand in a message, and how Consul compares service IDs.
//
// Pure functions of their input, the same in every locale.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mooring::authz {

// Printable keeps printable ASCII, writes every other byte, `"` and `\` as \xNN, and cuts what is
// longer than `limit` input bytes, saying so by "...". Written out raw, a newline in a foreign name
// would forge a log line, and a terminal escape would reach the operator's screen.
std::string Printable(std::string_view text, std::size_t limit = 160);

// EqualIgnoringCase folds A-Z only. Never for identities: those are compared byte by byte.
bool EqualIgnoringCase(std::string_view a, std::string_view b);

}  // namespace mooring::authz
