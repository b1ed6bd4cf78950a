#include "proxy/config/wrap.h"

namespace mooring::config {

std::string Wrap(std::string_view text, std::string_view margin, std::size_t columns) {
  std::string out;
  std::size_t column = 0;  // of the line under way; 0: none is
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (column != 0 && column + 1 + word.size() > columns) {
      out += '\n';
      column = 0;
    }
    if (column == 0) {
      out += margin;
      column = margin.size();
    } else {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out + '\n';
}

}  // namespace mooring::config
