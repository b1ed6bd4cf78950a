// Problem: one mistake in a file that somebody has written, with its place.
#pragma once

#include <string>
#include <string_view>

namespace mooring::config {

// Line and column count from 1; 0 means the file as a whole.
struct Problem {
  int line = 0;
  int column = 0;
  std::string message;  // names the key, what is wrong and the cure

  // Text is `FILE:LINE:COLUMN: message`.
  std::string Text(std::string_view file) const;
};

}  // namespace mooring::config
