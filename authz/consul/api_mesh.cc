// Config entries: what they ask of TLS, of everybody (mesh) or of one service.
#include <utility>

#include "authz/consul/api.h"
#include "authz/consul/json_reader.h"
#include "authz/text.h"

namespace mooring::authz {
namespace {

TlsParameters ReadSide(const json::Object& tls, std::string_view key) {
  const json::Object side = tls.Child(key);
  TlsParameters parameters;
  parameters.min_version = side.Text("TLSMinVersion");
  parameters.max_version = side.Text("TLSMaxVersion");
  parameters.cipher_suites = side.Texts("CipherSuites");
  return parameters;
}

}  // namespace

Result<MeshTls> ParseMesh(std::string_view body) {
  if (body.empty()) return MeshTls{};
  json::Document document("mesh config entry", body);
  const json::Object root = document.Root();
  if (const std::string kind = root.NeededText("Kind"); kind != "mesh") {
    root.Fail("Kind", "is \"" + Shortened(kind) + "\", not mesh");
  }
  const json::Object tls = root.Child("TLS");
  MeshTls mesh{true, ReadSide(tls, "Incoming"), ReadSide(tls, "Outgoing")};
  if (document.error()) return *document.error();
  return mesh;
}

Result<std::string> ParseMutualTlsMode(std::string_view body) {
  if (body.empty()) return std::string();
  json::Document document("service-defaults config entry", body);
  std::string mode = document.Root().Text("MutualTLSMode");
  if (document.error()) return *document.error();
  return mode;
}

}  // namespace mooring::authz
