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
#include "proxy/observe/carry.h"
#include "proxy/observe/families.h"

namespace mooring::observe {

enum class Format { kPrometheus, kOpenMetrics };

// FormatFor is what an Accept header asks for; OpenMetrics only where it is named.
Format FormatFor(std::string_view accept);
const char* ContentType(Format format);

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

class Exposition final {
 public:
  // What is `carried` is added to the samples; null: nothing. It outlives the Exposition.
  explicit Exposition(Format format, const Carried* carried = nullptr)
      : format_(format), carried_(carried) {}

  void Add(const Family& family, const Labels& labels, std::int64_t value);
  void Add(const Family& family, const Labels& labels, double value);
  void Add(const Family& family, const Labels& labels, const data::Histogram& histogram);

  // Text is the whole; families without samples are left out.
  std::string Text() const;
  // Counted is what a successor would carry of it.
  Counts Counted() const;

 private:
  using Samples = std::vector<std::pair<std::string, double>>;  // as Counts has them

  void Sample(const Family& family, std::string_view suffix, const Labels& labels, double value);
  std::vector<const Family*> InOrder() const;
  void Append(std::string* out, const Family& family, std::string_view sample, double value) const;

  const Format format_;
  const Carried* const carried_;
  std::vector<const Family*> order_;  // in which they came
  std::map<const Family*, Samples> samples_;
};

}  // namespace mooring::observe
