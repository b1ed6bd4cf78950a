// Slice: which part of a long list a client asks for, from the query of its request.
#pragma once

#include <cstddef>
#include <string>

#include "authz/result.h"
#include "proxy/http/server.h"

namespace mooring::admin {

struct Slice {
  static constexpr std::size_t kMostLimit = 500;
  static constexpr std::size_t kMostOffset = 2'000;

  std::string match;  // what each of the list has to have in it; empty: anything
  std::string sort;   // by the list's own words; empty: as it likes
  std::size_t offset = 0;
  std::size_t limit = 100;
};

// ReadSlice reads `match`, `sort`, `offset` and `limit`. What is no number or above the most is an
// error, for people.
Result<Slice> ReadSlice(const http::ServerRequest& request);

}  // namespace mooring::admin
