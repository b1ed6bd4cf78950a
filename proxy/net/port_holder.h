// PortHolder: who has a port or a unix socket that we wanted, for a message. Source: proc(5).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>

namespace mooring::net {

// PortHolder says who has it and what to do: "this process has it itself; ...", "PID 123 (nginx)
// has it; ...", or, where that cannot be seen, "another process has it; ...". It reads /proc, which
// takes some milliseconds on a busy machine, so it looks again after a minute only: a port is tried
// every two seconds. Any thread.
std::string PortHolder(std::uint16_t port);

// NotePortHolders looks who has these ports now, for a process that will not see others any more.
// As long as the same sockets listen there, PortHolder says what was seen. Before there is a second
// thread.
void NotePortHolders(const std::set<std::uint16_t>& ports);

// SocketHolder says it of a unix socket that this process serves.
std::string SocketHolder(pid_t process);

}  // namespace mooring::net
