#include "proxy/data/host.h"

#include <cstring>
#include <new>
#include <system_error>

#include "proxy/net/socket.h"

namespace mooring::data {

CloseReason Host::Escaped(log::Literal message) noexcept {
  CloseReason reason = CloseReason::kInternalError;
  const char* what = "an exception of no known kind";
  try {
    throw;
  } catch (const std::bad_alloc&) {
    reason = CloseReason::kOutOfResources;
    what = "no memory was to be had";
  } catch (const std::system_error& error) {
    if (net::IsShortage(error.code().value())) reason = CloseReason::kOutOfResources;
    what = std::strerror(error.code().value());
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  try {
    StrangerLog(reason,
                reason == CloseReason::kInternalError ? log::Level::kError : log::Level::kWarn,
                message, what, {{"reason", CloseReasonName(reason)}, {"error", what}});
  } catch (...) {  // not even for a line; the count of the reason says it
  }
  return reason;
}

void Host::LogShortage(log::Literal message, const std::string& whose, int error) {
  StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn, message, whose,
              {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
               {"of", whose},
               {"error", std::strerror(error)},
               {"cure", net::CureOf(error)}});
}

}  // namespace mooring::data
