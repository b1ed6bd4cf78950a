#include <utility>

#include "proxy/net/loop_parts.h"

namespace mooring::net {

Timer::Handle* Loop::Timers::Take(Loop& loop) {
  Timer::Handle* handle = free;
  if (handle != nullptr) {
    free = handle->next;
    --kept;
    handle->detached = false;
  } else {
    handle = new Timer::Handle;
    Check(uv_timer_init(loop.raw(), &handle->uv), "timer");  // takes nothing, fails never
    handle->uv.data = handle;
    handle->loop = &loop;
  }
  handle->keeper = loop.keeper_;
  return handle;
}

void Loop::Timers::ClearResting(std::size_t keep) {
  while (resting != nullptr) {
    Timer::Handle* handle = std::exchange(resting, resting->next);
    handle->on_fire = nullptr;
    if (kept < keep) {
      handle->next = std::exchange(free, handle);
      ++kept;
    } else {
      Close(handle);
    }
  }
}

void Loop::Timers::CloseAll() {
  ClearResting(0);
  while (free != nullptr) Close(std::exchange(free, free->next));
  kept = 0;
}

Timer::Timer(Loop& loop, std::function<void()> on_fire)
    : loop_(loop), handle_(loop.timers_->Take(loop)) {
  handle_->on_fire = std::move(on_fire);
}

Timer::~Timer() {
  uv_timer_stop(&handle_->uv);
  handle_->detached = true;
  handle_->next = std::exchange(loop_.timers_->resting, handle_);
}

void Timer::Start(milliseconds delay) {
  // libuv counts from the start of the event; after a long event that would fire early.
  uv_update_time(handle_->uv.loop);
  const auto ms = static_cast<std::uint64_t>(delay.count() < 0 ? 0 : delay.count());
  uv_timer_start(
      &handle_->uv,
      [](uv_timer_t* raw) {
        auto* handle = static_cast<Handle*>(raw->data);
        if (!handle->detached)
          handle->loop->Attend(handle->keeper, [handle] { handle->on_fire(); });
      },
      ms, 0);
}

void Timer::Stop() { uv_timer_stop(&handle_->uv); }

bool Timer::running() const {
  return uv_is_active(reinterpret_cast<const uv_handle_t*>(&handle_->uv)) != 0;
}

}  // namespace mooring::net
