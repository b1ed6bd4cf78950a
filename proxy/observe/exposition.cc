#include "proxy/observe/exposition.h"

#include <array>
#include <charconv>

namespace mooring::observe {
namespace {

constexpr std::string_view kTotal = "_total";

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

// Number: bounds of buckets are floats in OpenMetrics, "1.0" and not "1".
std::string Exposition::Number(double value) const {
  std::string text = Shortest(value);
  if (format_ == Format::kOpenMetrics && text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

void Exposition::Sample(const Family& family, std::string_view suffix, const Labels& labels,
                        std::string_view value) {
  const auto [found, is_new] = samples_.try_emplace(&family);
  if (is_new) order_.push_back(&family);
  std::string& out = found->second;
  out += family.name;
  out += suffix;
  char before = '{';
  for (const auto& [name, text] : labels) {
    out += before;
    out += name;
    out += "=\"";
    AppendValue(&out, text);
    out += '"';
    before = ',';
  }
  if (before == ',') out += '}';
  out += ' ';
  out += value;
  out += '\n';
}

void Exposition::Add(const Family& family, const Labels& labels, std::int64_t value) {
  Sample(family, "", labels, std::to_string(value));
}

void Exposition::Add(const Family& family, const Labels& labels, double value) {
  Sample(family, "", labels, Shortest(value));
}

void Exposition::Add(const Family& family, const Labels& labels, const data::Histogram& histogram) {
  Labels with_bound = labels;
  with_bound.emplace_back("le", "");
  std::int64_t count = 0;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) {
    count += histogram.count(i);
    const std::string bound =
        i < histogram.bounds().size()
            ? Number(std::chrono::duration<double>(histogram.bounds()[i]).count())
            : "+Inf";
    with_bound.back().second = bound;
    Sample(family, "_bucket", with_bound, std::to_string(count));
  }
  Sample(family, "_sum", labels, Shortest(std::chrono::duration<double>(histogram.sum()).count()));
  Sample(family, "_count", labels, std::to_string(count));
}

std::string Exposition::Text() const {
  std::string out;
  for (const Family* family : order_) {
    const std::string name(format_ == Format::kOpenMetrics ? BaseName(*family) : family->name);
    out += "# HELP " + name + ' ' + family->help + '\n';
    out += "# TYPE " + name + ' ' + TypeName(*family, format_) + '\n';
    out += samples_.at(family);
  }
  if (format_ == Format::kOpenMetrics) out += "# EOF\n";
  return out;
}

}  // namespace mooring::observe
