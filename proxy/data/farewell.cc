#include "proxy/data/farewell.h"

#include <algorithm>
#include <chrono>

namespace mooring::data {
namespace {

constexpr net::milliseconds kLook{25};  // at one that has been silent and is between no exchanges

}  // namespace

void Farewell::Look() {
  const net::MonotonicTime now = loop_.now();
  if (now >= until_) {
    // One that is never silent for long may be between exchanges at this moment.
    if (!live_.EndIfQuiet(net::milliseconds(0), CloseReason::kDeparted))
      live_.Cut(CloseReason::kDeparted);
    return;
  }
  if (quiet_.count() > 0 && live_.EndIfQuiet(quiet_, CloseReason::kDeparted)) return;
  net::MonotonicTime next = until_;
  if (quiet_.count() > 0)
    next = std::min(next, std::max(live_.relay().last_activity() + quiet_, now + kLook));
  look_.Start(std::chrono::ceil<net::milliseconds>(next - now));
}

}  // namespace mooring::data
