#include <chrono>

#include "proxy/control/identity_source.h"

namespace mooring::control {

Status Pairing::SetRoots(std::shared_ptr<const tls::TrustBundle> roots) {
  roots_ = std::move(roots);
  return Combine();
}

Status Pairing::SetLeaf(std::shared_ptr<const tls::Credentials> leaf) {
  newest_leaf_ = std::move(leaf);
  return Combine();
}

Status Pairing::SetOffers(const tls::Offers& offers) {
  offers_ = offers;
  return Combine();
}

Status Pairing::Combine() {
  if (!roots_ || !newest_leaf_) return Ok();
  std::shared_ptr<const tls::Credentials> leaf = newest_leaf_;
  Status verdict = Ok();
  const tls::Judgement own =
      tls::JudgeOwn(*newest_leaf_, *roots_, std::chrono::system_clock::now());
  // An expired leaf is still the newest there is; the data path refuses to serve by it, and says
  // so. But it does not replace one that lasts longer: agents up to Consul 1.10 may answer with an
  // outdated one.
  const bool newest_there_is =
      !current_ || current_->leaf->not_after() <= newest_leaf_->not_after();
  if (own.refusal != tls::Refusal::kNone &&
      !(own.refusal == tls::Refusal::kExpired && newest_there_is)) {
    verdict =
        Error{ErrorCode::kUnavailable,
              std::string("our new leaf certificate is not usable under the roots in force (") +
                  tls::RefusalName(own.refusal) + ": " + own.detail + ")"};
    if (!current_) return verdict;
    leaf = current_->leaf;
  }
  if (current_ && current_->leaf == leaf && current_->roots == roots_ &&
      current_->offers == offers_)
    return verdict;
  auto server = tls::Context::MeshServer(leaf, roots_, offers_.accepting);
  if (!server) return server.error();
  auto client = tls::Context::MeshClient(leaf, roots_, offers_.dialling);
  if (!client) return client.error();
  current_ =
      std::make_shared<data::Identity>(data::Identity{leaf, roots_, offers_, *server, *client});
  return verdict;
}

}  // namespace mooring::control
