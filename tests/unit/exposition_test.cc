// The text of a scrape, in both formats.
#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>

#include "proxy/observe/exposition.h"
#include "proxy/observe/families.h"

namespace mooring {
namespace {

using observe::Exposition;
using observe::Family;
using observe::Format;
using observe::Kind;
using namespace std::chrono_literals;

const Family kThings{"test_things_total", Kind::kCounter, "Things.", "what"};
const Family kLevel{"test_level_bytes", Kind::kGauge, "How much.", ""};
const Family kTook{"test_took_seconds", Kind::kHistogram, "How long.", "what"};

constexpr data::microseconds kBounds[] = {1ms, 1s};

TEST_CASE("exposition: samples of one family stand together, whatever the order they came in") {
  Exposition out(Format::kPrometheus);
  out.Add(kThings, {{"what", "a"}}, std::int64_t{1});
  out.Add(kLevel, {}, 2.5);
  out.Add(kThings, {{"what", "b"}}, std::int64_t{2});
  CHECK(out.Text() ==
        "# HELP test_things_total Things.\n"
        "# TYPE test_things_total counter\n"
        "test_things_total{what=\"a\"} 1\n"
        "test_things_total{what=\"b\"} 2\n"
        "# HELP test_level_bytes How much.\n"
        "# TYPE test_level_bytes gauge\n"
        "test_level_bytes 2.5\n");
}

TEST_CASE("exposition: a histogram is cumulative, with its sum and count") {
  data::Histogram histogram{kBounds};
  histogram.Add(1ms);
  histogram.Add(500ms);
  histogram.Add(2s);
  Exposition out(Format::kPrometheus);
  out.Add(kTook, {{"what", "a"}}, histogram);
  CHECK(out.Text() ==
        "# HELP test_took_seconds How long.\n"
        "# TYPE test_took_seconds histogram\n"
        "test_took_seconds_bucket{what=\"a\",le=\"0.001\"} 1\n"
        "test_took_seconds_bucket{what=\"a\",le=\"1\"} 2\n"
        "test_took_seconds_bucket{what=\"a\",le=\"+Inf\"} 3\n"
        "test_took_seconds_sum{what=\"a\"} 2.501\n"
        "test_took_seconds_count{what=\"a\"} 3\n");
}

TEST_CASE(
    "exposition: a counter whose name has no _total keeps it, and is unknown to OpenMetrics") {
  static const Family kOdd{"test_refused", Kind::kCounter, "Refused.", ""};
  for (const Format format : {Format::kPrometheus, Format::kOpenMetrics}) {
    Exposition out(format);
    out.Add(kOdd, {}, std::int64_t{1});
    const bool open = format == Format::kOpenMetrics;
    CHECK(out.Text() == std::string("# HELP test_refused Refused.\n# TYPE test_refused ") +
                            (open ? "unknown" : "counter") + "\ntest_refused 1\n" +
                            (open ? "# EOF\n" : ""));
  }
}

TEST_CASE("exposition: OpenMetrics names a counter without _total, bounds as floats, and ends") {
  data::Histogram histogram{kBounds};
  Exposition out(Format::kOpenMetrics);
  out.Add(kThings, {{"what", "a"}}, std::int64_t{1});
  out.Add(kTook, {}, histogram);
  CHECK(out.Text() ==
        "# HELP test_things Things.\n"
        "# TYPE test_things counter\n"
        "test_things_total{what=\"a\"} 1\n"
        "# HELP test_took_seconds How long.\n"
        "# TYPE test_took_seconds histogram\n"
        "test_took_seconds_bucket{le=\"0.001\"} 0\n"
        "test_took_seconds_bucket{le=\"1.0\"} 0\n"
        "test_took_seconds_bucket{le=\"+Inf\"} 0\n"
        "test_took_seconds_sum 0\n"
        "test_took_seconds_count 0\n"
        "# EOF\n");
}

TEST_CASE("exposition: a label's value is text, whatever is in it") {
  const struct {
    std::string value, written;
  } kCases[] = {
      {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
      {"<script>\x1b[31m", "<script>\x1b[31m"},
      {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
      {"\xFF", "\xEF\xBF\xBD"},
      {"\xC3", "\xEF\xBF\xBD"},
      {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},
  };
  for (const auto& one : kCases) {
    Exposition out(Format::kPrometheus);
    out.Add(kThings, {{"what", one.value}}, std::int64_t{1});
    CHECK(out.Text().find("{what=\"" + one.written + "\"} 1\n") != std::string::npos);
  }
}

TEST_CASE("exposition: OpenMetrics is for those who name it") {
  CHECK(observe::FormatFor("") == Format::kPrometheus);
  CHECK(observe::FormatFor("text/plain;version=0.0.4") == Format::kPrometheus);
  CHECK(observe::FormatFor("application/openmetrics-text;version=1.0.0,text/plain;q=0.5") ==
        Format::kOpenMetrics);
}

TEST_CASE("families: each has a name of its own, by the conventions, and a sentence") {
  std::set<std::string> names;
  for (const Family* family : observe::Families()) {
    const std::string name = family->name;
    CHECK(names.insert(name).second);
    // Envoy's names are as they are.
    if (!name.starts_with("envoy_"))
      CHECK((family->kind == Kind::kCounter) == name.ends_with("_total"));
    CHECK(std::string(family->help).ends_with("."));
  }
}

}  // namespace
}  // namespace mooring
