#include "proxy/confine/outcome.h"

#include <cerrno>
#include <cstring>

namespace mooring::confine {

Outcome Outcome::Failed(const std::string& what, int error) {
  switch (error) {
    case ENOSYS: return Not("this kernel has no " + what);
    case EOPNOTSUPP: return Not(what + " is switched off in this kernel");
    default: return Not(what + ": " + std::strerror(error));
  }
}

}  // namespace mooring::confine
