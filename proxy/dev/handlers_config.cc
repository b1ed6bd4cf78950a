// The part of the API about config entries, and the discovery chains that they make.
#include <charconv>
#include <optional>
#include <utility>

#include "proxy/dev/agent.h"
#include "proxy/dev/chain.h"
#include "proxy/dev/config_form.h"

namespace mooring::dev {
namespace {

struct EntryName {
  std::string kind;
  std::string name;  // empty: all of the kind
};

EntryName NameIn(const std::string& rest) {
  const std::size_t slash = rest.find('/');
  if (slash == std::string::npos) return {rest, ""};
  return {rest.substr(0, slash), rest.substr(slash + 1)};
}

}  // namespace

void Agent::GetConfig(const Call& call) {
  const EntryName wanted = NameIn(call.rest);
  if (const Status known = CheckKind(wanted.kind, options_.like); !known) {
    AnswerText(call, 500, known.error().message);
    return;
  }
  const bool intentions = wanted.kind == kServiceIntentions;
  const auto document = [this, wanted, intentions]() -> Json {
    if (!wanted.name.empty()) {
      return intentions ? intentions_.EntryDocument(wanted.name)
                        : entries_.Document(wanted.kind, wanted.name);
    }
    if (!intentions) return entries_.Documents(wanted.kind);
    Json list = Json::array();
    for (const std::string& name : intentions_.EntryNames())
      list.push_back(intentions_.EntryDocument(name));
    return list;
  };
  const auto index = [this, intentions] {
    return intentions ? intentions_.index() : entries_.index();
  };
  AnswerIndexed(call, index, document, Meta::kPlain,
                "Config entry not found for \"" + wanted.kind + "\" / \"" + wanted.name + '"');
}

// CasOf reads `cas`: the index that the entry must have, 0 for none. Nothing: write in any case.
Result<std::optional<std::uint64_t>> Agent::CasOf(const Call& call) const {
  const std::string* text = call.request.Query("cas");
  if (text == nullptr || text->empty()) return std::optional<std::uint64_t>();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size())
    return Invalid("cas: \"" + *text + "\" is no index");
  return std::optional(value);
}

std::uint64_t Agent::EntryIndex(const std::string& kind, const std::string& name) const {
  return kind == kServiceIntentions ? intentions_.EntryIndex(name)
                                    : entries_.EntryIndex(kind, name);
}

void Agent::PutConfig(const Call& call) {
  const Result<Json> body = ParseBody(call.request.body);
  Result<Json> entry = body ? ConfigForm(*body, options_.like) : Result<Json>(body.error());
  if (!entry) {
    AnswerText(call, 400, "Request decoding failed: " + entry.error().message);
    return;
  }
  const std::string kind = entry->value("Kind", "");
  const std::string name = NameOf(*entry);
  const auto cas = CasOf(call);
  if (!cas) {
    AnswerText(call, 500, cas.error().message);
    return;
  }
  if (*cas && **cas != EntryIndex(kind, name)) {
    AnswerJson(call, false);
    return;
  }
  if (const Status done = StoreEntry(kind, name, *std::move(entry)); !done) {
    AnswerText(call, 500, done.error().message);
    return;
  }
  log_.Info("dev", "config entry written", {{"kind", kind}, {"name", name}});
  AnswerJson(call, true);
}

Status Agent::StoreEntry(const std::string& kind, const std::string& name, Json entry) {
  if (kind == kServiceIntentions) {
    const Status written = intentions_.WriteEntry(entry);
    if (written && name != "*") state_.GiveVirtualAddress(name);
    return written;
  }
  if (kind != "service-resolver") {
    entries_.Put(std::move(entry));
    return Ok();
  }
  // A chain that cannot be compiled must not come into force.
  Index nowhere;
  ConfigEntries tried(nowhere, [] {});
  for (const Json& other : entries_.Documents(kind)) tried.Put(other);
  tried.Put(entry);
  for (const Json& resolver : tried.Documents(kind)) {
    const auto chain = CompileChain(NameOf(resolver), options_.datacenter, trust_domain(), tried);
    if (!chain) return chain.error();
  }
  state_.GiveVirtualAddress(name);
  entries_.Put(std::move(entry));
  return Ok();
}

void Agent::DeleteConfig(const Call& call) {
  const EntryName wanted = NameIn(call.rest);
  if (wanted.name.empty()) {
    AnswerText(call, 404, "Must provide both a kind and name to delete");
    return;
  }
  if (const Status known = CheckKind(wanted.kind, options_.like); !known) {
    AnswerText(call, 400, known.error().message);
    return;
  }
  const auto cas = CasOf(call);
  if (!cas) {
    AnswerText(call, 500, cas.error().message);
    return;
  }
  if (*cas && **cas != EntryIndex(wanted.kind, wanted.name)) {
    AnswerJson(call, false);
    return;
  }
  const bool gone = wanted.kind == kServiceIntentions ? intentions_.EraseEntry(wanted.name)
                                                      : entries_.Delete(wanted.kind, wanted.name);
  if (gone) {
    log_.Info("dev", "config entry deleted", {{"kind", wanted.kind}, {"name", wanted.name}});
  }
  if (*cas) {
    AnswerJson(call, gone);
    return;
  }
  AnswerJson(call, Json::object());
}

void Agent::GetChain(const Call& call) {
  if (call.rest.empty()) {
    AnswerText(call, 400, "Missing chain name");
    return;
  }
  const std::string name = call.rest;
  const std::string* compile = call.request.Query("compile-dc");
  const std::string datacenter =
      compile != nullptr && !compile->empty() ? *compile : options_.datacenter;
  if (auto chain = CompileChain(name, datacenter, trust_domain(), entries_); !chain) {
    AnswerText(call, 500, chain.error().message);
    return;
  }
  AnswerIndexed(
      call, [this] { return entries_.index(); },
      [this, name, datacenter]() -> Json {
        auto chain = CompileChain(name, datacenter, trust_domain(), entries_);
        if (!chain) return nullptr;
        const std::string address = state_.VirtualAddress(name);
        (*chain)["AutoVirtualIPs"] = address.empty() ? Json::array() : Json::array({address});
        (*chain)["ManualVirtualIPs"] = Json::array();
        return {{"Chain", *std::move(chain)}};
      },
      Meta::kServer, "the chain cannot be compiled any more");
}

}  // namespace mooring::dev
