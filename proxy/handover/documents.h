// Documents: one service's documents (state/store.h) on their way to a successor, as bytes in
// memory of the kernel's that nobody can change any more (memfd_create(2), sealed). However large
// they are, the channel carries a descriptor alone. Any thread; blocks for no disk.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/net/socket.h"

namespace mooring::handover {

// WriteDocuments is a descriptor from which ReadDocuments gets `content`.
Result<net::UniqueFd> WriteDocuments(std::string_view content);

// ReadDocuments is a copy; `fd` can be read again. More than `limit` bytes, or what is no file in
// memory, is an error.
Result<std::string> ReadDocuments(int fd, std::size_t limit);

}  // namespace mooring::handover
