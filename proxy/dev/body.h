// Fields: the JSON body of a request to `mooring dev`, read as Consul's agent reads it. Field names
// match in any letter case and with or without underscores (`DestinationServiceName`,
// `destination_service_name`); null stands for absent, unknown fields are ignored.
//
// The first fault is kept, readers give neutral values after it and never throw. Pure; the only
// reader of nlohmann values in proxy/dev that come from outside.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"

namespace mooring::dev {

using Json = nlohmann::json;

// ParseBody reads one JSON object. Errors are in the words of Consul's decoder where they are
// fixed; nesting deeper than 64 levels is refused, because writing it out again would recurse as
// deep.
Result<Json> ParseBody(std::string_view text);

// Dump is JSON text for an answer; bytes that are not UTF-8 (of a path, say) become U+FFFD.
std::string Dump(const Json& value, bool pretty = false);

// SameFieldName: in any letter case, with or without underscores.
bool SameFieldName(std::string_view a, std::string_view b);

class Fields final {
 public:
  // `object` (null or not an object: no fields) and `fault` outlive the reader. `path` begins
  // messages.
  Fields(const Json* object, std::string path, std::string* fault)
      : object_(object), path_(std::move(path)), fault_(fault) {}

  bool Has(std::string_view name) const { return Find(name) != nullptr; }  // there and not null
  std::string Text(std::string_view name) const;
  std::int64_t Integer(std::string_view name, std::int64_t absent = 0) const;
  std::uint16_t Port(std::string_view name) const;
  bool Flag(std::string_view name) const;
  // Duration takes Go's text ("30s") or whole nanoseconds, as Go's encoder writes them.
  std::chrono::milliseconds Duration(std::string_view name) const;
  std::vector<std::string> Texts(std::string_view name) const;
  std::map<std::string, std::string> TextMap(std::string_view name) const;
  const Json* Raw(std::string_view name) const { return Find(name); }  // as it is; null: absent
  Json Object(std::string_view name) const;  // a copy as it is; absent: an empty object
  Fields Child(std::string_view name) const;
  std::vector<Fields> Children(std::string_view name) const;

  void Fail(std::string_view name, std::string_view fault) const;

 private:
  const Json* Find(std::string_view name) const;
  std::string PathOf(std::string_view name) const;

  const Json* object_;
  std::string path_;
  std::string* fault_;
};

}  // namespace mooring::dev
