// YamlMapping: one mapping of a strict YAML file, read key by key into typed values. Every mistake
// goes to one list with its place, and reading goes on, so that a file's mistakes are all found in
// one run.
//
// Knows types and units, not the schema. The node and the list must outlive it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/yaml_document.h"
#include "proxy/net/address.h"

namespace mooring::config {

class YamlMapping final {
 public:
  // `path` names the mapping in messages ("agent", "upstreams[0]"; empty for the file). Unknown and
  // duplicate keys are reported here; of duplicates the first counts. A node that is no mapping is
  // reported too, and has no keys.
  YamlMapping(const YamlNode& node, std::string path, std::span<const std::string_view> keys,
              std::vector<Problem>* problems);

  bool IsMapping() const { return node_->kind == YamlNode::Kind::kMapping; }

  // Has is true as soon as the key is there, whatever its value.
  bool Has(std::string_view key) const;
  std::string PathOf(std::string_view key) const;  // "agent.token"

  // Report adds a problem, at `key`'s value, or at the mapping if the key is absent or empty.
  void Report(std::string_view key, const std::string& message) const;
  // ReportWhole adds one about the mapping; about the file as a whole it has no line.
  void ReportWhole(const std::string& message) const;
  // PositionOf is where the key's value stands; the mapping, if the key is absent.
  Position PositionOf(std::string_view key) const;
  // PlaceOf is the key's path and line, for a problem elsewhere: "admin.address (line 3)".
  std::string PlaceOf(std::string_view key) const;

  // The readers give nothing if the key is absent, or its value is wrong and has been reported.
  std::optional<std::string> Text(std::string_view key) const;
  std::optional<bool> Boolean(std::string_view key) const;
  std::optional<unsigned> Number(std::string_view key, unsigned least, unsigned most) const;
  // Mode is the permission bits of a socket: "0600".
  std::optional<unsigned> Mode(std::string_view key) const;
  std::optional<YamlMapping> Mapping(std::string_view key,
                                     std::span<const std::string_view> keys) const;
  // Mappings is a list of mappings; an empty list is reported, and so is an element of another
  // kind, which is left out.
  std::vector<YamlMapping> Mappings(std::string_view key,
                                    std::span<const std::string_view> keys) const;
  // Texts is a list of single values.
  std::optional<std::vector<std::string>> Texts(std::string_view key) const;
  std::vector<net::Address> Addresses(std::string_view key, std::string_view base_dir) const;

 private:
  const YamlNode* Find(std::string_view key) const;
  const std::vector<YamlNode>* Items(std::string_view key) const;
  std::optional<std::string> TextOf(const YamlNode& node, const std::string& path) const;
  void ReportAt(Position at, const std::string& path, const std::string& message) const;

  const YamlNode* node_;
  std::string path_;
  std::vector<Problem>* problems_;
};

}  // namespace mooring::config
