// TextTable: columns of text for a terminal, and how values of our documents are written there.
// Escaping is done here, once (log/escape.h). Pure.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace mooring::sidecar {

// Span writes seconds as people read them: 0.4s, 12s, 3m20s, 5h10m, 2d3h; "over" what is negative.
std::string Span(const nlohmann::json& seconds);
// Text is the value, escaped and cut; "-" for what is empty or absent.
std::string Text(const nlohmann::json& value);
std::string Text(const nlohmann::json& object, const char* key);
// BytesText writes a count or a rate of bytes in at most five characters: 999, 1.2k, 35M.
std::string BytesText(double count);

class TextTable final {
 public:
  // Column: a number stands at the right. Where a line is too long, `optional` columns are left
  // out, the highest first, and then texts are cut, the longest first.
  struct Column {
    std::string head;
    bool number = false;
    int optional = 0;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  explicit TextTable(std::vector<std::string> head);
  // Add takes a row, as many cells as there are columns.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::size_t rows() const { return rows_.size(); }

  // Draw is the table with its head, and an empty line. `width` is the longest that a line may be;
  // 0: any, and then the last column, where sentences stand, is broken and never cut.
  std::string Draw(std::size_t width = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace mooring::sidecar
