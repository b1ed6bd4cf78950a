// The kinds of values that settings have: how one is written, what is in range, and where it goes.
//
// A kind reads text of any form (flag, variable, YAML, a registration's Config); what only one form
// demands, such as a YAML number without quotes, is that form's matter. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "authz/result.h"
#include "proxy/config/place.h"
#include "proxy/config/size.h"

namespace mooring::config {

namespace kind {

// Switch is true or false: a flag without a value.
struct Switch {
  Place<bool> place;
};

struct Number {
  Place<unsigned> place;
  unsigned least = 1;
  unsigned most = 1;
};

// Zero says whether a duration of 0 has a meaning ("none") or is a mistake.
enum class Zero { kAllowed, kRefused };

// Duration takes 0, where it is allowed, and what is in the range of ParseDuration and passes the
// check.
struct Duration {
  Place<milliseconds> place;
  Zero zero = Zero::kAllowed;
  Status (*check)(milliseconds) = nullptr;
};

struct Size {
  Place<std::size_t> place;
  SizeRange range;
};

// Text is taken as it is, if `check` has nothing against it.
struct Text {
  Place<std::string> place;
  std::string_view type = "text";
  Status (*check)(std::string_view text) = nullptr;
};

// Name is a service's name or the like: what may stand in a SPIFFE ID. Empty only as a flag.
struct Name {
  Place<std::string> place;
};

// File is a path of a file or folder. Relative ones count from the file that holds them.
struct File {
  Place<std::string> place;
  std::string_view type = "file";
  bool made = false;  // we make it where it is not there
};

// Address is one that we listen on or dial.
struct Address {
  Place<net::Address> place;
  std::string_view flag_host{};  // what a flag's host is when it is left out; empty: it must not be
  bool dialled = false;          // port 0 is refused
};

// AgentAddress is the agent's, with its scheme (ParseAgentAddress).
struct AgentAddress {};

// Word is any other value of one word, by its own reader and writer.
template <typename T>
struct Word {
  Place<T> place;
  Result<T> (*parse)(std::string_view text);
  std::string (*show)(const T& value);
  std::string_view type;
};

// Words is a list of words: in YAML a list, elsewhere between commas.
struct Words {
  Place<std::vector<std::string>> place;
  Result<std::vector<std::string>> (*parse)(std::string_view text);
  std::string (*show)(const std::vector<std::string>& words);
  std::string_view type;
};

// Special is read by code of its own, which knows it by its key; `show` (special.h) writes it.
struct Special {
  std::string_view type;
  std::string (*show)(const Target& target) = nullptr;
};

// Section is a mapping and List a list of mappings, whose keys have entries of their own.
struct Section {};
struct List {
  std::string_view type = "list";  // of one element, as a flag
};

}  // namespace kind

using Value =
    std::variant<kind::Switch, kind::Number, kind::Duration, kind::Size, kind::Text, kind::Name,
                 kind::File, kind::Address, kind::AgentAddress, kind::Word<bool>,
                 kind::Word<OnRevoke>, kind::Word<OnDeparture>, kind::Word<Balance>,
                 kind::Word<NoEndpoint>, kind::Word<MeshGateway>, kind::Word<LogLevel>,
                 kind::Word<log::Format>, kind::Word<Seccomp>, kind::Word<std::string>, kind::Words,
                 kind::Special, kind::Section, kind::List>;

// Reading is what a text depends on besides itself.
struct Reading {
  bool by_flag = true;          // false: from YAML
  std::string_view base_dir{};  // where relative paths count from; empty: the working directory
};

// ReadValue puts what `text` says into its place. An error says what is wrong and the cure, and not
// whose value it is. Not for Special, Section and List.
Status ReadValue(const Value& value, std::string_view text, const Reading& reading,
                 const Target& target);

// TypeOf is what stands for a value in a usage text: "duration". Empty for a Switch.
std::string_view TypeOf(const Value& value);

// RangeOf is a sentence with the range of a number or size; empty for all others.
std::string RangeOf(const Value& value);

// ShowValue is the text of the value that is in its place now; empty if there is none.
std::string ShowValue(const Value& value, const Target& target);

// CopyValue gives `to` the value that `from` has. Not for Special, Section and List.
void CopyValue(const Value& value, const Target& from, const Target& to);

}  // namespace mooring::config
