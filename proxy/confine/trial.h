// Trial: something is tried in a child first, for a filter around us may end whoever asks the
// kernel for it: systemd's SystemCallFilter= does, and so do some containers'.
#pragma once

#include <functional>

#include "proxy/confine/outcome.h"

namespace mooring::confine {

// TriedFirst is what `apply` says, once a child that has called `trial` has lived. Otherwise it is
// not called, and the outcome says why. Only where there is one thread: the child is a copy of it
// alone.
Outcome TriedFirst(const std::function<Outcome()>& trial, const std::function<Outcome()>& apply);

}  // namespace mooring::confine
