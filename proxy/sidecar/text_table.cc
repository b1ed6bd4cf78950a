#include "proxy/sidecar/text_table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "proxy/config/wrap.h"
#include "proxy/log/escape.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxCell = 4096;  // bytes
constexpr std::size_t kColumns = 120;   // what a last column of sentences is broken for
constexpr std::size_t kLeast = 40;      // of its width
constexpr std::size_t kUsualCell = 22;  // what is longer is cut before a column is left out
constexpr std::size_t kMinCell = 8;     // to which a text is cut
constexpr std::size_t kGap = 2;         // between columns
constexpr std::array<const char*, 5> kUnits{"s", "m", "h", "d", ""};

}  // namespace

std::string Span(const json& seconds) {
  if (!seconds.is_number()) return "-";
  const double value = seconds.get<double>();
  if (value < 0) return "over";
  std::array<char, 32> text{};
  if (value < 10) {
    std::snprintf(text.data(), text.size(), "%.1fs", value);
    return text.data();
  }
  const auto whole = static_cast<long long>(value);
  const std::array<long long, 4> parts{whole / 86400, whole / 3600 % 24, whole / 60 % 60,
                                       whole % 60};
  const auto first = static_cast<std::size_t>(
      std::find_if(parts.begin(), parts.end(), [](long long part) { return part > 0; }) -
      parts.begin());
  std::string span;
  for (std::size_t i = first; i < parts.size() && i < first + 2; ++i) {
    if (parts[i] > 0) span += std::to_string(parts[i]) + kUnits[3 - i];
  }
  return span;
}

std::string Text(const json& value) {
  if (value.is_string())
    return value.get_ref<const std::string&>().empty()
               ? "-"
               : log::Plain(value.get<std::string>(), kMaxCell);
  if (value.is_null()) return "-";
  return value.dump();
}

std::string Text(const json& object, const char* key) { return Text(object.value(key, json())); }

std::string BytesText(double count) {
  std::size_t unit = 0;
  constexpr std::array<const char*, 6> kBytes{"", "k", "M", "G", "T", "P"};
  while (count >= 999.5 && unit + 1 < kBytes.size()) {
    count /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit > 0 && count < 9.95 ? "%.1f%s" : "%.0f%s", count,
                kBytes[unit]);
  return text.data();
}

TextTable::TextTable(std::vector<std::string> head) {
  for (std::string& one : head) columns_.push_back({std::move(one)});
}

std::string TextTable::Draw(std::size_t width) const {
  std::vector<std::size_t> widths(columns_.size());
  std::vector<bool> shown(columns_.size(), true);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    widths[i] = columns_[i].head.size();
    for (const auto& row : rows_) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto length = [&] {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (shown[i]) sum += widths[i] + (sum == 0 ? 0 : kGap);
    }
    return sum;
  };
  while (width > 0 && length() > width) {
    std::optional<std::size_t> longest, left_out;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (!shown[i]) continue;
      if (!columns_[i].number && widths[i] > kMinCell && (!longest || widths[i] > widths[*longest]))
        longest = i;
      if (columns_[i].optional > 0 &&
          (!left_out || columns_[i].optional > columns_[*left_out].optional))
        left_out = i;
    }
    if (longest && (widths[*longest] > kUsualCell || !left_out)) {
      --widths[*longest];
    } else if (left_out) {
      shown[*left_out] = false;
    } else {
      break;
    }
  }
  std::string out;
  const auto draw = [&](const std::vector<std::string>& row) {
    std::string line;
    bool first = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (!shown[i]) continue;
      if (!first) line.append(kGap, ' ');
      first = false;
      std::string cell = row[i];
      if (width == 0 && i + 1 == columns_.size() && !columns_[i].number) {
        // Sentences stand here, and none is cut. Wrap begins with the margin, which is there.
        const std::size_t left = line.size();
        if (!cell.empty())
          line += config::Wrap(cell, std::string(left, ' '), std::max(kColumns, left + kLeast))
                      .substr(left);
        break;
      }
      if (cell.size() > widths[i]) cell = cell.substr(0, widths[i] - 1) + "~";
      const std::size_t blank = widths[i] - cell.size();
      line += columns_[i].number ? std::string(blank, ' ') + cell : cell + std::string(blank, ' ');
    }
    out += line.substr(0, line.find_last_not_of(" \n") + 1) + "\n";
  };
  std::vector<std::string> head;
  for (const Column& column : columns_) head.push_back(column.head);
  draw(head);
  for (const auto& row : rows_) draw(row);
  return out + "\n";
}

}  // namespace mooring::sidecar
