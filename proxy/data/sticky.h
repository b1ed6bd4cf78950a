// Sticky: one endpoint for all, as long as it is in service.
//
// For what should have one writer, or whose caches should be warm. Which one it is is drawn at
// random, by weight; a search that it has failed is given another, which is then kept, also when
// the one before is back.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "proxy/data/load_balancer.h"
#include "proxy/data/lot.h"

namespace mooring::data {

// Kept is which endpoint all workers use. By the address of its history, which nobody follows: if
// another endpoint comes to have that address, it is used, and that is as good.
class Kept final {
 public:
  const EndpointHistory* endpoint() const { return endpoint_.load(std::memory_order_relaxed); }
  // Replace makes `next` the one in place of `before`, unless another worker was first.
  void Replace(const EndpointHistory* before, const EndpointHistory* next) noexcept {
    endpoint_.compare_exchange_strong(before, next, std::memory_order_relaxed);
  }

 private:
  std::atomic<const EndpointHistory*> endpoint_{nullptr};
};

class Sticky final : public LoadBalancer {
 public:
  // `kept` is shared by the workers.
  Sticky(std::shared_ptr<Kept> kept, std::uint64_t seed) : kept_(std::move(kept)), lot_(seed) {}

  void Use(std::span<const Endpoint> endpoints) noexcept override {
    endpoints_ = endpoints;
    lot_.Use(endpoints);
  }

 private:
  const Endpoint* Choose(Choice& choice, const Among& among, net::MonotonicTime) override;
  // Find is the endpoint with this history; null if the list does not have it.
  const Endpoint* Find(const EndpointHistory* history);

  const std::shared_ptr<Kept> kept_;
  Lot lot_;
  std::span<const Endpoint> endpoints_;
  std::size_t place_ = 0;  // where it was found last
};

}  // namespace mooring::data
