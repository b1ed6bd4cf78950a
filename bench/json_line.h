// JsonLine: one JSON object, built field by field.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace mooring::bench {

class JsonLine final {
 public:
  JsonLine& Add(std::string_view name, double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.9g", value);
    return AddRaw(name, text.data());
  }
  JsonLine& Add(std::string_view name, std::uint64_t value) {
    return AddRaw(name, std::to_string(value));
  }
  JsonLine& Add(std::string_view name, std::string_view value) {
    return AddRaw(name, Quoted(value));
  }
  JsonLine& Add(std::string_view name, const JsonLine& value) { return AddRaw(name, value.Text()); }

  std::string Text() const { return "{" + fields_ + "}"; }

 private:
  JsonLine& AddRaw(std::string_view name, std::string_view value) {
    if (!fields_.empty()) fields_ += ", ";
    fields_ += Quoted(name) + ": ";
    fields_ += value;
    return *this;
  }

  static std::string Quoted(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return quoted + '"';
  }

  std::string fields_;
};

}  // namespace mooring::bench
