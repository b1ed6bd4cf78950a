// The mesh config entry, as Consul 1.21 answers it and as nobody should.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "authz/consul/api.h"

namespace mooring::authz {
namespace {

// As received, but for the number of its Hash.
constexpr char kRecorded[] = R"({
    "Kind": "mesh",
    "TransparentProxy": {"MeshDestinationsOnly": false},
    "TLS": {"Incoming": {"TLSMinVersion": "TLSv1_3"}, "Outgoing": {"TLSMinVersion": "TLSv1_2"}},
    "Hash": 5678128631699815643, "CreateIndex": 31, "ModifyIndex": 31})";

std::string Problem(const std::string& body) {
  const auto parsed = ParseMesh(body);
  return parsed ? "" : parsed.error().message;
}

}  // namespace

TEST_CASE("mesh entry: what Consul 1.21 answers") {
  const auto mesh = ParseMesh(kRecorded);
  REQUIRE(mesh);
  CHECK(mesh->exists);
  CHECK(mesh->incoming.min_version == "TLSv1_3");
  CHECK(mesh->incoming.max_version.empty());
  CHECK(mesh->incoming.cipher_suites.empty());
  CHECK(mesh->outgoing.min_version == "TLSv1_2");
}

TEST_CASE("mesh entry: suites in order, and what is absent asks for nothing") {
  const auto mesh = ParseMesh(
      R"({"Kind":"mesh","TLS":{"Outgoing":{"TLSMaxVersion":"TLSv1_2","CipherSuites":["TLS_B","TLS_A"]},"Incoming":null}})");
  REQUIRE(mesh);
  CHECK(mesh->outgoing.max_version == "TLSv1_2");
  CHECK(mesh->outgoing.cipher_suites == std::vector<std::string>{"TLS_B", "TLS_A"});
  CHECK(mesh->incoming.min_version.empty());
  for (const char* body : {R"({"Kind":"mesh"})", R"({"Kind":"mesh","TLS":null})",
                           R"({"Kind":"mesh","TLS":{"Incoming":{"CipherSuites":null}}})"}) {
    CAPTURE(body);
    const auto empty = ParseMesh(body);
    REQUIRE(empty);
    CHECK(empty->exists);
    CHECK(empty->incoming.cipher_suites.empty());
  }
  const auto none = ParseMesh("");
  REQUIRE(none);
  CHECK(!none->exists);
}

TEST_CASE("mesh entry: what is no such entry is refused whole, and the message names the place") {
  CHECK(Problem("{") != "");
  CHECK(Problem("{}").find("Kind") != std::string::npos);
  CHECK(Problem(R"({"Kind":"proxy-defaults"})").find("not mesh") != std::string::npos);
  CHECK(Problem(R"({"Kind":"mesh","TLS":[]})").find("TLS") != std::string::npos);
  CHECK(Problem(R"({"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":13}}})")
            .find("TLS.Incoming.TLSMinVersion") != std::string::npos);
  for (const char* suites : {R"("TLS_A")", "[1]", "[null]", R"([["TLS_A"]])", R"(["a\u0000b"])"}) {
    CAPTURE(suites);
    CHECK(Problem(std::string(R"({"Kind":"mesh","TLS":{"Outgoing":{"CipherSuites":)") + suites +
                  "}}}")
              .find("TLS.Outgoing.CipherSuites") != std::string::npos);
  }
}

}  // namespace mooring::authz
