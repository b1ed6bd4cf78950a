// A YAML file as a tree that remembers where everything stood: what the strict reader works on.
//
// Built from yaml-cpp's events rather than its nodes, because nodes hide duplicate keys, quotes,
// tags and aliases. One document, mappings with plain-text keys; anchors, aliases and tags are
// problems. Knows no key of the schema. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/problem.h"

namespace mooring::config {

inline constexpr std::size_t kMaxYamlBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxYamlDepth = 16;

// Position counts from 1; {0, 0} is the file as a whole.
struct Position {
  int line = 0;
  int column = 0;
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping, kBroken };  // kBroken: already a problem
  Kind kind = Kind::kNull;
  Position at;
  std::string text;             // kScalar: as written, escapes resolved
  bool quoted = false;          // kScalar: in quotes or a block, so never a number or boolean
  std::vector<YamlNode> keys;   // kMapping: scalars, duplicates included
  std::vector<YamlNode> items;  // kSequence: elements; kMapping: the values of `keys`
};

struct YamlDocument {
  YamlNode root;
  bool complete = false;  // false: the text is not YAML, `root` is not to be read
  std::vector<Problem> problems;
};

YamlDocument ReadYamlDocument(std::string_view text);

}  // namespace mooring::config
