#include "proxy/observe/account_text.h"

#include <cstdint>
#include <string_view>

#include "proxy/log/escape.h"
#include "proxy/log/line.h"

namespace mooring::observe {
namespace {

constexpr std::size_t kUsual = 768;

void AppendJournal(std::string* out, std::string_view name, std::string_view value) {
  *out += name;
  if (value.find('\n') == std::string_view::npos) {
    *out += '=';
  } else {
    *out += '\n';
    for (unsigned i = 0; i < 8; ++i)
      *out += static_cast<char>(static_cast<std::uint64_t>(value.size()) >> (8U * i) & 0xffU);
  }
  *out += value;
  *out += '\n';
}

}  // namespace

std::string TextOf(const Account& account) {
  std::string line;
  line.reserve(kUsual);
  for (const AccountField& field : AccountFields()) {
    const std::string value = field.value(account);
    if (value.empty()) continue;
    if (!line.empty()) line += ' ';
    line += field.name;
    line += '=';
    log::AppendValue(&line, value, log::kMaxField);
  }
  return line;
}

std::string JsonOf(const Account& account) {
  std::string object = "{";
  object.reserve(kUsual);
  for (const AccountField& field : AccountFields()) {
    const std::string value = field.value(account);
    if (value.empty()) continue;
    if (object.size() > 1) object += ',';
    object += '"';
    object += field.name;
    object += "\":";
    if (field.type != FieldType::kText) {
      object += value;
      continue;
    }
    object += '"';
    log::AppendJson(&object, value, log::kMaxField);
    object += '"';
  }
  object += '}';
  return object;
}

std::string JournalEntryOf(const Account& account, const std::string& message) {
  std::string entry;
  entry.reserve(2 * kUsual);
  AppendJournal(&entry, "MESSAGE", message);
  AppendJournal(&entry, "MESSAGE_ID", kConnectionMessageId);
  AppendJournal(&entry, "PRIORITY", "6");
  AppendJournal(&entry, "SYSLOG_IDENTIFIER", "mooring");
  for (const AccountField& field : AccountFields()) {
    const std::string value = field.value(account);
    if (value.empty()) continue;
    std::string name = "MOORING_";
    for (const char* c = field.name; *c != '\0'; ++c)
      name += *c >= 'a' && *c <= 'z' ? static_cast<char>(*c - 'a' + 'A') : *c;
    AppendJournal(&entry, name, std::string_view(value).substr(0, log::kMaxField));
  }
  return entry;
}

}  // namespace mooring::observe
