// mooring-dev: the development agent as a program of its own.
#include <string>
#include <vector>

#include "proxy/cli/open_standard.h"
#include "proxy/dev/dev.h"

int main(int argc, char** argv) {
  mooring::cli::OpenStandard();
  return mooring::dev::RunDev(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
