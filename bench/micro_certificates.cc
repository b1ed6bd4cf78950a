#include "bench/micro_certificates.h"

#include <string>
#include <utility>

#include "bench/micro.h"
#include "tests/unit/mint.h"

namespace mooring::bench {

authz::ServiceId Service(const std::string& name) {
  return {"11111111-2222-3333-4444-555555555555.consul", "", "default", "dc1", name};
}

Mesh MakeMesh(std::size_t roots, std::size_t intermediates) {
  std::vector<mint::Minted> trusted;
  for (std::size_t i = 0; i < roots; ++i)
    trusted.push_back(mint::Mint(mint::Ca("Root " + std::to_string(i))));

  std::vector<mint::Minted> between;  // from the root down
  between.reserve(intermediates);
  const mint::Minted* issuer = &trusted.back();
  for (std::size_t i = 0; i < intermediates; ++i) {
    between.push_back(mint::Mint(mint::Ca("Intermediate " + std::to_string(i)), issuer));
    issuer = &between.back();
  }
  std::vector<const mint::Minted*> shown;  // from the leaf up
  for (auto one = between.rbegin(); one != between.rend(); ++one) shown.push_back(&*one);

  const mint::Minted web = mint::Mint(mint::Leaf(Service("web").Uri()), issuer);
  const mint::Minted db = mint::Mint(mint::Leaf(Service("db").Uri()), issuer);
  Mesh mesh;
  for (const mint::Minted& root : trusted) mesh.root_pems.push_back(root.pem);
  mesh.web = mint::Own(web, shown);
  mesh.db = mint::Own(db, shown);
  mesh.web_chain.push_back(web.der);
  for (const mint::Minted* one : shown) mesh.web_chain.push_back(one->der);
  return mesh;
}

std::shared_ptr<const tls::TrustBundle> FreshRoots(const Mesh& mesh) {
  auto made = tls::TrustBundle::Make(Service("web").trust_domain, mesh.root_pems);
  Require(made.has_value(), "no trust bundle can be made");
  return *std::move(made);
}

}  // namespace mooring::bench
