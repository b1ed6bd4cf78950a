// An Account as text: a line of key=value, a JSON object, an entry for journald. Pure; any thread.
//
// What is not known is left out. In lines and objects all text is escaped here (log/escape.h) and
// cut at kMaxField; numbers and truth values of JSON are no strings.
#pragma once

#include <string>

#include "proxy/observe/account.h"

namespace mooring::observe {

// None of them ends with a newline.
std::string TextOf(const Account& account);
std::string JsonOf(const Account& account);

// kConnectionMessageId is MESSAGE_ID of every entry: journalctl finds them by it.
inline constexpr char kConnectionMessageId[] = "5b7d2f0c6a1e4e3f9a84c1d07b35e692";

// JournalEntryOf is a datagram of systemd's journal, native protocol: `message` as MESSAGE, and
// each field, raw, as MOORING_ and its name. A value with a newline has its length before it.
// Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL
std::string JournalEntryOf(const Account& account, const std::string& message);

}  // namespace mooring::observe
