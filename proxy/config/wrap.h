// Wrap: text in lines of a width, for usage texts and comments. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mooring::config {

// Wrap breaks `text` at its spaces into lines of at most `columns` where its words allow it. Each
// begins with `margin` and ends with a newline.
std::string Wrap(std::string_view text, std::string_view margin, std::size_t columns);

}  // namespace mooring::config
