// Inherited: listening sockets that this process was given at its start, by the service manager
// (sd_listen_fds(3): socket units, and its descriptor store) or by its predecessor. Whoever is to
// listen looks here before it binds.
//
// A socket is taken for exactly the address that is wanted, however wide it could be read: what is
// bound to every interface is not what was to be seen on one. The one exception is 0.0.0.0, for
// which a socket at [::] does that takes IPv4, too: it is what `ListenStream=8443` makes.
//
// What we open ourselves can be the manager's to keep, too (FDSTORE=1): then whoever connects while
// no process is there waits in the kernel's queue for the next. In systemd 252 its store outlives a
// restart and ends with a stop, and has room for FileDescriptorStoreMax= sockets, 0 by default; we
// are not told. Control loop only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/net/address.h"
#include "proxy/net/listener.h"
#include "proxy/net/loop.h"
#include "proxy/net/notify_socket.h"
#include "proxy/net/socket.h"

namespace mooring::net {

class Inherited final {
 public:
  // What a listening socket is, besides its descriptor.
  struct Socket {
    UniqueFd fd;
    std::string name;        // by which the manager has it; empty: it does not
    bool inherited = false;  // or opened just now
    bool deserted = false;   // nobody else accepts there, as a predecessor would

    // HeldByUnit: a socket unit has it as well and goes on when we end. It must find the socket
    // listening then, so this one does not refuse (refusing_port.h), and its file stays.
    bool HeldByUnit() const;
    // Kept: it may live on when we end. KeptForSure: it does, for the manager has had it before.
    bool Kept() const { return !name.empty(); }
    bool KeptForSure() const { return inherited && Kept(); }
  };

  // The first descriptor that a manager passes.
  static constexpr int kFirst = 3;

  // Add takes a listening socket, or one that refuses for now (refusing_port.h). It becomes
  // close-on-exec and nonblocking. What is neither is closed, and a complaint.
  void Add(UniqueFd fd, std::string name = {});
  // AddFromManager takes what $LISTEN_FDS counts, if $LISTEN_PID is this process, and removes these
  // variables and $LISTEN_FDNAMES. Before there are other threads: it changes the environment.
  void AddFromManager(int first = kFirst);

  // Take gives the one at the first of the addresses that `wanted` stands for; kNotFound: there is
  // none, or it has been taken. Never for port 0. Errors of another code are for the operator: what
  // is there must not be used as it is. It may refuse for now.
  Result<Socket> Take(const Address& wanted, const std::vector<SocketAddress>& found);
  // Open is Take, or else a new socket (ListenAny).
  Result<Socket> Open(const Address& wanted, const std::vector<SocketAddress>& found);

  // UseStore has Keep give sockets to `manager`, which outlives this.
  void UseStore(const NotifySocket& manager) { store_ = manager.there() ? &manager : nullptr; }
  // Keep has the manager keep a socket of ours, which was opened for `wanted`. False: there is a
  // manager, and it could not be told.
  bool Keep(const Address& wanted, Socket* socket) const;
  // LetGo closes what nobody wants here any more: the store forgets it, and of a unit's it is
  // Return. `wanted` is where it was: the file of a unix socket goes, too.
  void LetGo(const Address& wanted, Socket socket) noexcept;
  // LetGoUnused lets go of what came out of the store, or of a predecessor that had opened it, and
  // nobody has taken; and says which.
  std::vector<std::string> LetGoUnused();

  // TurnAway resets, from now on, whoever connects to a deserted socket that nobody has taken,
  // until somebody does; before, they wait in the kernel's queue. To be called again for those that
  // were returned since. `on_reset` hears of each.
  using OnReset = std::function<void(const SocketAddress& peer, const std::string& socket)>;
  void TurnAway(Loop& loop, const OnReset& on_reset);

  // Return has one that was taken given to whoever wants it next. It needs no memory if it was
  // taken from here.
  void Return(Socket socket) noexcept;

  // Left is what nobody has taken, and complaints are what could not be: for messages.
  std::vector<std::string> Left() const;
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  struct Given {
    UniqueFd fd;
    std::string name;
    SocketAddress at;
    bool deserted = false;
    std::unique_ptr<Acceptor> turns_away;  // null: whoever connects waits

    std::string Text() const;
  };
  void Receive(UniqueFd fd, std::string name, bool deserted);
  void Forget(const std::string& name) const noexcept;

  const NotifySocket* store_ = nullptr;
  std::vector<Given> given_;
  std::vector<std::string> complaints_;
};

// KeptName is the name by which the manager's descriptor store has the socket of a listener
// (sd_notify(3), FDNAME=), and no socket unit has any of its own.
std::string KeptName(const Address& wanted);

}  // namespace mooring::net
