// A port that refuses and stays ours: a listening TCP socket leaves LISTEN, so that the kernel
// answers each connect with a reset, and goes back there later. It stays bound meanwhile: another
// program that could bind the port would get what is meant for the mesh, in clear text.
//
// Two things of the kernel decide how (inet_csk_get_port). A socket that has left LISTEN shares its
// port with any other that has SO_REUSEADDR set where it has, too; so that is off while it refuses.
// And going back to LISTEN is a bind of its own, which connections that were accepted there, alive
// or in TIME_WAIT, forbid unless SO_REUSEADDR is on. For that moment a second socket of ours, with
// SO_REUSEADDR off, holds the port against everybody else. Ours may listen beside it by
// SO_REUSEPORT, which the kernel grants between sockets of one user alone. So no other user gets
// the port at any moment. A process of our own user could share it at that one, if it asks for
// SO_REUSEPORT, as it could end this process and take the port.
//
// Not for unix sockets, for which listen does not undo a shutdown, nor for a port that the kernel
// chose (bind to port 0), which it takes back with LISTEN. Any thread.
#pragma once

#include "authz/result.h"

namespace mooring::net {

// RefuseAt takes the listening socket `fd` out of LISTEN, for all its duplicates. What the kernel
// has queued there is reset, as a client is that comes now. A Poller of it sees a hang-up, and
// accept fails by EINVAL (listener.h rests then).
Status RefuseAt(int fd);

// ListenAgain undoes it. On an error the socket refuses as before, and the port is ours.
Status ListenAgain(int fd);

// Listens: it does not refuse.
bool Listens(int fd);

}  // namespace mooring::net
