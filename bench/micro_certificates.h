// Certificates for the benchmarks, made in memory: the only place of bench/ that knows who makes
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "authz/spiffe.h"
#include "tls/identity.h"

namespace mooring::bench {

// A mesh with the identities of web, which calls, and db, which is called.
struct Mesh {
  std::vector<std::string> root_pems;
  std::shared_ptr<const tls::Credentials> web;
  std::shared_ptr<const tls::Credentials> db;
  std::vector<std::vector<std::uint8_t>> web_chain;  // DER, leaf first, as web shows it
};

authz::ServiceId Service(const std::string& name);

// MakeMesh trusts `roots` certificates, of which the last one has signed, and puts `intermediates`
// between it and the leaves.
Mesh MakeMesh(std::size_t roots, std::size_t intermediates);

// FreshRoots is the mesh's roots as an object that has judged nobody yet: it remembers whom it has
// found good.
std::shared_ptr<const tls::TrustBundle> FreshRoots(const Mesh& mesh);

}  // namespace mooring::bench
