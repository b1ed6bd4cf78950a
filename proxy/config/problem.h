// Problem: one mistake in a file that somebody has written, with its place. NamedFile: another file
// that it names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mooring::config {

// Line and column count from 1; 0 means the file as a whole.
struct Problem {
  int line = 0;
  int column = 0;
  std::string message;  // names the key, what is wrong and the cure

  // Text is `FILE:LINE:COLUMN: message`.
  std::string Text(std::string_view file) const;
};

// SortByPlace puts problems into the file's order.
void SortByPlace(std::vector<Problem>* problems);

struct NamedFile {
  int line = 0;
  int column = 0;
  std::string key;   // "agent.token_file"
  std::string path;  // absolute, as far as the file's own folder was known
  bool folder = false;
};

}  // namespace mooring::config
