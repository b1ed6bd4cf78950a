#include "proxy/confine/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace mooring::confine {
namespace {

namespace fs = std::filesystem;

// From linux/landlock.h, which the headers of older systems have not, or have in part. The numbers
// of the calls are the same on every architecture that we are built for.
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr unsigned kVersion = 1;
constexpr unsigned kPathBeneath = 1;

struct RulesetAttributes {
  std::uint64_t handled_access_fs;
};
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed_access;
  std::int32_t parent_fd;
};

enum Access : std::uint64_t {
  kExecute = 1U << 0,
  kWriteFile = 1U << 1,
  kReadFile = 1U << 2,
  kReadDir = 1U << 3,
  kRemoveDir = 1U << 4,
  kRemoveFile = 1U << 5,
  kMakeChar = 1U << 6,
  kMakeDir = 1U << 7,
  kMakeReg = 1U << 8,
  kMakeSock = 1U << 9,
  kMakeFifo = 1U << 10,
  kMakeBlock = 1U << 11,
  kMakeSym = 1U << 12,
  kRefer = 1U << 13,     // ABI 2
  kTruncate = 1U << 14,  // ABI 3
  kIoctlDev = 1U << 15,  // ABI 5
};
constexpr std::uint64_t kFirst = kRefer - 1;  // what ABI 1 knows
// What has a meaning for a file that is granted by itself.
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

// Without REFER a file is moved within its folder alone: all that we do.
constexpr std::uint64_t kRead = kReadFile | kReadDir;
constexpr std::uint64_t kAppend = kWriteFile | kMakeReg;
constexpr std::uint64_t kListen = kMakeSock | kRemoveFile;
constexpr std::uint64_t kKeep = kRead | kAppend | kListen | kTruncate | kMakeDir | kRemoveDir;

std::uint64_t AccessOf(May may) {
  switch (may) {
    case May::kRead: return kRead;
    case May::kAppend: return kAppend;
    case May::kListen: return kListen;
    case May::kKeep: return kKeep;
  }
  return 0;
}

int Answer(long result) { return result < 0 ? -errno : static_cast<int>(result); }

int Version() { return Answer(syscall(kCreateRuleset, nullptr, 0, kVersion)); }

int Create(std::uint64_t handled) {
  const RulesetAttributes attributes{.handled_access_fs = handled};
  return Answer(syscall(kCreateRuleset, &attributes, sizeof attributes, 0));
}

int Add(int ruleset, std::uint64_t allowed, int folder) {
  const PathBeneath rule{.allowed_access = allowed, .parent_fd = folder};
  return Answer(syscall(kAddRule, ruleset, kPathBeneath, &rule, 0));
}

int RestrictSelf(int ruleset) { return Answer(syscall(kRestrictSelf, ruleset, 0)); }

// Closing is a descriptor of this file's.
struct Closing {
  explicit Closing(int number) : fd(number) {}
  ~Closing() {
    if (fd >= 0) (void)close(fd);
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;
  int fd;
};

bool IsBelow(const std::string& path, const std::string& folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

const LandlockCalls& KernelLandlock() {
  static constexpr LandlockCalls kKernel{Version, Create, Add, RestrictSelf};
  return kKernel;
}

std::uint64_t HandledBy(int abi) {
  std::uint64_t handled = kFirst;
  if (abi >= 2) handled |= kRefer;
  if (abi >= 3) handled |= kTruncate;
  if (abi >= 5) handled |= kIoctlDev;
  return handled;
}

std::uint64_t AllowedBy(May may, int abi, bool folder) {
  return AccessOf(may) & HandledBy(abi) & (folder ? ~std::uint64_t{0} : kOfFiles);
}

Landlocked RestrictFiles(const std::vector<Grant>& grants, const LandlockCalls& calls) {
  const int abi = calls.version();
  if (abi <= 0) return {Outcome::Failed("Landlock", -abi), 0};
  const Closing ruleset(calls.create(HandledBy(abi)));
  if (ruleset.fd < 0) return {Outcome::Failed("Landlock", -ruleset.fd), abi};
  for (const Grant& grant : grants) {
    const Closing place(open(grant.path.c_str(), O_PATH | O_CLOEXEC));
    struct stat info {};
    if (place.fd < 0 || fstat(place.fd, &info) != 0) continue;
    const std::uint64_t allowed = AllowedBy(grant.may, abi, S_ISDIR(info.st_mode));
    if (allowed == 0) continue;
    // What no rule can be made for, as for a file system without inodes of its own, is refused
    // then.
    const int added = calls.add(ruleset.fd, allowed, place.fd);
    if (added < 0) return {Outcome::Failed("Landlock: " + grant.path, -added), abi};
  }
  const int restricted = calls.restrict_self(ruleset.fd);
  if (restricted < 0) return {Outcome::Failed("Landlock", -restricted), abi};
  return {Outcome::Holds(), abi};
}

std::string Resolved(const std::string& path) {
  std::error_code error;
  const fs::path resolved = fs::weakly_canonical(path, error);
  std::string text = error ? fs::path(path).lexically_normal().string() : resolved.string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

bool Reaches(const std::vector<Grant>& grants, const std::string& path, May may) {
  const std::string resolved = Resolved(path);
  const std::uint64_t wanted = AccessOf(may);
  std::uint64_t allowed = 0;
  for (const Grant& grant : grants) {
    if (IsBelow(resolved, Resolved(grant.path))) allowed |= AccessOf(grant.may);
  }
  return (allowed & wanted) == wanted;
}

}  // namespace mooring::confine
