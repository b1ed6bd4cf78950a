// Account: what is told of one connection, at its end or while it lives. A line of the access log
// and an entry of /recent are made of it.
//
// Its fields are one list: the lines, the entries and the table of examples/metrics.md are all made
// of that. Pure values; nothing of them is escaped.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "proxy/data/report.h"

namespace mooring::observe {

struct Account {
  std::chrono::system_clock::time_point time;  // of the report
  data::Report report;
  std::string service;  // ours
  std::string source, destination, datacenter;
  unsigned one_in = 1;  // of so many alike this one is told
};

// MakeAccount: `service` is what our service is called where the connection does not say.
Account MakeAccount(data::Report&& report, std::chrono::system_clock::time_point time,
                    const std::string& service);

// IsRefusal: a caller that has been turned away before anything passed. Strangers can cause those
// at any rate.
bool IsRefusal(const Account& account);

enum class FieldType { kText, kNumber, kBoolean };

struct AccountField {
  const char* name;
  FieldType type;
  const char* says;                              // one sentence
  std::string (*value)(const Account& account);  // empty: not known, and left out
};

// AccountFields are all of them, in their order.
std::span<const AccountField> AccountFields();

}  // namespace mooring::observe
