// Landlock: which folders the process reaches at all, whatever its user may (landlock(7)).
//
// Files alone: what is connected to, dialled and bound at TCP is not limited by this, and a unix
// socket is reached by connecting to it wherever it lies. Held to are the calling thread and those
// that it starts, so this is called before there are others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/confine/outcome.h"

namespace mooring::confine {

// May says what may be done in a folder and all below it, or to a single file.
enum class May : unsigned {
  kRead,    // read files, list folders
  kAppend,  // write to files, and make them: a log's folder
  kListen,  // make unix sockets, and take away what is in their place
  kKeep,    // all that a folder of our own needs: read, write, make and remove files and sockets
};

struct Grant {
  std::string path;  // of a folder, or of a file that stays where it is
  May may = May::kRead;

  bool operator==(const Grant&) const = default;
};

// Kernel is the three system calls, with errno's negative as a result that is an error. A test has
// its own.
struct LandlockCalls {
  int (*version)() = nullptr;
  int (*create)(std::uint64_t handled) = nullptr;
  int (*add)(int ruleset, std::uint64_t allowed, int folder) = nullptr;
  int (*restrict_self)(int ruleset) = nullptr;
};
const LandlockCalls& KernelLandlock();

struct Landlocked {
  Outcome outcome;
  int abi = 0;  // the kernel's; 0: it has none
};

// RestrictFiles has the kernel refuse (EACCES) all that no grant allows. A grant of what is not
// there is left out.
Landlocked RestrictFiles(const std::vector<Grant>& grants,
                         const LandlockCalls& calls = KernelLandlock());

// HandledBy is the set of accesses that a kernel of that ABI (1 or later) knows and that we have it
// refuse; AllowedBy is what of it a grant allows, of a folder or of a file. For tests.
std::uint64_t HandledBy(int abi);
std::uint64_t AllowedBy(May may, int abi, bool folder);

// Reaches: one of the grants allows to do that at `path`, which has to be absolute. By names alone,
// but for symbolic links on the way, which are followed as far as they are there.
bool Reaches(const std::vector<Grant>& grants, const std::string& path, May may);

// Resolved is where that path leads, as far as it is there; the rest of it is kept as it is.
std::string Resolved(const std::string& path);

}  // namespace mooring::confine
