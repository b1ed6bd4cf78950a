// ConfigForm: a config entry as the agent stores and answers it: names in their one spelling, what
// is empty left out. Pure.
//
// Known are the kinds that matter to a sidecar. What an entry says beyond them is an error that
// names the field, as with Consul: an entry must not look as if it were in force. Source: the
// answers of Consul 1.21 (tests/data/consul-1.21).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/dev/body.h"
#include "proxy/dev/like.h"

namespace mooring::dev {

// CheckKind: the agent knows that kind at all. Error: Consul's text.
Status CheckKind(std::string_view kind, Like like);

// ConfigForm reads a config entry of the body of PUT /v1/config. Kind and Name are in the result;
// the one mesh entry is named so inside and has no Name. Errors are texts of Consul's agent.
Result<Json> ConfigForm(const Json& body, Like like);
// NameOf is the name of an entry in ConfigForm; `mesh` for that of the mesh.
std::string NameOf(const Json& entry);

// PermissionsForm is the list Permissions of an intention's body in that form.
Json PermissionsForm(const Json& intention, std::string* fault);

// WithIndexes adds what is not of the entry's own: hash and indexes.
Json WithIndexes(Json entry, std::uint64_t create_index, std::uint64_t modify_index);

}  // namespace mooring::dev
