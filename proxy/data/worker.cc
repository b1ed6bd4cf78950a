#include "proxy/data/worker.h"

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

ServiceHost& Worker::AddService(log::Log& log, std::shared_ptr<Traffic> traffic, Reports* reports) {
  services_.push_back(std::make_unique<ServiceHost>(
      ServiceHost::Shared{loop_, *admission_, unproven_, heap_}, log,
      ServiceHost::Accounts{std::move(traffic), reports, static_cast<unsigned>(services_.size())}));
  return *services_.back();
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
