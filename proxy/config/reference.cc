#include "proxy/config/reference.h"

#include <cctype>
#include <cstddef>
#include <string_view>
#include <variant>

#include "proxy/config/table.h"
#include "proxy/config/wrap.h"

namespace mooring::config {
namespace {

constexpr std::size_t kColumns = 128;

constexpr std::string_view kHead =
    "# Every key of `mooring proxy -config FILE`. A line that begins with #key shows the default, "
    "or an example\n"
    "# where there is none; a line that begins with #or shows a key that excludes the one above "
    "it.\n"
    "#\n"
    "# Check a file with `mooring validate FILE`. A setting that Consul does not have is a flag "
    "of\n"
    "# `mooring connect proxy` too, with `-` for `_`, and with the section's name before those of "
    "access_log, confine\n# and stop_after. Relative paths count from this file.\n"
    "# A reload (SIGHUP, `mooring reload`) takes other values up while the proxy runs, but for "
    "those "
    "that say [upgrade]: they need\n"
    "# an upgrade or a restart. `mooring diff FILE` shows before what a reload would do.\n"
    "#   address   host:port, \"[v6]:port\" (in quotes) or unix:/path; port 0 lets the kernel "
    "choose\n"
    "#   duration  500ms, 5s, 1m30s\n"
    "#   size      a number of bytes, or of KiB, MiB or GiB\n";

// IsGroup: it has no value of its own.
bool IsGroup(const Setting& setting) {
  return std::holds_alternative<kind::Section>(setting.value) ||
         std::holds_alternative<kind::List>(setting.value);
}

// Comment is the sentence above the key: "Or the name ..." where the key is another way to say the
// one above it.
std::string Comment(const Setting& setting) {
  std::string text = Sentence(setting, Form::kYaml);
  if (setting.applies == Applies::kUpgrade && !IsGroup(setting)) text += " [upgrade]";
  const char first = text.front();
  if (std::islower(static_cast<unsigned char>(first)) == 0 || text.starts_with(setting.key))
    return text;
  return "Or " + text;
}

std::string_view Mark(Shown shown) {
  switch (shown) {
    case Shown::kInForce: return "";
    case Shown::kDefault: return "#";
    case Shown::kAlternative: return "#or ";
  }
  return "";
}

bool IsList(In in) { return in == In::kUpstreams || in == In::kServices; }

}  // namespace

std::string ReferenceFile() {
  std::string out(kHead);
  In in = In::kFile;
  for (const Setting& setting : Table()) {
    if (setting.key.empty()) continue;
    if (!setting.begins.empty()) out += '\n';
    const bool begins_element = IsList(setting.in) && setting.in != in;
    in = setting.in;
    const std::string indent(setting.in == In::kFile                 ? 0
                             : IsList(setting.in) && !begins_element ? 4
                                                                     : 2,
                             ' ');
    out += Wrap(Comment(setting), indent + "# ", kColumns);
    out += indent;
    out += Mark(setting.shown);
    if (begins_element) out += "- ";
    out += setting.key;
    out += ':';
    std::string value = setting.sample.empty() ? DefaultOf(setting) : std::string(setting.sample);
    if (std::holds_alternative<kind::Words>(setting.value)) value = '[' + value + ']';
    if (!value.empty()) out += ' ' + value;
    out += '\n';
  }
  return out;
}

}  // namespace mooring::config
