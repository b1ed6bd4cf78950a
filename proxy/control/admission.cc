#include "proxy/control/admission.h"

namespace mooring::control {
namespace {

using net::milliseconds;

// One that hangs up for reasons of its own is tried again sooner than one that is full.
constexpr net::RetryPause::Bounds kRetry{milliseconds(500), milliseconds(2'000)};
constexpr net::RetryPause::Bounds kRetryFull{milliseconds(2'000), milliseconds(8'000)};
// A single connection may end for any reason.
constexpr unsigned kEvidence = 2;

}  // namespace

void Admission::NoteTurnedAway(http::Client::Trouble trouble, bool others_live,
                               net::MonotonicTime now) {
  const unsigned in_a_row = pause_.failures() + 1;
  if (trouble == http::Client::Trouble::kTooMany || (others_live && in_a_row >= kEvidence))
    full_ = true;
  (void)pause_.Failed(full_ ? kRetryFull : kRetry, now);
}

void Admission::NoteAdmitted() {
  pause_.Succeeded();
  full_ = false;
}

}  // namespace mooring::control
