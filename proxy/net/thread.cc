#include "proxy/net/thread.h"

#include <string>
#include <system_error>
#include <utility>

namespace mooring::net {

std::thread StartThread(std::string_view purpose, std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    throw std::system_error(error.code(), "no thread for " + std::string(purpose));
  }
}

}  // namespace mooring::net
