// Literal: text that stands in the program, as opposed to text that comes from outside.
//
// Modules, messages and keys of log lines are of this type, so that it does not compile to build
// one of them from what a peer, an agent or an operator sent: that is a field, and fields are
// escaped where lines are made.
#pragma once

#include <string_view>

namespace mooring::log {

class Literal final {
 public:
  // NOLINT(google-explicit-constructor): "text" is what one writes
  consteval Literal(const char* text) : text_(text) {}
  constexpr std::string_view view() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace mooring::log
