#include "proxy/config/yaml_mapping.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <utility>

#include "authz/text.h"
#include "proxy/config/nearest.h"

namespace mooring::config {
namespace {

std::string_view KindName(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kScalar: return "a single value";
    case YamlNode::Kind::kSequence: return "a list";
    case YamlNode::Kind::kMapping: return "a mapping";
    case YamlNode::Kind::kBroken: break;
  }
  return "";
}

bool IsBooleanWord(const YamlNode& node) {
  return !node.quoted && (authz::EqualIgnoringCase(node.text, "true") ||
                          authz::EqualIgnoringCase(node.text, "false"));
}

std::string Quoted(std::string_view text) { return '"' + authz::Shortened(text) + '"'; }

constexpr std::string_view kNoValue = "has no value; give it one or leave the key out";

}  // namespace

YamlMapping::YamlMapping(const YamlNode& node, std::string path,
                         std::span<const std::string_view> keys, std::vector<Problem>* problems)
    : node_(&node), path_(std::move(path)), problems_(problems) {
  if (node.kind != YamlNode::Kind::kMapping) {
    if (node.kind == YamlNode::Kind::kBroken) return;
    ReportAt(node.at, path_,
             node.kind == YamlNode::Kind::kNull
                 ? std::string(kNoValue)
                 : "is " + std::string(KindName(node.kind)) + "; write a mapping of key: value");
    return;
  }
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const YamlNode& key = node.keys[i];
    if (key.kind != YamlNode::Kind::kScalar) continue;  // reported by the document's reader
    if (std::find(keys.begin(), keys.end(), key.text) == keys.end()) {
      const std::string_view nearest = Nearest(key.text, keys);
      ReportAt(
          key.at, PathOf(key.text),
          "is not a known key" +
              (nearest.empty() ? std::string() : "; did you mean " + std::string(nearest) + '?'));
      continue;
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (node.keys[j].text != key.text) continue;
      ReportAt(key.at, PathOf(key.text),
               "is given twice, first in line " + std::to_string(node.keys[j].at.line));
      break;
    }
  }
}

bool YamlMapping::Has(std::string_view key) const {
  return std::any_of(node_->keys.begin(), node_->keys.end(), [key](const YamlNode& candidate) {
    return candidate.kind == YamlNode::Kind::kScalar && candidate.text == key;
  });
}

std::string YamlMapping::PathOf(std::string_view key) const {
  if (key.empty()) return path_;
  const std::string shown = authz::Shortened(key);
  return path_.empty() ? shown : path_ + '.' + shown;
}

const YamlNode* YamlMapping::Find(std::string_view key) const {
  for (std::size_t i = 0; i < node_->keys.size(); ++i) {
    const YamlNode& candidate = node_->keys[i];
    if (candidate.kind != YamlNode::Kind::kScalar || candidate.text != key) continue;
    if (node_->items[i].kind == YamlNode::Kind::kBroken) return nullptr;
    if (node_->items[i].kind != YamlNode::Kind::kNull) return &node_->items[i];
    // At the key: yaml-cpp puts an empty value where the next token stands.
    ReportAt(candidate.at, PathOf(key), std::string(kNoValue));
    return nullptr;
  }
  return nullptr;
}

void YamlMapping::ReportAt(Position at, const std::string& path, const std::string& message) const {
  problems_->push_back(
      {at.line, at.column, (path.empty() ? std::string("the file") : path + ':') + ' ' + message});
}

Position YamlMapping::PositionOf(std::string_view key) const {
  for (std::size_t i = 0; i < node_->keys.size(); ++i) {
    if (node_->keys[i].kind != YamlNode::Kind::kScalar || node_->keys[i].text != key) continue;
    return node_->items[i].kind == YamlNode::Kind::kNull ? node_->keys[i].at : node_->items[i].at;
  }
  return node_->at;
}

void YamlMapping::Report(std::string_view key, const std::string& message) const {
  ReportAt(PositionOf(key), PathOf(key), message);
}

void YamlMapping::ReportWhole(const std::string& message) const {
  if (path_.empty()) {
    problems_->push_back({0, 0, message});
  } else {
    ReportAt(node_->at, path_, message);
  }
}

std::string YamlMapping::PlaceOf(std::string_view key) const {
  return PathOf(key) + " (line " + std::to_string(PositionOf(key).line) + ')';
}

std::optional<std::string> YamlMapping::TextOf(const YamlNode& node,
                                               const std::string& path) const {
  if (node.kind == YamlNode::Kind::kBroken) return std::nullopt;
  if (node.kind != YamlNode::Kind::kScalar) {
    ReportAt(node.at, path,
             node.kind == YamlNode::Kind::kNull
                 ? std::string(kNoValue)
                 : "is " + std::string(KindName(node.kind)) + "; write a single value");
    return std::nullopt;
  }
  if (IsBooleanWord(node)) {
    ReportAt(node.at, path, "is a boolean; write a text, in quotes if it is really " + node.text);
    return std::nullopt;
  }
  if (node.text.empty()) {
    ReportAt(node.at, path, "is empty; give it a value or leave the key out");
    return std::nullopt;
  }
  return node.text;
}

std::optional<std::string> YamlMapping::Text(std::string_view key) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) return std::nullopt;
  return TextOf(*node, PathOf(key));
}

std::optional<bool> YamlMapping::Boolean(std::string_view key) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) return std::nullopt;
  if (node->kind == YamlNode::Kind::kScalar && !node->quoted) {
    if (node->text == "true") return true;
    if (node->text == "false") return false;
  }
  Report(key, "is not a boolean; write true or false, without quotes");
  return std::nullopt;
}

std::optional<unsigned> YamlMapping::Number(std::string_view key, unsigned least,
                                            unsigned most) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) return std::nullopt;
  unsigned value = 0;
  if (node->kind == YamlNode::Kind::kScalar && !node->quoted) {
    const char* const end = node->text.data() + node->text.size();
    const auto [stop, error] = std::from_chars(node->text.data(), end, value);
    const bool octal_looking = node->text.size() > 1 && node->text.front() == '0';
    if (error == std::errc{} && stop == end && !octal_looking && value >= least && value <= most) {
      return value;
    }
  }
  Report(key, "is not a number from " + std::to_string(least) + " to " + std::to_string(most) +
                  "; write it without quotes and unit");
  return std::nullopt;
}

std::optional<unsigned> YamlMapping::Mode(std::string_view key) const {
  const std::optional<std::string> text = Text(key);
  if (!text) return std::nullopt;
  unsigned mode = 0;
  const auto [stop, error] = std::from_chars(text->data(), text->data() + text->size(), mode, 8);
  // Without the leading zero 600 could be meant as a decimal number.
  if (error != std::errc{} || stop != text->data() + text->size() || text->front() != '0' ||
      text->size() != 4) {
    Report(key,
           Quoted(*text) + " is not a socket's mode; write four octal digits, such as \"0600\"");
    return std::nullopt;
  }
  return mode;
}

std::optional<YamlMapping> YamlMapping::Mapping(std::string_view key,
                                                std::span<const std::string_view> keys) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) return std::nullopt;
  YamlMapping mapping(*node, PathOf(key), keys, problems_);
  if (!mapping.IsMapping()) return std::nullopt;
  return mapping;
}

const std::vector<YamlNode>* YamlMapping::Items(std::string_view key) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) return nullptr;
  if (node->kind != YamlNode::Kind::kSequence) {
    Report(key, "is " + std::string(KindName(node->kind)) + "; write a list");
    return nullptr;
  }
  if (node->items.empty()) {
    Report(key, "is an empty list; give it an element or leave the key out");
    return nullptr;
  }
  return &node->items;
}

std::vector<YamlMapping> YamlMapping::Mappings(std::string_view key,
                                               std::span<const std::string_view> keys) const {
  std::vector<YamlMapping> mappings;
  const std::vector<YamlNode>* items = Items(key);
  if (items == nullptr) return mappings;
  for (std::size_t i = 0; i < items->size(); ++i) {
    YamlMapping mapping((*items)[i], PathOf(key) + '[' + std::to_string(i) + ']', keys, problems_);
    if (mapping.IsMapping()) mappings.push_back(std::move(mapping));
  }
  return mappings;
}

std::optional<std::vector<std::string>> YamlMapping::Texts(std::string_view key) const {
  const std::vector<YamlNode>* items = Items(key);
  if (items == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < items->size(); ++i) {
    std::optional<std::string> text =
        TextOf((*items)[i], PathOf(key) + '[' + std::to_string(i) + ']');
    if (!text) return std::nullopt;
    texts.push_back(*std::move(text));
  }
  return texts;
}

std::vector<net::Address> YamlMapping::Addresses(std::string_view key,
                                                 std::string_view base_dir) const {
  std::vector<net::Address> addresses;
  const std::vector<YamlNode>* items = Items(key);
  if (items == nullptr) return addresses;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const YamlNode& item = (*items)[i];
    const std::string path = PathOf(key) + '[' + std::to_string(i) + ']';
    const std::optional<std::string> text = TextOf(item, path);
    if (!text) continue;
    Result<net::Address> address = net::ParseAddress(*text, std::nullopt, base_dir);
    if (!address) {
      ReportAt(item.at, path, address.error().message);
      continue;
    }
    if (std::find(addresses.begin(), addresses.end(), *address) != addresses.end()) {
      ReportAt(item.at, path, Quoted(*text) + " is given twice");
      continue;
    }
    addresses.push_back(*std::move(address));
  }
  return addresses;
}

}  // namespace mooring::config
