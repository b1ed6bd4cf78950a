// What earlier processes have counted, added to what this one counts.
#include "proxy/observe/carry.h"

#include <doctest/doctest.h>

#include "proxy/observe/exposition.h"

namespace mooring {
namespace {

using observe::Carried;
using observe::Counts;
using observe::Exposition;
using observe::Format;
namespace family = observe::family;

constexpr char kClosedOfWeb[] = "{service=\"web\",reason=\"eof\"}";

// Of is what a process has counted that has had `closed` connections and has `open` ones.
Counts Of(std::int64_t closed, std::int64_t open) {
  Exposition out(Format::kPrometheus);
  out.Add(family::kClosed, {{"service", "web"}, {"reason", "eof"}}, closed);
  out.Add(family::kOpen, {{"service", "web"}}, open);
  out.Add(family::kReady, {{"service", "web"}}, std::int64_t{1});
  return out.Counted();
}

TEST_CASE("carry: counters add up, connections that are open do, and other gauges are one's own") {
  Carried carried;
  carried.Take(7, Of(5, 2));
  carried.Take(8, Of(100'000, 1));
  Exposition out(Format::kPrometheus, &carried);
  out.Add(family::kClosed, {{"service", "web"}, {"reason", "eof"}}, std::int64_t{1});
  out.Add(family::kReady, {{"service", "web"}}, std::int64_t{1});
  const std::string text = out.Text();
  CHECK(text.find("mooring_connections_closed_total{service=\"web\",reason=\"eof\"} 100006\n") !=
        std::string::npos);
  CHECK(text.find("mooring_connections_open{service=\"web\"} 3\n") != std::string::npos);
  CHECK(text.find(std::string(family::kReady.name) + "{service=\"web\"} 1\n") != std::string::npos);
}

TEST_CASE("carry: what has ended stays counted, and is not open any more") {
  Carried carried;
  carried.Take(7, Of(5, 2));
  carried.Forget(7);
  CHECK(carried.Of(family::kClosed)->at(kClosedOfWeb) == 5);
  CHECK(carried.Of(family::kOpen)->at("{service=\"web\"}") == 0);
  // Its number may come again.
  carried.Take(7, Of(1, 1));
  CHECK(carried.Of(family::kClosed)->at(kClosedOfWeb) == 6);
}

TEST_CASE("carry: a report that repeats, or has just what has changed, counts once") {
  Carried carried;
  const Counts before = Of(5, 2), now = Of(6, 2);
  const Counts changed = observe::Changed(before, now);
  CHECK(changed.size() == 1);
  carried.Take(7, before);
  carried.Take(7, changed);
  carried.Take(7, now);
  CHECK(carried.Of(family::kClosed)->at(kClosedOfWeb) == 6);
  CHECK(carried.Of(family::kOpen)->at("{service=\"web\"}") == 2);
}

TEST_CASE("carry: families that are unknown or one's own are ignored") {
  Carried carried;
  carried.Take(7, {{"no_such_family", {{"", 1.0}}}, {family::kReady.name, {{"", 1.0}}}});
  CHECK(carried.Of(family::kReady) == nullptr);
  CHECK(Exposition(Format::kPrometheus, &carried).Text().empty());
}

TEST_CASE("carry: a histogram's samples add up in either format, bounds as each writes them") {
  data::Histogram histogram{data::kLives};
  histogram.Add(data::microseconds(1));
  Exposition old(Format::kPrometheus);
  old.Add(family::kLifetime, {{"service", "web"}}, histogram);
  Carried carried;
  carried.Take(7, old.Counted());
  for (const Format format : {Format::kPrometheus, Format::kOpenMetrics}) {
    Exposition alone(format, &carried);
    Exposition both(format, &carried);
    both.Add(family::kLifetime, {{"service", "web"}}, histogram);
    CHECK(alone.Text().find("_bucket{service=\"web\",le=\"+Inf\"} 1\n") != std::string::npos);
    CHECK(both.Text().find("_bucket{service=\"web\",le=\"+Inf\"} 2\n") != std::string::npos);
    CHECK(both.Text().find("_count{service=\"web\"} 2\n") != std::string::npos);
    CHECK((both.Text().find("le=\"1.0\"") != std::string::npos) ==
          (format == Format::kOpenMetrics));
  }
}

}  // namespace
}  // namespace mooring
