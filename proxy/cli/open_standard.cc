#include "proxy/cli/open_standard.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace mooring::cli {

void OpenStandard() {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    // the lowest that is free
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)open("/dev/null", O_RDWR);
  }
}

}  // namespace mooring::cli
