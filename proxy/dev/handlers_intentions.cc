// The part of the API about intentions. Most errors have status 500, as in Consul 1.8, whose
// clients show the text and nothing else.
#include <algorithm>
#include <chrono>
#include <utility>

#include "authz/rfc3339.h"
#include "proxy/dev/agent.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

struct Name {
  std::string ns = "default";
  std::string name;
};

// ParseName reads `name` or `namespace/name`.
Result<Name> ParseName(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return Name{.ns = "default", .name = text};
  if (text.find('/', slash + 1) != std::string::npos) {
    return Invalid("name \"" + text + "\" is invalid: input can contain at most one '/'");
  }
  return Name{.ns = text.substr(0, slash), .name = text.substr(slash + 1)};
}

// QueryName reads a required query parameter that holds a name.
Result<Name> QueryName(const http::ServerRequest& request, const char* parameter) {
  const std::string* text = request.Query(parameter);
  if (text == nullptr || text->empty()) {
    return Invalid(std::string("required query parameter '") + parameter + "' not set");
  }
  return ParseName(*text);
}

struct Pair {
  Name source;
  Name destination;
};

Result<Pair> QueryPair(const http::ServerRequest& request) {
  auto source = QueryName(request, "source");
  if (!source) return source.error();
  auto destination = QueryName(request, "destination");
  if (!destination) return destination.error();
  return Pair{*std::move(source), *std::move(destination)};
}

std::string Now() { return authz::Rfc3339(std::chrono::system_clock::now(), 9); }

}  // namespace

void Agent::ListIntentions(const Call& call) {
  AnswerIndexed(
      call, [this] { return intentions_.index(); },
      [this] {
        Json out = Json::array();
        for (const StoredIntention* entry : intentions_.All())
          out.push_back(entry->Document(options_.like));
        return out;
      },
      Meta::kPlain);
}

void Agent::CreateIntention(const Call& call) {
  auto parsed = ParseIntention(call.request.body, options_.like);
  auto id =
      parsed ? intentions_.Create(*std::move(parsed), Now()) : Result<std::string>(parsed.error());
  if (!id) {
    AnswerText(call, 500, id.error().message);
    return;
  }
  log_.Info("dev", "intention created",
            {{"intention", intentions_.Find(*id)->Text(options_.like)}});
  AnswerJson(call, {{"ID", *id}});
}

void Agent::GetIntention(const Call& call) {
  const std::string id = call.rest;
  if (!IsUuid(id)) {
    AnswerBad(call, "failed intention lookup: index error: UUID must be 36 characters");
    return;
  }
  if (intentions_.Find(id) == nullptr) {
    AnswerText(call, 404, "Intention not found");
    return;
  }
  AnswerIndexed(
      call, [this] { return intentions_.index(); },
      [this, id] {
        const StoredIntention* entry = intentions_.Find(id);
        return entry != nullptr ? entry->Document(options_.like) : Json(nullptr);
      },
      Meta::kNone, "Intention not found");
}

void Agent::UpdateIntention(const Call& call) {
  auto parsed = ParseIntention(call.request.body, options_.like);
  const Status updated =
      parsed ? intentions_.Update(call.rest, *std::move(parsed), Now()) : Status(parsed.error());
  if (!updated) {
    AnswerText(call, 500, updated.error().message);
    return;
  }
  log_.Info("dev", "intention updated",
            {{"intention", intentions_.Find(call.rest)->Text(options_.like)}});
  AnswerJson(call, {{"ID", call.rest}});
}

void Agent::DeleteIntention(const Call& call) {
  if (!IsUuid(call.rest)) {
    AnswerText(call, 500,
               "Intention lookup failed: failed intention lookup: index error: UUID must be 36 "
               "characters");
    return;
  }
  const StoredIntention* entry = intentions_.Find(call.rest);
  if (entry == nullptr) {
    AnswerText(call, 500, "Cannot delete non-existent intention: '" + call.rest + "'");
    return;
  }
  const std::string text = entry->Text(options_.like);
  if (const Status gone = intentions_.Delete(call.rest); !gone) {
    AnswerText(call, 500, gone.error().message);
    return;
  }
  log_.Info("dev", "intention deleted", {{"intention", text}});
  AnswerJson(call, true);
}

void Agent::MatchIntentions(const Call& call) {
  const std::string* by = call.request.Query("by");
  if (by == nullptr) {
    AnswerText(call, 500, "required query parameter 'by' not set");
    return;
  }
  if (*by != "source" && *by != "destination") {
    AnswerText(call, 500, "'by' parameter must be one of 'source' or 'destination'");
    return;
  }
  const auto [first, last] = call.request.query.equal_range("name");
  if (first == last) {
    AnswerText(call, 500, "required query parameter 'name' not set");
    return;
  }
  std::vector<std::pair<std::string, Name>> names;
  for (auto entry = first; entry != last; ++entry) {
    auto name = ParseName(entry->second);
    if (!name) {
      AnswerText(call, 500, name.error().message);
      return;
    }
    names.emplace_back(entry->second, *std::move(name));
  }
  AnswerIndexed(
      call, [this] { return intentions_.index(); },
      [this, names,
       side = *by == "source" ? Intentions::By::kSource : Intentions::By::kDestination] {
        Json out = Json::object();
        for (const auto& [asked, name] : names) {
          Json list = nullptr;  // as Consul writes an empty list here
          for (const StoredIntention* entry : intentions_.Match(side, name.ns, name.name)) {
            list.push_back(entry->Document(options_.like));
          }
          out[asked] = std::move(list);
        }
        return out;
      },
      Meta::kServer);
}

void Agent::CheckIntention(const Call& call) {
  const auto pair = QueryPair(call.request);
  if (!pair) {
    AnswerText(call, 500, pair.error().message);
    return;
  }
  const std::string* type = call.request.Query("source-type");
  if (type != nullptr && !type->empty() && *type != "consul") {
    AnswerText(call, 500, "unsupported SourceType: \"" + *type + "\"");
    return;
  }
  const StoredIntention* decided = intentions_.Decide(pair->source.ns, pair->source.name,
                                                      pair->destination.ns, pair->destination.name);
  const bool allowed = decided != nullptr ? decided->Allows() : AllowsByDefault();
  AnswerJson(call, {{"Allowed", allowed}});
}

void Agent::GetExactIntention(const Call& call) {
  const auto pair = QueryPair(call.request);
  if (!pair) {
    AnswerBad(call, pair.error().message);
    return;
  }
  const auto find = [this, wanted = *pair] {
    return intentions_.FindExact(wanted.source.ns, wanted.source.name, wanted.destination.ns,
                                 wanted.destination.name);
  };
  if (find() == nullptr) {
    AnswerText(call, 404, "Intention not found");
    return;
  }
  AnswerIndexed(
      call, [this] { return intentions_.index(); },
      [this, find] {
        const StoredIntention* entry = find();
        return entry != nullptr ? entry->Document(options_.like) : Json(nullptr);
      },
      Meta::kNone, "Intention not found");
}

void Agent::PutExactIntention(const Call& call) {
  const auto pair = QueryPair(call.request);
  if (!pair) {
    AnswerBad(call, pair.error().message);
    return;
  }
  auto parsed = ParseIntention(call.request.body, options_.like);
  if (!parsed) {
    AnswerBad(call, parsed.error().message);
    return;
  }
  authz::Intention& rule = parsed->rule;
  if ((!rule.source_name.empty() && rule.source_name != pair->source.name) ||
      (!rule.destination_name.empty() && rule.destination_name != pair->destination.name)) {
    AnswerBad(call, "the names in the body differ from those in the query");
    return;
  }
  rule.id.clear();
  rule.source_ns = pair->source.ns;
  rule.source_name = pair->source.name;
  rule.destination_ns = pair->destination.ns;
  rule.destination_name = pair->destination.name;
  if (const Status done = intentions_.Write(*std::move(parsed), Now()); !done) {
    IsOld() ? AnswerBad(call, done.error().message) : AnswerText(call, 500, done.error().message);
    return;
  }
  log_.Info("dev", "intention written",
            {{"source", pair->source.name}, {"destination", pair->destination.name}});
  AnswerJson(call, true);
}

void Agent::DeleteExactIntention(const Call& call) {
  const auto pair = QueryPair(call.request);
  if (!pair) {
    AnswerBad(call, pair.error().message);
    return;
  }
  if (const Status gone = intentions_.Erase(pair->source.ns, pair->source.name,
                                            pair->destination.ns, pair->destination.name);
      !gone) {
    AnswerText(call, 500, gone.error().message);
    return;
  }
  log_.Info("dev", "intention deleted",
            {{"source", pair->source.name}, {"destination", pair->destination.name}});
  AnswerJson(call, true);
}

}  // namespace mooring::dev
