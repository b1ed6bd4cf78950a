#include "proxy/config/problem.h"

namespace mooring::config {

std::string Problem::Text(std::string_view file) const {
  std::string text(file);
  if (line > 0) text += ':' + std::to_string(line) + ':' + std::to_string(column);
  return text + ": " + message;
}

}  // namespace mooring::config
