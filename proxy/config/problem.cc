#include "proxy/config/problem.h"

#include <algorithm>
#include <tuple>

namespace mooring::config {

std::string Problem::Text(std::string_view file) const {
  std::string text(file);
  if (line > 0) text += ':' + std::to_string(line) + ':' + std::to_string(column);
  return text + ": " + message;
}

void SortByPlace(std::vector<Problem>* problems) {
  std::stable_sort(problems->begin(), problems->end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
}

}  // namespace mooring::config
