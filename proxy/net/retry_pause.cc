#include "proxy/net/retry_pause.h"

#include <algorithm>
#include <limits>

namespace mooring::net {
namespace {

constexpr double kOffAFailure = 0.5;
constexpr double kOffAnInterval = 0.1;

milliseconds Less(milliseconds pause, double part) {
  return milliseconds(
      static_cast<milliseconds::rep>(static_cast<double>(pause.count()) * (1 - part)));
}

}  // namespace

milliseconds RetryPause::AfterFailures(unsigned in_a_row, Bounds bounds, double random) {
  milliseconds bound = bounds.first;
  for (unsigned i = 1; i < in_a_row && bound < bounds.most; ++i) bound *= 2;
  return Less(std::min(bound, bounds.most), kOffAFailure * random);
}

milliseconds RetryPause::Regular(milliseconds interval, double random) {
  return Less(interval, kOffAnInterval * random);
}

milliseconds RetryPause::Failed(Bounds bounds, MonotonicTime now) {
  if (failures_ < std::numeric_limits<unsigned>::max()) ++failures_;
  const milliseconds pause = AfterFailures(failures_, bounds, Random());
  due_ = now + pause;
  return pause;
}

void RetryPause::Succeeded() {
  failures_ = 0;
  due_ = {};
}

milliseconds RetryPause::Regular(milliseconds interval) { return Regular(interval, Random()); }

milliseconds RetryPause::AnyPart(milliseconds interval) { return Less(interval, Random()); }

}  // namespace mooring::net
