#include "proxy/observe/exposition.h"

#include <array>
#include <charconv>
#include <cmath>
#include <set>

namespace mooring::observe {
namespace {

constexpr std::string_view kTotal = "_total";
constexpr std::string_view kBucket = "_bucket";

// BaseName is the name of a family in OpenMetrics, where _total belongs to the sample.
std::string_view BaseName(const Family& family) {
  std::string_view name = family.name;
  if (family.kind == Kind::kCounter && name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
  return name;
}

// TypeName: OpenMetrics knows no counter without _total, and some of Envoy's are called so.
const char* TypeName(const Family& family, Format format) {
  const bool no_counter = format == Format::kOpenMetrics && family.kind == Kind::kCounter &&
                          !std::string_view(family.name).ends_with(kTotal);
  return no_counter ? "unknown" : KindName(family.kind);
}

// Length of the well-formed UTF-8 sequence that `text` begins with; 0: it begins with none.
std::size_t Sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i) {
    return i < text.size() && (byte(i) & 0xC0U) == 0x80U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;   // too long a form
    if (first == 0xED && byte(1) >= 0xA0) return 0;  // a surrogate
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) >= 0x90) return 0;
    return 4;
  }
  return 0;
}

void AppendValue(std::string* out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = Sequence(text);
    if (length == 0) {
      *out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    switch (text.front()) {
      case '\\': *out += "\\\\"; break;
      case '"': *out += "\\\""; break;
      case '\n': *out += "\\n"; break;
      default: out->append(text.substr(0, length)); break;
    }
    text.remove_prefix(length);
  }
}

// NumberText has what was counted as a whole number: the shortest form of 100,000 would be 1e+05.
std::string NumberText(double value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: whole numbers up to it are exact
  std::array<char, 64> text{};
  char* const end = text.data() + text.size();
  const bool whole = value == std::floor(value) && std::abs(value) <= kExact;
  return {text.data(), whole ? std::to_chars(text.data(), end, static_cast<std::int64_t>(value)).ptr
                             : std::to_chars(text.data(), end, value).ptr};
}

std::string Shortest(double value) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

Format FormatFor(std::string_view accept) {
  // Prometheus names both, with the one that it wants first; whoever names OpenMetrics reads it.
  return accept.find("application/openmetrics-text") != std::string_view::npos
             ? Format::kOpenMetrics
             : Format::kPrometheus;
}

const char* ContentType(Format format) {
  return format == Format::kOpenMetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

void Exposition::Sample(const Family& family, std::string_view suffix, const Labels& labels,
                        double value) {
  const auto [found, is_new] = samples_.try_emplace(&family);
  if (is_new) order_.push_back(&family);
  std::string sample(suffix);
  char before = '{';
  for (const auto& [name, text] : labels) {
    sample += before;
    sample += name;
    sample += "=\"";
    AppendValue(&sample, text);
    sample += '"';
    before = ',';
  }
  if (before == ',') sample += '}';
  found->second.emplace_back(std::move(sample), value);
}

void Exposition::Add(const Family& family, const Labels& labels, std::int64_t value) {
  Sample(family, "", labels, static_cast<double>(value));
}

void Exposition::Add(const Family& family, const Labels& labels, double value) {
  Sample(family, "", labels, value);
}

void Exposition::Add(const Family& family, const Labels& labels, const data::Histogram& histogram) {
  Labels with_bound = labels;
  with_bound.emplace_back("le", "");
  std::int64_t count = 0;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) {
    count += histogram.count(i);
    const std::string bound =
        i < histogram.bounds().size()
            ? Shortest(std::chrono::duration<double>(histogram.bounds()[i]).count())
            : "+Inf";
    with_bound.back().second = bound;
    Sample(family, kBucket, with_bound, static_cast<double>(count));
  }
  Sample(family, "_sum", labels, std::chrono::duration<double>(histogram.sum()).count());
  Sample(family, "_count", labels, static_cast<double>(count));
}

void Exposition::Append(std::string* out, const Family& family, std::string_view sample,
                        double value) const {
  *out += family.name;
  constexpr std::string_view kBound = "le=\"";
  const std::size_t bound = format_ == Format::kOpenMetrics && sample.starts_with(kBucket)
                                ? sample.rfind(kBound)
                                : std::string_view::npos;
  if (bound != std::string_view::npos) {
    // Bounds of buckets are floats in OpenMetrics, "1.0" and not "1".
    const std::size_t begin = bound + kBound.size();
    const std::size_t end = sample.find('"', begin);
    *out += sample.substr(0, end);
    if (sample.substr(begin, end - begin).find_first_of(".eI") == std::string_view::npos)
      *out += ".0";
    sample.remove_prefix(end);
  }
  *out += sample;
  *out += ' ';
  *out += NumberText(value);
  *out += '\n';
}

std::string Exposition::Text() const {
  std::string out;
  for (const Family* family : InOrder()) {
    const std::string name(format_ == Format::kOpenMetrics ? BaseName(*family) : family->name);
    out += "# HELP " + name + ' ' + family->help + '\n';
    out += "# TYPE " + name + ' ' + TypeName(*family, format_) + '\n';
    const std::map<std::string, double>* const more =
        carried_ != nullptr ? carried_->Of(*family) : nullptr;
    std::set<std::string_view> here;
    if (const auto own = samples_.find(family); own != samples_.end()) {
      for (const auto& [sample, value] : own->second) {
        const auto also =
            more != nullptr ? more->find(sample) : std::map<std::string, double>::const_iterator();
        const bool adds = more != nullptr && also != more->end();
        if (adds) here.insert(also->first);
        Append(&out, *family, sample, adds ? value + also->second : value);
      }
    }
    if (more == nullptr) continue;
    for (const auto& [sample, value] : *more) {
      if (!here.contains(sample)) Append(&out, *family, sample, value);
    }
  }
  if (format_ == Format::kOpenMetrics) out += "# EOF\n";
  return out;
}

// InOrder is every family that has a sample, those that are carried alone last.
std::vector<const Family*> Exposition::InOrder() const {
  std::vector<const Family*> order = order_;
  if (carried_ == nullptr) return order;
  for (const Family* family : Families()) {
    if (carried_->Of(*family) != nullptr && !samples_.contains(family)) order.push_back(family);
  }
  return order;
}

Counts Exposition::Counted() const {
  Counts counts;
  for (const auto& [family, samples] : samples_) {
    if (!IsCarried(*family)) continue;
    auto& into = counts[family->name];
    for (const auto& [sample, value] : samples) into[sample] = value;
  }
  return counts;
}

}  // namespace mooring::observe
