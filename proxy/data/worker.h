// Worker: one thread with one loop, and a ServiceHost on it for each service that the process
// represents.
//
// Owned by the control thread, which makes the services before Start. What a service does there,
// and which of it may be called from where, says service_host.h.
#pragma once

#include <cstddef>
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

  // AddService makes room for one more service, before Start. It is the worker's and lives as long.
  // `log` is the service's, and outlives the worker, as `reports` does. `traffic` is what the
  // service's hosts on all workers count in. Reports call the service by the number of those before
  // it.
  ServiceHost& AddService(log::Log& log, std::shared_ptr<Traffic> traffic = nullptr,
                          Reports* reports = nullptr);
  ServiceHost& service(std::size_t i) { return *services_[i]; }  // in the order of AddService

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
  std::vector<std::unique_ptr<ServiceHost>> services_;
};

}  // namespace mooring::data
