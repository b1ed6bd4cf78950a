// The table of settings: one entry each, with all that the forms have to know of it. Flags,
// environment, YAML, a registration's Config, the usage texts and the reference file are made from
// it.
//
// A new setting is a member of one of the structs in settings.h, with its default, and an entry
// here. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/value.h"

namespace mooring::config {

// In says which mapping of a YAML file holds the key. kFile is the file itself, and an element of
// `services` too; kServices holds what only such an element has.
enum class In {
  kFile,
  kServices,
  kIdentity,
  kPublicListener,
  kIntentions,
  kUpstreams,
  kAgent,
  kAdmin,
  kMetrics,
  kAccessLog,
  kConfine,
  kStopAfter
};

// Of says whose a setting is: the process's; one service's alone; or one service's with the file's
// top level as the default of each.
enum class Of { kProcess, kService, kEachService };

// Change says when another value takes effect: at the next start, or while the proxy runs, if the
// registration that the agent holds says it.
enum class Change { kAtStart, kRunning };

// Applies says what a reload of the file does with another value: takes it up while the proxy runs,
// or leaves the old one in force and says that it needs an upgrade, which a restart does, too.
enum class Applies { kUpgrade, kLive };

// Shown says how the reference file has it: in force, as a comment that shows the default, or as
// one that another key excludes.
enum class Shown { kInForce, kDefault, kAlternative };

struct Setting {
  std::string_view begins{};  // the title of the group that this entry begins; empty: it goes on
  In in = In::kFile;
  std::string_view key{};  // in YAML; empty: it is none of YAML's
  Value value = kind::Section{};
  std::string_view flag{};      // of `connect proxy`, without the dash; empty: none
  std::string_view variable{};  // of the environment; empty: none
  // in the Config of a registration or of its upstream; empty: none
  std::string_view config_key{};
  Of of = Of::kProcess;
  Change change = Change::kAtStart;
  Applies applies = Applies::kUpgrade;
  bool consul = false;  // `consul connect proxy` has this flag
  bool held = false;    // the agent holds it where the service is named by proxy_id or sidecar_for
  bool secret = false;  // never shown
  Shown shown = Shown::kDefault;
  std::string_view sample{};  // as YAML, where the default is not shown
  // One sentence or two. {flag} stands for that setting as the form spells it. A small first letter
  // can follow "Or", where the reference file shows an alternative.
  std::string_view says{};
  std::string_view flag_says{};  // what the usage text adds
};

// Table is all settings, in the order in which people are shown them.
std::span<const Setting> Table();

// KeysOf are the keys of one mapping of a YAML file.
std::vector<std::string_view> KeysOf(In in);

// FindKey and FindFlag are null if there is no such setting.
const Setting* FindKey(In in, std::string_view key);
const Setting* FindFlag(std::string_view flag);

// SectionName is how paths name the mapping: "agent", "upstreams"; empty for the file.
std::string_view SectionName(In in);

// PathOf is the setting in YAML: "public_listener.address".
std::string PathOf(const Setting& setting);

// DefaultOf is the default as text; empty if there is none.
std::string DefaultOf(const Setting& setting);

// Form says for whom a sentence is written.
enum class Form { kFlag, kYaml };

// Sentence is `says`, spelt for that form, with the range.
std::string Sentence(const Setting& setting, Form form);

}  // namespace mooring::config
