#include "proxy/config/file_watch.h"

namespace mooring::config {

bool FileWatch::Look(const FileLook& now, bool being_written, net::MonotonicTime at) {
  if (now == read_ || now == FileLook{}) {
    changed_.reset();
    return false;
  }
  if (!changed_ || changed_->look != now || being_written) {
    changed_ = Change{now, at};
    return false;
  }
  if (at - changed_->since < kSettled) return false;
  Note(now);
  return true;
}

}  // namespace mooring::config
