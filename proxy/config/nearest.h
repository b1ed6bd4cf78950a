// Nearest: which known word somebody probably meant, for errors about unknown flags and keys.
// Pure.
#pragma once

#include <span>
#include <string_view>

namespace mooring::config {

// Nearest is the candidate with the fewest edits from `word`, letter case and `-` against `_` not
// counted; empty if even that one is more than a third of the word away.
std::string_view Nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace mooring::config
