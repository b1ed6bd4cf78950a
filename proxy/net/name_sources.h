// NameSources: the sources of host names that a machine has besides /etc/hosts and DNS, as
// nsswitch.conf(5) lists them (resolve, mymachines, myhostname, mdns4_minimal, ldap, ...), asked by
// getaddrinfo.
//
// getaddrinfo blocks and cannot be cancelled, so it runs on a few threads of its own, which are
// left alone when nobody waits for them any more: neither this object's end nor the process's waits
// for one. No thread to be had: a failed look-up. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/net/loop.h"
#include "proxy/net/names.h"
#include "proxy/net/socket.h"

namespace mooring::net {

class NameSources final {
 public:
  using Found = Result<std::vector<SocketAddress>>;
  using Callback = std::function<void(Found)>;

  // Threads that look up for us and for endpoints: neither waits for the other.
  static constexpr std::size_t kOwnThreads = 2;
  static constexpr std::size_t kEndpointThreads = 2;

  explicit NameSources(Loop& loop);
  ~NameSources();
  NameSources(const NameSources&) = delete;
  NameSources& operator=(const NameSources&) = delete;

  // HasOthers tells whether a text in nsswitch.conf's form names such a source for hosts.
  static bool HasOthers(const std::string& nsswitch_conf);
  // HasOthers of this machine's /etc/nsswitch.conf as it is now.
  static bool MachineHasOthers();

  // LookUp calls back once, never from inside. Port 0, every record of every family.
  void LookUp(const std::string& host, NameKind kind, Callback callback);

 private:
  struct Shared;
  struct Lane;
  struct Task;
  static void* Work(void* task);  // a thread's

  std::shared_ptr<Shared> shared_;
};

}  // namespace mooring::net
