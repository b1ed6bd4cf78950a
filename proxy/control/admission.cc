#include "proxy/control/admission.h"

#include <algorithm>

namespace mooring::control {
namespace {

using net::milliseconds;

// One that hangs up for reasons of its own is tried again sooner than one that is full.
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kMaxPause{2'000};
constexpr milliseconds kFirstPauseFull{2'000};
constexpr milliseconds kMaxPauseFull{8'000};
// A single connection may end for any reason.
constexpr unsigned kEvidence = 2;

}  // namespace

void Admission::NoteTurnedAway(http::Client::Trouble trouble, bool others_live, net::MonotonicTime now) {
  ++in_a_row_;
  if (trouble == http::Client::Trouble::kTooMany || (others_live && in_a_row_ >= kEvidence)) full_ = true;
  const milliseconds first = full_ ? kFirstPauseFull : kFirstPause;
  const milliseconds limit = std::min(first * (1 << std::min(in_a_row_ - 1, 5u)), full_ ? kMaxPauseFull : kMaxPause);
  // Between half and all of it, so that many proxies do not try at one moment.
  std::uniform_int_distribution<milliseconds::rep> spread(limit.count() / 2, limit.count());
  next_ = now + milliseconds(spread(random_));
}

void Admission::NoteAdmitted() {
  in_a_row_ = 0;
  full_ = false;
}

}  // namespace mooring::control
