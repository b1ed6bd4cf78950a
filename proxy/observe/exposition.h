// Exposition: the text of one scrape, in Prometheus's format or in OpenMetrics's.
//
// Samples may be added in any order; each family's stand together in the text, as both formats
// want it. Label values are escaped here; those that are no valid UTF-8 get U+FFFD in place of what
// is wrong. Pure; one thread.
// Sources: Prometheus exposition formats (text 0.0.4), OpenMetrics 1.0.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/data/histogram.h"
#include "proxy/observe/families.h"

namespace mooring::observe {

enum class Format { kPrometheus, kOpenMetrics };

// FormatFor is what an Accept header asks for; OpenMetrics only where it is named.
Format FormatFor(std::string_view accept);
const char* ContentType(Format format);

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

class Exposition final {
 public:
  explicit Exposition(Format format) : format_(format) {}

  void Add(const Family& family, const Labels& labels, std::int64_t value);
  void Add(const Family& family, const Labels& labels, double value);
  void Add(const Family& family, const Labels& labels, const data::Histogram& histogram);

  // Text is the whole; families without samples are left out.
  std::string Text() const;

 private:
  void Sample(const Family& family, std::string_view suffix, const Labels& labels,
              std::string_view value);
  std::string Number(double value) const;

  const Format format_;
  std::vector<const Family*> order_;  // in which they came
  std::map<const Family*, std::string> samples_;
};

}  // namespace mooring::observe
