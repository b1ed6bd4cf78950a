// Result<T> and Error: the only error types that cross rooms.
//
// A Result holds a value or an Error, with std::expected's spelling where it has one, so that a
// C++23 build can replace it by an alias. Values only; no thread rules.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace mooring {

// ErrorCode says what a caller may do about a failure; the text is for people.
enum class ErrorCode {
  kInvalid,      // the input is wrong and stays wrong: a person must mend it
  kUnavailable,  // something outside does not answer or refuses now: try again later
  kDenied,       // credentials are missing or lack a permission
  kNotFound,     // the thing asked for does not exist (yet)
  kInternal,     // a library call failed that should not have
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one sentence without a final full stop; never holds key or token bytes
};

// Invalid makes the commonest error.
inline Error Invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  // value() and error() require the matching state; the wrong one throws std::bad_variant_access.
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  const Error& error() const { return std::get<1>(state_); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

// Status is a Result without a value: Ok() or an Error.
using Status = Result<std::monostate>;
inline Status Ok() { return std::monostate{}; }

}  // namespace mooring
