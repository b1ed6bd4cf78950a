#include "proxy/confine/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace mooring::confine {
namespace {

// The kernel has two words of 32 for each set.
using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;
constexpr unsigned kMost = 64;

__user_cap_header_struct Header() { return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0}; }

bool Read(Sets* sets) {
  auto header = Header();
  return syscall(SYS_capget, &header, sets->data()) == 0;
}

constexpr std::uint32_t Bit(unsigned capability) { return std::uint32_t{1} << capability % 32U; }

}  // namespace

Outcome ForbidNewPrivileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Outcome::Failed("no_new_privs", errno);
  return Outcome::Holds();
}

Outcome DropCapabilities() {
  Sets sets{};
  if (!Read(&sets)) return Outcome::Failed("capget", errno);
  // Who may do so also leaves them out of what a program that it starts could have. It starts none,
  // so that the others need not.
  const bool bounds = (sets[CAP_SETPCAP / 32].effective & Bit(CAP_SETPCAP)) != 0;
  for (unsigned each = 0; bounds && each < kMost; ++each) {
    if (each != CAP_NET_BIND_SERVICE) (void)prctl(PR_CAPBSET_DROP, each, 0, 0, 0);
  }
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  bool more = false;
  for (unsigned word = 0; word < sets.size(); ++word) {
    const std::uint32_t kept = word == CAP_NET_BIND_SERVICE / 32 ? Bit(CAP_NET_BIND_SERVICE) : 0;
    const auto whole = sets[word];
    more = more || ((whole.permitted | whole.inheritable) & ~kept) != 0;
    sets[word].permitted &= kept;
    sets[word].effective = sets[word].permitted;
    sets[word].inheritable &= kept;
  }
  if (!more) return Outcome::Holds();  // in a unit without any the call itself may be forbidden
  auto header = Header();
  if (syscall(SYS_capset, &header, sets.data()) != 0) return Outcome::Failed("capset", errno);
  return Outcome::Holds();
}

std::vector<std::string> Capabilities() {
  Sets sets{};
  std::vector<std::string> names;
  if (!Read(&sets)) return names;
  for (unsigned each = 0; each < kMost; ++each) {
    if ((sets[each / 32].effective & Bit(each)) == 0) continue;
    names.push_back(each == CAP_NET_BIND_SERVICE ? "net_bind_service" : std::to_string(each));
  }
  return names;
}

bool SuperfluousRoot() { return geteuid() == 0; }

}  // namespace mooring::confine
