// Worker: one thread with one loop, and a ServiceHost on it for each service that the process
// represents.
//
// Owned by the control thread, which makes the services, before Start or while it runs. What a
// service does there, and which of it may be called from where, says service_host.h.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "proxy/data/admission.h"
#include "proxy/data/heap_trim.h"
#include "proxy/data/service_host.h"
#include "proxy/data/unproven.h"
#include "proxy/log/log.h"
#include "proxy/net/lag_meter.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Worker final : public net::Keeper {
 public:
  // Workers of one process share an Admission; without one there are no limits but the kernel's.
  explicit Worker(std::shared_ptr<Admission> admission = nullptr);
  ~Worker();  // cuts what is left (kDrainTimeout), ends the thread
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // AddService makes room for one more service, before Start. It is the worker's, and lives as long
  // unless it is removed. `log` is the service's, and outlives it, as what is in `accounts` does.
  ServiceHost& AddService(log::Log& log, ServiceHost::Accounts accounts = {});
  ServiceHost& service(std::size_t i) { return *services_[i]; }  // in the order of AddService

  // PostAddService is the same after Start. `done` runs on this loop, with null where there was no
  // memory. PostRemoveService cuts what is left of it (kDrainTimeout) and destroys it, behind all
  // that has been posted to it; nobody may post any more.
  void PostAddService(log::Log& log, ServiceHost::Accounts accounts,
                      std::function<void(ServiceHost*)> done);
  void PostRemoveService(ServiceHost* service, std::function<void()> done);

  void Start();  // starts the thread; throws as net::StartThread does

  net::Loop& loop() { return loop_; }
  // any thread
  net::milliseconds lag() const { return lag_.worst(); }
  net::MonotonicTime turned_at() const { return lag_.turned_at(); }

 private:
  void OnEscaped() noexcept override;  // from work that is no connection's

  const std::shared_ptr<Admission> admission_;
  net::Loop loop_;
  std::thread thread_;
  // This loop only, from Start on.
  Unproven unproven_{loop_, *admission_};
  HeapTrim heap_{loop_};
  net::LagMeter lag_{loop_};
  std::vector<std::unique_ptr<ServiceHost>> services_;  // from Start on this loop only
};

}  // namespace mooring::data
