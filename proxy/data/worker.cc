#include "proxy/data/worker.h"

#include <algorithm>
#include <new>
#include <utility>

#include "proxy/net/thread.h"
#include "tls/session.h"

namespace mooring::data {

Worker::Worker(std::shared_ptr<Admission> admission)
    : admission_(admission ? std::move(admission)
                           : std::make_shared<Admission>(Limits::None(), 1)) {
  loop_.SetKeeper(this);
}

Worker::~Worker() {
  if (thread_.joinable()) {
    loop_.PostStop();
    thread_.join();
  }
}

ServiceHost& Worker::AddService(log::Log& log, ServiceHost::Accounts accounts) {
  services_.push_back(std::make_unique<ServiceHost>(
      ServiceHost::Shared{loop_, *admission_, unproven_, heap_}, log, std::move(accounts)));
  return *services_.back();
}

void Worker::PostAddService(log::Log& log, ServiceHost::Accounts accounts,
                            std::function<void(ServiceHost*)> done) {
  loop_.Post([this, &log, accounts = std::move(accounts), done = std::move(done)] {
    ServiceHost* added = nullptr;
    try {
      added = &AddService(log, accounts);
      added->Begin();
    } catch (const std::bad_alloc&) {
      if (added != nullptr) services_.pop_back();
      added = nullptr;
    }
    done(added);
  });
}

void Worker::PostRemoveService(ServiceHost* service, std::function<void()> done) {
  // Whoever has waited for room may have been woken just now, by another thread: that is behind
  // this task, and before the second one.
  loop_.Post([this, service, done = std::move(done)] {
    service->End();
    loop_.Post([this, service, done] {
      std::erase_if(services_, [service](const auto& each) { return each.get() == service; });
      done();
    });
  });
}

void Worker::Start() {
  heap_.Begin();
  lag_.Begin();
  for (auto& service : services_) service->Begin();
  thread_ = net::StartThread("worker", "a worker", [this] {
    tls::PrepareThread();
    loop_.Run();
    for (auto& service : services_) service->End();
  });
}

void Worker::OnEscaped() noexcept {
  // Whose work it was is not known; any of them has the words for it.
  if (!services_.empty())
    (void)services_.front()->Escaped("a worker could not do all that it had to");
}

}  // namespace mooring::data
