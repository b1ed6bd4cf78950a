// PortHolder: who has a port or a unix socket that we wanted, for a message. Source: proc(5).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace mooring::net {

// PortHolder says who has it and what to do: "this process has it itself; ...", "PID 123 (nginx)
// has it; ...", or, where that cannot be seen, "another process has it; ...". It reads /proc, which
// takes some milliseconds on a busy machine, so it looks again after a minute only: a port is tried
// every two seconds. Any thread.
std::string PortHolder(std::uint16_t port);

// SocketHolder says it of a unix socket that this process serves.
std::string SocketHolder(pid_t process);

}  // namespace mooring::net
