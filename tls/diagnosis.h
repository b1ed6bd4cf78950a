// Why a TLS call failed, read out of BoringSSL's error queue.
//
// The only place that knows reason codes. Pure but for the queue of this thread, which it empties.
#pragma once

#include <string>

#include "tls/failure.h"
#include "tls/identity.h"

namespace mooring::tls {

struct Diagnosis {
  Failure failure = Failure::kProtocol;
  int alert = -1;  // of kAlert
  Refusal refusal =
      Refusal::kNone;  // of kCertificate, where BoringSSL refused before we could judge
  std::string text;    // reasons, oldest first, printable
};

// Diagnose takes the errors of the call that just failed. `during_handshake`: before that, bytes
// that are no TLS record mean a peer that does not speak TLS; after it they mean a broken or
// attacked stream.
Diagnosis Diagnose(bool during_handshake);

}  // namespace mooring::tls
