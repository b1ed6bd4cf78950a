#include "proxy/observe/reference.h"

#include "proxy/observe/account.h"
#include "proxy/observe/account_text.h"
#include "proxy/observe/families.h"

namespace mooring::observe {
namespace {

constexpr char kHead[] =
    "# What Mooring measures and logs of connections\n\n"
    "`mooring help metrics` prints this page.\n\n"
    "## Metrics\n\n"
    "`/metrics` on the admin port (`admin.address`, `-admin-addr`) has them in Prometheus's text "
    "format, or in OpenMetrics's\nwhere it is asked for. `?service=NAME` has those of one service. "
    "No label holds an address or a SPIFFE ID. Of a direction\n256 pairs of services are told "
    "apart; what comes then is `other`, and a pair without a connection for ten minutes is "
    "left\nout.\n\n"
    "| metric | type | labels | what it is |\n| --- | --- | --- | --- |\n";

constexpr char kAccess[] =
    "\n## Access log and /recent\n\n"
    "`access_log` in YAML, `-access-log` as a flag: one line a connection at its end. In text it "
    "is "
    "`name=value`, in JSON an\nobject a line, in journald `MOORING_` and the name in capitals. "
    "What "
    "is not known is left out.\n\n"
    "`/recent` on the admin port has the last 256 ends of each service (`ended`), and by "
    "themselves "
    "the last 128 of\nconnections that were refused, have failed or were cut for what they are "
    "(`failed`), the newest first, as the same\nobjects. `?service=NAME`, `?match=TEXT` (in peer, "
    "source, destination, identity or reason), `?offset=` and `?limit=`\nchoose among them. "
    "`missing` is how many reports there was no time or memory for.\n\n"
    "| field | type | what it is |\n| --- | --- | --- |\n";

const char* TypeName(FieldType type) {
  switch (type) {
    case FieldType::kText: return "text";
    case FieldType::kNumber: return "number";
    case FieldType::kBoolean: return "true or false";
  }
  return "";
}

}  // namespace

std::string MetricsReference() {
  std::string out = kHead;
  for (const Family* family : Families()) {
    out += std::string("| `") + family->name + "` | " + KindName(family->kind) + " | " +
           family->labels + " | " + family->help + " |\n";
  }
  out += kAccess;
  for (const AccountField& field : AccountFields()) {
    out += std::string("| `") + field.name + "` | " + TypeName(field.type) + " | " + field.says +
           " |\n";
  }
  out += std::string("\nIn journald every entry has `MESSAGE_ID=") + kConnectionMessageId +
         "` and `SYSLOG_IDENTIFIER=mooring`.\n";
  return out;
}

}  // namespace mooring::observe
