#include "proxy/dev/queries.h"

#include <utility>

#include "proxy/dev/identifier.h"

namespace mooring::dev {

Json PreparedQuery::Document() const {
  return {{"ID", id},
          {"Name", name},
          {"Session", ""},
          {"Token", ""},
          {"Template", {{"Type", ""}, {"Regexp", ""}, {"RemoveEmptyTags", false}}},
          {"Service",
           {{"Service", service},
            {"Failover", failover},
            {"OnlyPassing", only_passing},
            {"IgnoreCheckIDs", nullptr},
            {"Near", ""},
            {"Tags", tags.empty() ? Json(nullptr) : Json(tags)},
            {"NodeMeta", nullptr},
            {"ServiceMeta", nullptr},
            {"Connect", connect}}},
          {"DNS", {{"TTL", ttl}}},
          {"CreateIndex", create_index},
          {"ModifyIndex", modify_index}};
}

Result<PreparedQuery> ParseQuery(std::string_view body) {
  const Result<Json> parsed = ParseBody(body);
  if (!parsed) return Invalid("Request decode failed: " + parsed.error().message);
  std::string fault;
  const Fields fields(&*parsed, "", &fault);
  const Fields service = fields.Child("Service");
  PreparedQuery query;
  query.id = fields.Text("ID");
  query.name = fields.Text("Name");
  query.service = service.Text("Service");
  query.only_passing = service.Flag("OnlyPassing");
  query.connect = service.Flag("Connect");
  query.tags = service.Texts("Tags");
  query.failover = service.Object("Failover");
  query.ttl = fields.Child("DNS").Text("TTL");
  const std::string kind = fields.Child("Template").Text("Type");
  if (!fault.empty()) return Invalid("Request decode failed: " + fault);
  if (!kind.empty()) return Invalid("mooring dev knows no query templates: leave Template out");
  for (const char* filter : {"NodeMeta", "ServiceMeta"}) {
    if (!service.Object(filter).empty()) {
      return Invalid(std::string("mooring dev knows no filter by ") + filter + ": leave it out");
    }
  }
  if (query.service.empty()) {
    return Invalid("Invalid prepared query: Must provide a Service name to query");
  }
  return query;
}

Result<std::string> Queries::Put(PreparedQuery query) {
  for (const auto& [id, other] : queries_) {
    if (!query.name.empty() && other.name == query.name && id != query.id) {
      return Invalid("name '" + query.name + "' aliases an existing query name");
    }
  }
  const std::uint64_t index = index_.Next();
  query.create_index = query.modify_index = index;
  if (query.id.empty()) {
    query.id = NewUuid();
  } else if (const PreparedQuery* old = Find(query.id)) {
    query.create_index = old->create_index;
  } else {
    return Error{ErrorCode::kNotFound,
                 "Cannot modify non-existent prepared query: '" + query.id + "'"};
  }
  std::string id = query.id;
  queries_.insert_or_assign(id, std::move(query));
  return id;
}

bool Queries::Delete(const std::string& id) {
  if (queries_.erase(id) == 0) return false;
  index_.Next();
  return true;
}

const PreparedQuery* Queries::Find(const std::string& id) const {
  const auto found = queries_.find(id);
  return found == queries_.end() ? nullptr : &found->second;
}

const PreparedQuery* Queries::FindByIdOrName(const std::string& text) const {
  if (const PreparedQuery* query = Find(text)) return query;
  for (const auto& [id, query] : queries_) {
    if (!text.empty() && query.name == text) return &query;
  }
  return nullptr;
}

}  // namespace mooring::dev
