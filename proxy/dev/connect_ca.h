// ConnectCa: the certificate authority of `mooring dev`: one root for the life of the process, a
// leaf a service, renewed when two thirds of its life are over. Keys stay in memory. Loop thread
// only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "authz/result.h"
#include "proxy/dev/like.h"
#include "proxy/dev/state.h"
#include "proxy/net/loop.h"
#include "tls/issuer.h"

namespace mooring::dev {

inline constexpr std::chrono::hours kLeafLifetime{72};

class ConnectCa final {
 public:
  // Make creates the root, under a new trust domain.
  static Result<std::unique_ptr<ConnectCa>> Make(net::Loop& loop, Index& index,
                                                 std::string datacenter,
                                                 std::chrono::seconds leaf_lifetime, Like like,
                                                 std::function<void()> on_change);

  const std::string& trust_domain() const { return issuer_->trust_domain(); }
  Json RootsDocument() const;
  std::uint64_t roots_index() const { return roots_index_; }

  // EnsureLeaf issues a leaf unless there is one; LeafDocument and LeafIndex are for those that
  // there are.
  Status EnsureLeaf(const std::string& service);
  Json LeafDocument(const std::string& service) const;
  std::uint64_t LeafIndex(const std::string& service) const;

 private:
  struct Leaf {
    tls::IssuedLeaf issued;
    net::MonotonicTime renew_at;
    std::uint64_t create_index = 0;
    std::uint64_t modify_index = 0;
  };
  ConnectCa(net::Loop& loop, Index& index, std::unique_ptr<tls::Issuer> issuer,
            std::string datacenter, std::chrono::seconds leaf_lifetime, Like like,
            std::function<void()> on_change);
  authz::ServiceId IdOf(const std::string& service) const;
  Status Renew(const std::string& service);
  void OnTimer();
  void StartTimer();

  net::Loop& loop_;
  Index& index_;
  std::unique_ptr<tls::Issuer> issuer_;
  const std::string datacenter_;
  const std::chrono::seconds leaf_lifetime_;
  const Like like_;
  std::function<void()> on_change_;
  const std::uint64_t roots_index_;
  const std::chrono::system_clock::time_point made_at_;
  std::map<std::string, Leaf> leaves_;
  net::Timer renewal_;
};

}  // namespace mooring::dev
