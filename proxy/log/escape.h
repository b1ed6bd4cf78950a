// Escaping: how text from outside may stand in a log line, in a message or on a terminal. Pure; any
// thread.
//
// Text is escaped once, here, at the moment when it is written out; what is passed around before is
// raw. `limit` bounds what is appended, in bytes of output. What does not fit is cut off, never
// inside a UTF-8 sequence or an escape, and the mark "...(+N bytes)" says how much of the input is
// missing; the mark may exceed the limit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mooring::log {

// AppendQuotable: for between quotation marks in a text line. Printable ASCII stays, `"` and `\`
// get a backslash, every other byte becomes \xNN: what looks like another character on a terminal
// is no better than what steers it.
void AppendQuotable(std::string* out, std::string_view text, std::size_t limit);

// AppendPlain: the same where no quotation marks stand around it; `"` and `\` stay as they are.
void AppendPlain(std::string* out, std::string_view text, std::size_t limit);

// AppendJson: the inside of a JSON string (RFC 8259, section 7), valid UTF-8. Valid UTF-8 stays,
// control characters (C0, DEL, C1) become \u00NN, each invalid byte becomes U+FFFD.
void AppendJson(std::string* out, std::string_view text, std::size_t limit);

// AppendValue is what stands behind `key=` in a text line: as it is where that is plain and fits,
// else AppendQuotable between quotation marks.
void AppendValue(std::string* out, std::string_view text, std::size_t limit);

// Plain is AppendPlain to a string of its own.
std::string Plain(std::string_view text, std::size_t limit = 8192);

}  // namespace mooring::log
