#include "proxy/net/scratch.h"

#include <utility>

namespace mooring::net {

tls::WireBytes& Scratch::out() {
  // At once, or growing to it would copy and hold twice as much.
  if (out_.capacity() == 0) out_.reserve(plain_.size() + plain_.size() / 64);
  return out_;
}

void Scratch::Trim() {
  if (std::exchange(large_, false)) {
    trim_due_ = true;
    return;
  }
  if (!std::exchange(trim_due_, false)) return;
  cipher_.GiveBack(kReadBurst);
  plain_.GiveBack(kReadBurst);
  tls::WireBytes().swap(out_);
}

}  // namespace mooring::net
