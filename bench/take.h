// Take: the value of a Result, or its error thrown: in a benchmark nothing can go on without it.
#pragma once

#include <stdexcept>
#include <utility>

#include "authz/result.h"

namespace mooring::bench {

template <typename T>
T Take(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace mooring::bench
