#include "proxy/net/thread.h"

#include <pthread.h>

#include <string>
#include <system_error>
#include <utility>

#include "proxy/log/signals_blocked.h"

namespace mooring::net {

std::thread StartThread(const char* name, std::string_view purpose, std::function<void()> body) {
  try {
    return std::thread([name, body = std::move(body)] {
      (void)pthread_setname_np(pthread_self(), name);  // a thread without its name works as well
      body();
    });
  } catch (const std::system_error& error) {
    throw std::system_error(error.code(), "no thread for " + std::string(purpose));
  }
}

std::thread StartQuietThread(const char* name, std::string_view purpose,
                             std::function<void()> body) {
  const log::SignalsBlocked blocked;
  return StartThread(name, purpose, std::move(body));
}

}  // namespace mooring::net
