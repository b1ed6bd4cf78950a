// The JSON of /connections and /traffic as tables for a terminal. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "authz/result.h"

namespace mooring::sidecar {

// ConnectionsTable shows live connections; `width` as TextTable's. The error says that
// `connections_json` is no such document.
Result<std::string> ConnectionsTable(std::string_view connections_json, std::size_t width);

// Talkers draws who talks to whom of one reading after the other, with rates between the newest and
// the oldest of the last ten seconds.
class Talkers final {
 public:
  Talkers();
  ~Talkers();
  Talkers(const Talkers&) = delete;
  Talkers& operator=(const Talkers&) = delete;

  // Read takes one reading.
  Status Read(std::string_view traffic_json);
  // Table is that of the last reading, the busiest first, `most` of them. With one reading alone
  // there are no rates.
  std::string Table(std::size_t width, std::size_t most) const;

 private:
  struct Reading;
  std::deque<std::unique_ptr<Reading>> readings_;  // the oldest first
};

}  // namespace mooring::sidecar
