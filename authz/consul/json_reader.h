// A checked reader of the agent's JSON, for the decoders of api.h alone.
//
// A Document parses one body and remembers the first thing wrong with it; Objects read fields, give
// neutral values after a fault, and never throw. Refused outright: nesting beyond kMaxDepth, more
// than kMaxValues values, bad UTF-8, a raw NUL byte, a key that occurs twice in one object (two
// readers could take different ones). null stands for absent. Messages name places, never values:
// bodies hold private keys. Objects point into their Document and die before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "authz/result.h"

namespace mooring::authz::json {

inline constexpr std::size_t kMaxDepth = 64;
// Bounds what a small body can grow to: `[[],[],...]` takes 3 bytes a value there and some 50 here.
inline constexpr std::size_t kMaxValues = 4'000'000;

struct Member;

struct Value {
  using Array = std::vector<Value>;
  using Members = std::vector<Member>;  // sorted by name
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Members> data;
};

struct Member {
  std::string name;
  Value value;
};

class Object;

class Document final {
 public:
  // `title` begins every message: "health answer".
  Document(std::string_view title, std::string_view body);
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  Object Root();                  // of an object; null is an object without fields
  std::vector<Object> Entries();  // of an array of objects; null is an empty one

  // Fail notes a fault at `path` unless one is noted already.
  void Fail(std::string_view path, std::string_view fault);

  const std::optional<Error>& error() const { return error_; }

 private:
  friend class Object;
  std::string title_;
  Value root_;
  std::optional<Error> error_;
};

class Object final {
 public:
  // Has: the field is there, be it null.
  bool Has(std::string_view key) const;

  // IsSet: the field is there and not null.
  bool IsSet(std::string_view key) const;

  std::string Text(std::string_view key) const;        // absent: ""; with a NUL character: a fault
  std::string NeededText(std::string_view key) const;  // absent or empty: a fault
  std::string TakeNeededText(std::string_view key);    // moves it out, so that no copy stays behind
  bool Flag(std::string_view key) const;               // absent: false
  bool NeededFlag(std::string_view key) const;

  // Integer accepts integers, floats without a fraction and decimal text; absent or "": `absent`.
  std::int64_t Integer(std::string_view key, std::int64_t absent) const;
  std::uint16_t Port(std::string_view key) const;  // Integer, absent: 0; outside 0..65535: a fault

  Object Child(std::string_view key) const;  // absent: an object without fields
  std::vector<Object> Objects(std::string_view key) const;
  std::vector<std::string> Texts(std::string_view key) const;  // of a list of text; absent: empty
  std::vector<std::pair<std::string, Object>> MembersAsObjects() const;

  // Flat gives the scalars below `key` as text, nested names joined by dots, list entries by
  // number. Nulls and empty lists leave no trace. Two places with the same joined name are a fault;
  // so are names and numbers of entries beyond all use.
  std::map<std::string, std::string> Flat(std::string_view key) const;

  // Fail notes a fault at field `key` of this object.
  void Fail(std::string_view key, std::string_view fault) const;

 private:
  friend class Document;
  Object(Document* document, Value* value, std::string path);
  Value::Members::iterator LowerBound(std::string_view key) const;  // members_ must be set
  Value* Find(std::string_view key) const;                          // null for absent
  std::string PathOf(std::string_view key) const;
  std::vector<Object> EntriesOf(Value* list, const std::string& path) const;
  void FlattenInto(const Value& value, const std::string& name,
                   std::map<std::string, std::string>& flat) const;

  Document* document_;
  Value::Members* members_ = nullptr;  // null: an object without fields
  std::string path_;
};

}  // namespace mooring::authz::json
