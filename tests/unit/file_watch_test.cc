// When a file that somebody edits is read: whole, once, and not while it is being written.
#include <doctest/doctest.h>

#include "proxy/config/file_watch.h"

namespace mooring::config {
namespace {

using std::chrono::milliseconds;

constexpr net::MonotonicTime At(int ms) { return net::MonotonicTime(milliseconds(1'000'000 + ms)); }
constexpr FileLook kOld{.mtime_ns = 1, .inode = 1, .size = 10};
constexpr FileLook kNew{.mtime_ns = 2, .inode = 2, .size = 20};

FileWatch OfOld() {
  FileWatch watch;
  watch.Note(kOld);
  return watch;
}

TEST_CASE("file watch: a file that is renamed over the old one is read once, when it has settled") {
  FileWatch watch = OfOld();
  CHECK_FALSE(watch.Look(kOld, false, At(0)));
  CHECK_FALSE(watch.Look(kNew, false, At(1'000)));
  CHECK_FALSE(watch.Look(kNew, false, At(2'000)));
  CHECK(watch.Look(kNew, false, At(3'000)));
  CHECK_FALSE(watch.Look(kNew, false, At(9'000)));
}

TEST_CASE("file watch: a file that grows is not read before it has been left alone") {
  FileWatch watch = OfOld();
  for (int second = 1; second < 10; ++second) {
    const FileLook growing{.mtime_ns = second + 1, .inode = 1, .size = second};
    CHECK_FALSE(watch.Look(growing, false, At(1'000 * second)));
  }
  const FileLook whole{.mtime_ns = 10, .inode = 1, .size = 9};
  CHECK_FALSE(watch.Look(whole, false, At(10'000)));
  CHECK(watch.Look(whole, false, At(11'000)));  // it has been so from 9 s on
}

TEST_CASE("file watch: whoever has it open for writing is waited for, however long he pauses") {
  FileWatch watch = OfOld();
  for (int second = 1; second < 60; ++second)
    CHECK_FALSE(watch.Look(kNew, true, At(1'000 * second)));
  CHECK_FALSE(watch.Look(kNew, false, At(60'000)));
  CHECK(watch.Look(kNew, false, At(61'000)));  // it was left alone from 59 s on
}

TEST_CASE("file watch: a file that is away or back as it was is no change") {
  FileWatch watch = OfOld();
  CHECK_FALSE(watch.Look({}, false, At(1'000)));
  CHECK_FALSE(watch.Look({}, false, At(9'000)));
  CHECK_FALSE(watch.Look(kNew, false, At(10'000)));
  CHECK_FALSE(watch.Look(kOld, false, At(11'000)));
  CHECK_FALSE(watch.Look(kNew, false, At(20'000)));
  CHECK(watch.Look(kNew, false, At(22'000)));
}

}  // namespace
}  // namespace mooring::config
