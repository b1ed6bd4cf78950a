#include "proxy/data/connection_view.h"

namespace mooring::data {

const char* ConnectionStateName(ConnectionState state) {
  switch (state) {
    case ConnectionState::kHandshake: return "handshake";
    case ConnectionState::kConnecting: return "connecting";
    case ConnectionState::kSearching: return "searching";
    case ConnectionState::kRelaying: return "relaying";
    case ConnectionState::kDraining: return "draining";
    case ConnectionState::kClosing: return "closing";
    case ConnectionState::kRefusing: return "refusing";
  }
  return "";
}

}  // namespace mooring::data
