// Leaf, roots, intentions and authorize; and what every decoder refuses.
#include "authz/consul/api.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mooring::authz {
namespace {

using namespace std::string_literals;

bool Mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

template <typename T>
std::string MessageOf(const Result<T>& result) {
  return result.has_value() ? "no error" : result.error().message;
}

// As Consul 1.8.7 sends it, certificate texts shortened.
const std::string kLeaf = R"({"SerialNumber":"08",
  "CertPEM":"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
  "PrivateKeyPEM":"-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n",
  "Service":"web","ServiceURI":"spiffe://a9540554.consul/ns/default/dc/dc1/svc/web",
  "ValidAfter":"2026-11-23T01:02:47Z","ValidBefore":"2026-11-26T01:02:47Z",
  "CreateIndex":19,"ModifyIndex":19})";

const std::string kRoots = R"({"ActiveRootID":"c2:d1:34",
  "TrustDomain":"a9540554-c846-a4e4-0348-1fc3612015e5.consul","Roots":[
  {"ID":"c2:d1:34","Name":"Consul CA Root Cert","SerialNumber":7,"SigningKeyID":"9e:a9",
   "ExternalTrustDomain":"a9540554-c846-a4e4-0348-1fc3612015e5",
   "NotBefore":"2026-11-23T01:03:02Z","NotAfter":"2036-11-23T01:03:02Z",
   "RootCert":"-----BEGIN CERTIFICATE-----\nnew\n","IntermediateCerts":null,"Active":true,
   "PrivateKeyType":"ec","PrivateKeyBits":256,"CreateIndex":9,"ModifyIndex":9},
  {"ID":"aa:bb","Name":"old","RootCert":"-----BEGIN CERTIFICATE-----\nold\n","Active":false}]})";

TEST_CASE("consul: a leaf answer is read") {
  const auto leaf = ParseLeaf(kLeaf);
  REQUIRE(leaf.has_value());
  CHECK(leaf->certificate_pem == "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  CHECK(leaf->private_key_pem ==
        "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n");
}

TEST_CASE("consul: a leaf answer without a certificate or a key is refused") {
  CHECK(Mentions(MessageOf(ParseLeaf(R"({"PrivateKeyPEM":"k"})")), "CertPEM is missing"));
  CHECK(Mentions(MessageOf(ParseLeaf(R"({"CertPEM":"c"})")), "PrivateKeyPEM is missing"));
  CHECK(Mentions(MessageOf(ParseLeaf(R"({"CertPEM":"c","PrivateKeyPEM":null})")),
                 "PrivateKeyPEM is missing"));
  CHECK(Mentions(MessageOf(ParseLeaf(R"({"CertPEM":"c","PrivateKeyPEM":""})")),
                 "PrivateKeyPEM is missing"));
  CHECK(Mentions(MessageOf(ParseLeaf(R"({"CertPEM":"c","PrivateKeyPEM":["k"]})")),
                 "PrivateKeyPEM must be text, not a list"));
}

TEST_CASE("consul: no error message repeats a private key") {
  const std::string key = "VERYSECRETKEYBYTES";
  for (const std::string& body :
       {R"({"CertPEM":"","PrivateKeyPEM":")" + key + R"("})",
        R"({"CertPEM":"c","PrivateKeyPEM":")" + key,              // cut inside the key
        R"({"CertPEM":"c","PrivateKeyPEM":")" + key + "\xff\"}",  // not UTF-8
        R"({"CertPEM":"c","PrivateKeyPEM":")" + key + "\n\"}",    // a raw control character
        R"({"CertPEM":"c","PrivateKeyPEM":")" + key + "\\x\"}",   // a bad escape
        R"({"CertPEM":"c","PrivateKeyPEM":")" + key + "\\u0000\"}"}) {
    CAPTURE(body);
    const auto leaf = ParseLeaf(body);
    REQUIRE_FALSE(leaf.has_value());
    CHECK_FALSE(Mentions(leaf.error().message, "SECRET"));
  }
}

TEST_CASE("consul: every root is kept, active or not") {
  const auto roots = ParseRoots(kRoots);
  REQUIRE(roots.has_value());
  CHECK(roots->trust_domain == "a9540554-c846-a4e4-0348-1fc3612015e5.consul");
  CHECK(roots->pems == std::vector<std::string>{"-----BEGIN CERTIFICATE-----\nnew\n",
                                                "-----BEGIN CERTIFICATE-----\nold\n"});
}

TEST_CASE("consul: roots that must not replace good ones are refused") {
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"td","Roots":[]})")), "Roots is empty"));
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"td","Roots":null})")), "Roots is empty"));
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"td"})")), "Roots is empty"));
  CHECK(Mentions(MessageOf(ParseRoots("null")), "TrustDomain is missing"));
  CHECK(
      Mentions(MessageOf(ParseRoots(R"({"Roots":[{"RootCert":"x"}]})")), "TrustDomain is missing"));
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"A b","Roots":[{"RootCert":"x"}]})")),
                 "TrustDomain is not a SPIFFE trust domain"));
  // One root without a certificate is a broken answer, not a shorter list.
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"td","Roots":[{"RootCert":"x"},{}]})")),
                 "Roots[1].RootCert is missing"));
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"td","Roots":[null]})")),
                 "Roots[0] must be an object, not null"));
  CHECK(Mentions(MessageOf(ParseRoots(R"({"TrustDomain":"td","Roots":{"a":1}})")),
                 "Roots must be a list, not an object"));
}

TEST_CASE("consul: a match list of 1.8 is read") {
  const auto list = ParseIntentionMatch(
      R"({"db":[{"ID":"34460a50-1","Description":"","SourceNS":"default","SourceName":"web",
         "DestinationNS":"default","DestinationName":"db","SourceType":"consul","Action":"deny",
         "DefaultAddr":"","DefaultPort":0,"Meta":{},"Precedence":9,"CreatedAt":"2026",
         "UpdatedAt":"2026","Hash":"+Gt2","CreateIndex":51,"ModifyIndex":51},
        {"ID":"34460a50-2","SourceNS":"default","SourceName":"*","DestinationNS":"default",
         "DestinationName":"*","SourceType":"consul","Action":"allow","Precedence":5.0}]})",
      "db");
  REQUIRE(list.has_value());
  REQUIRE(list->size() == 2);
  CHECK(list->at(0).id == "34460a50-1");
  CHECK(list->at(0).source_ns == "default");
  CHECK(list->at(0).source_name == "web");
  CHECK(list->at(0).destination_ns == "default");
  CHECK(list->at(0).destination_name == "db");
  CHECK(list->at(0).action == Action::kDeny);
  CHECK(list->at(0).precedence == 9);
  CHECK(list->at(0).unjudgeable.empty());
  CHECK(list->at(1).action == Action::kAllow);
  CHECK(list->at(1).precedence == 5);
}

TEST_CASE("consul: no entries is an answer, no answer is none") {
  CHECK(ParseIntentionMatch(R"({"db":null})", "db")->empty());
  CHECK(ParseIntentionMatch(R"({"db":[]})", "db")->empty());
  CHECK(Mentions(MessageOf(ParseIntentionMatch("{}", "db")), "db is missing"));
  CHECK(Mentions(MessageOf(ParseIntentionMatch("null", "db")), "db is missing"));
  CHECK(Mentions(MessageOf(ParseIntentionMatch(R"({"web":[]})", "db")), "db is missing"));
  CHECK(Mentions(MessageOf(ParseIntentionMatch(R"({"DB":[]})", "db")), "db is missing"));
  CHECK(Mentions(MessageOf(ParseIntentionMatch("[]", "db")), "must be an object"));
}

// One entry for db from web that says `fields`, as the only one of a match list.
Result<std::vector<Intention>> MatchOne(const std::string& fields) {
  return ParseIntentionMatch(
      R"({"db":[{"SourceName":"web","DestinationName":"db")" + fields + "}]}", "db");
}

TEST_CASE("consul: entries of newer agents are allowed, or counted as deny with the reason") {
  struct Row {
    const char* fields;
    const char* unjudgeable;  // a part of it; "" for none
    bool allowed;
  };
  const std::vector<Row> rows = {
      {R"(,"Action":"allow")", "", true},
      {R"(,"Action":"allow","ID":null,"SourceNS":null,"SourceType":null,"Precedence":null)", "",
       true},
      {R"(,"Action":"allow","Permissions":null,"JWT":null,"SourcePeer":null)", "", true},
      {R"(,"Action":"allow","Permissions":[],"SourcePeer":"","SourcePartition":"")", "", true},
      {R"(,"Action":"allow","SourcePartition":"default","DestinationPartition":"default")", "",
       true},
      {R"(,"Action":"allow","SourceNS":"","SourceType":"")", "", true},
      {R"(,"Action":"deny")", "", false},
      {R"(,"Permissions":[{"Action":"allow","HTTP":{"PathExact":"/"}}])", "L7 permissions", false},
      {R"(,"Action":"","Permissions":[{"Action":"allow"}])", "L7 permissions", false},
      {R"(,"Action":"allow","Permissions":[{"Action":"allow"}])", "L7 permissions", false},
      {R"(,"Action":"allow","Permissions":[{}])", "L7 permissions", false},
      {R"(,"Action":"allow","JWT":{"Providers":[{"Name":"okta"}]})", "JWT", false},
      {R"(,"Action":"allow","JWT":{})", "JWT", false},
      {R"(,"Action":"allow","JWT":true)", "JWT", false},
      {R"(,"Action":"allow","SourceSamenessGroup":"group")", "sameness group", false},
      {R"(,"Action":"allow","SourceType":"external")", "source type \"external\"", false},
      {R"(,"Action":"allow","SourceType":"Consul")", "source type", false},
      {R"(,"Action":"ALLOW")", "action \"ALLOW\"", false},
      {R"(,"Action":"allow ")", "action", false},
      {R"(,"Action":"log")", "action \"log\"", false},
      {R"(,"Action":"")", "no action", false},
      {R"(,"Action":null)", "no action", false},
      {"", "no action", false},
      {R"(,"action":"allow")", "no action", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.fields);
    const auto list = MatchOne(row.fields);
    REQUIRE(list.has_value());
    REQUIRE(list->size() == 1);
    if (*row.unjudgeable == '\0') {
      CHECK(list->front().unjudgeable == "");
    } else {
      CHECK(Mentions(list->front().unjudgeable, row.unjudgeable));
    }
    ServiceId web{.trust_domain = "td",
                  .partition = "",
                  .ns = "default",
                  .datacenter = "dc1",
                  .service = "web"};
    const IntentionSet set(*list);
    CHECK(set.Decide(web, DefaultPolicy::kAllow).allowed == row.allowed);
    CHECK_FALSE(set.Decide(web, DefaultPolicy::kAllow).by_default);
    CHECK(set.entries().front().precedence == 9);
  }
}

TEST_CASE("consul: an entry for a peer's callers is read, and covers none of ours") {
  for (const char* action : {"allow", "deny"}) {
    const auto list =
        MatchOne(R"(,"SourcePeer":"cluster-2","Action":")" + std::string(action) + '"');
    REQUIRE(list.has_value());
    CHECK(list->front().source_peer == "cluster-2");
    const ServiceId web{.trust_domain = "td",
                        .partition = "",
                        .ns = "default",
                        .datacenter = "dc1",
                        .service = "web"};
    for (const DefaultPolicy policy : {DefaultPolicy::kAllow, DefaultPolicy::kDeny}) {
      const Decision decision = IntentionSet(*list).Decide(web, policy);
      CHECK(decision.by_default);
      CHECK(decision.allowed == (policy == DefaultPolicy::kAllow));
    }
  }
}

TEST_CASE("consul: a source partition is read and covers its own callers") {
  const auto list = MatchOne(R"(,"Action":"allow","SourcePartition":"billing","SourceNS":"team")");
  REQUIRE(list.has_value());
  CHECK(list->front().source_partition == "billing");
  CHECK(list->front().source_ns == "team");
  ServiceId web{.trust_domain = "td",
                .partition = "billing",
                .ns = "team",
                .datacenter = "dc1",
                .service = "web"};
  CHECK(IntentionSet(*list).Decide(web, DefaultPolicy::kDeny).allowed);
  web.partition = "";
  CHECK_FALSE(IntentionSet(*list).Decide(web, DefaultPolicy::kDeny).allowed);
}

TEST_CASE("consul: a match list with an entry that cannot be placed is refused whole") {
  const auto fault = [](const std::string& entry) {
    return MessageOf(ParseIntentionMatch(
        R"({"db":[{"SourceName":"a","DestinationName":"db","Action":"allow"},)" + entry + "]}",
        "db"));
  };
  CHECK(Mentions(fault(R"({"DestinationName":"db","Action":"allow"})"),
                 "db[1].SourceName is missing"));
  CHECK(Mentions(fault(R"({"SourceName":"","DestinationName":"db"})"),
                 "db[1].SourceName is missing"));
  CHECK(Mentions(fault(R"({"SourceName":"web","Action":"allow"})"),
                 "db[1].DestinationName is missing"));
  CHECK(Mentions(fault(R"({"SourceName":"web","DestinationName":"other","Action":"allow"})"),
                 "db[1].DestinationName names another service"));
  CHECK(Mentions(fault(R"({"SourceName":7,"DestinationName":"db"})"),
                 "db[1].SourceName must be text, not a number"));
  CHECK(Mentions(fault(R"({"SourceName":"web","DestinationName":"db","Action":true})"),
                 "db[1].Action must be text, not a boolean"));
  CHECK(Mentions(fault(R"({"SourceName":"web","DestinationName":"db","Permissions":{}})"),
                 "db[1].Permissions must be a list, not an object"));
  CHECK(Mentions(fault(R"({"SourceName":"web","DestinationName":"db","Precedence":8.5})"),
                 "db[1].Precedence must be a whole number"));
  CHECK(Mentions(fault(R"({"SourceName":"web","DestinationName":"db","Precedence":-1})"),
                 "db[1].Precedence is out of range"));
  CHECK(Mentions(fault(R"({"SourceName":"web","DestinationName":"db","Precedence":99999999999})"),
                 "db[1].Precedence is out of range"));
  CHECK(Mentions(fault(R"({"SourceName":"w\u0000b","DestinationName":"db"})"),
                 "db[1].SourceName holds a NUL character"));
  CHECK(Mentions(fault("null"), "db[1] must be an object, not null"));
  CHECK(Mentions(fault("\"x\""), "db[1] must be an object, not text"));
  CHECK(Mentions(
      fault(R"({"SourceName":"web","DestinationName":"db","Action":"deny","Action":"allow"})"),
      "has the key \"Action\" twice"));
}

TEST_CASE("consul: 1.8 finds a destination in any letter case") {
  CHECK(ParseIntentionMatch(
            R"({"DB":[{"SourceName":"web","DestinationName":"db","Action":"allow"}]})", "DB")
            .has_value());
}

TEST_CASE("consul: an authorize answer is a plain yes or no") {
  const auto yes = ParseAuthorize(
      R"({"Authorized":true,"Reason":"ACLs disabled, access is allowed by default"})");
  REQUIRE(yes.has_value());
  CHECK(yes->authorized);
  CHECK(yes->reason == "ACLs disabled, access is allowed by default");
  const auto no = ParseAuthorize(
      R"({"Authorized":false,"Reason":"Matched intention: DENY default/web =\u003e default/db"})");
  REQUIRE(no.has_value());
  CHECK_FALSE(no->authorized);
  CHECK(no->reason == "Matched intention: DENY default/web => default/db");
  for (const char* body :
       {"{}", "null", R"({"Authorized":null})", R"({"Authorized":"true"})", R"({"Authorized":1})",
        R"({"authorized":true})", R"({"Authorized":false,"Authorized":true})", "true", "[true]"}) {
    CAPTURE(body);
    CHECK_FALSE(ParseAuthorize(body).has_value());
  }
}

struct Decoder {
  const char* name;
  std::function<std::string(const std::string&)> message;
};

const std::vector<Decoder>& AllDecoders() {
  static const std::vector<Decoder> decoders = {
      {"leaf", [](const std::string& body) { return MessageOf(ParseLeaf(body)); }},
      {"roots", [](const std::string& body) { return MessageOf(ParseRoots(body)); }},
      {"match", [](const std::string& body) { return MessageOf(ParseIntentionMatch(body, "db")); }},
      {"authorize", [](const std::string& body) { return MessageOf(ParseAuthorize(body)); }},
      {"instances", [](const std::string& body) { return MessageOf(ParseInstances(body)); }},
      {"query", [](const std::string& body) { return MessageOf(ParseQuery(body)); }},
      {"proxy", [](const std::string& body) { return MessageOf(ParseProxy(body)); }},
      {"sidecars", [](const std::string& body) { return MessageOf(ParseSidecars(body, "db-1")); }},
  };
  return decoders;
}

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST_CASE("consul: hostile bodies are refused by every decoder, with the reason") {
  struct Row {
    std::string body;
    std::string reason;
  };
  const std::vector<Row> rows = {
      {"", "is empty"},
      {" ", "not valid JSON"},
      {"{", "not valid JSON"},
      {"[{]", "not valid JSON"},
      {"{}}", "not valid JSON"},
      {"{} {}", "not valid JSON"},
      {"{\"a\":1,}", "not valid JSON"},
      {"{'a':1}", "not valid JSON"},
      {"{\"a\":NaN}", "not valid JSON"},
      {"{\"a\":01}", "not valid JSON"},
      {"{\"a\":1e999}", "not valid JSON"},
      {"{/*x*/}", "not valid JSON"},
      {"Permission denied", "not valid JSON"},
      {"<html></html>", "not valid JSON"},
      {"{\"a\":\"\xff\"}", "not valid JSON"},
      {"{\"a\":\"\xc0\xaf\"}", "not valid JSON"},      // overlong slash
      {"{\"a\":\"\xed\xa0\x80\"}", "not valid JSON"},  // half of a surrogate pair
      {"{\"a\":\"\\ud800\"}", "not valid JSON"},       // the same, escaped
      {"{\"\xff\":1}", "not valid JSON"},
      {"{}\0{\"a\":1}"s, "NUL byte"},
      {"\0"s, "NUL byte"},
      {"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", "key \"a\" twice"},
      {"[{\"k\":null,\"k\":null}]", "key \"k\" twice"},
      {Repeat("[", 65) + Repeat("]", 65), "deeper than 64"},
      {Repeat("{\"a\":", 65) + "1" + Repeat("}", 65), "deeper than 64"},
      {Repeat("[", 100000), "deeper than 64"},
      {Repeat("{\"a\":[", 100000), "deeper than 64"},
  };
  for (const Decoder& decoder : AllDecoders()) {
    CAPTURE(decoder.name);
    for (const Row& row : rows) {
      CAPTURE(row.body.substr(0, 80));
      CHECK(Mentions(decoder.message(row.body), row.reason));
    }
  }
}

TEST_CASE("consul: an answer cut at any byte is refused") {
  for (std::size_t cut = 0; cut < kLeaf.size(); ++cut) {
    CHECK_FALSE(ParseLeaf(std::string_view(kLeaf).substr(0, cut)).has_value());
  }
  for (std::size_t cut = 0; cut < kRoots.size(); ++cut) {
    CHECK_FALSE(ParseRoots(std::string_view(kRoots).substr(0, cut)).has_value());
  }
}

TEST_CASE("consul: an answer with any byte changed is read or refused, never worse") {
  for (std::size_t at = 0; at < kRoots.size(); ++at) {
    for (const char byte : {'\0', '"', '{', '}', '[', ']', ',', '0', '\\', '\x80', '\n'}) {
      std::string body = kRoots;
      body[at] = byte;
      const auto roots = ParseRoots(body);
      if (roots.has_value()) CHECK_FALSE(roots->pems.empty());
    }
  }
}

TEST_CASE("consul: 64 levels and a byte order mark are harmless") {
  const std::string deep = Repeat("[", 62) + Repeat("]", 62);  // below Meta, below the object
  CHECK(ParseAuthorize(R"({"Authorized":true,"Meta":[)" + deep + "]}").has_value());
  CHECK_FALSE(ParseAuthorize(R"({"Authorized":true,"Meta":[[)" + deep + "]]}").has_value());
  CHECK(ParseAuthorize("\xEF\xBB\xBF{\"Authorized\":true}").has_value());
}

TEST_CASE("consul: a foreign key in a message is shortened") {
  const std::string key = "\\u001b" + std::string(500, 'k');
  const auto answer = ParseAuthorize("{\"" + key + "\":1,\"" + key + "\":2}");
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().message.size() < 200);
}

TEST_CASE("consul: more values than any agent sends are refused before they fill the memory") {
  std::string body = "[";
  body += Repeat("0,", 4'000'000);
  body += "0]";
  CHECK(Mentions(MessageOf(ParseInstances(body)), "more than 4000000 values"));
}

}  // namespace
}  // namespace mooring::authz
