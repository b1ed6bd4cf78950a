// Sidecar::Tap: /tap, a copy of one connection's plaintext for somebody who may see it.
//
// Only where the file says admin.tap, over a unix socket, to root or to our own user; one at a
// time, for a time and an amount that are bounded, with a line in the log at its beginning and its
// end.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "proxy/data/tap.h"
#include "proxy/observe/pcap.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

constexpr milliseconds kLongest{60'000};
constexpr std::size_t kMost = std::size_t{16} << 20U;
constexpr milliseconds kLook{500};  // whether whoever asked is still there

}  // namespace

// Tapping is the one that is under way.
struct Sidecar::Tapping {
  Tapping(Sidecar& sidecar, admin::Admin::TapRequest request, admin::Admin::DocumentDone answer)
      : asked(std::move(request)),
        done(std::move(answer)),
        look(sidecar.loop_, [&sidecar] { sidecar.LookAtTap(); }) {}

  const admin::Admin::TapRequest asked;
  const admin::Admin::DocumentDone done;
  std::shared_ptr<data::Tap> tap;
  data::ConnectionView view;
  bool found = false;
  std::size_t awaited = 0;  // hosts that have not said whether it is theirs
  net::MonotonicTime ends{};
  const char* why = "the connection ended, or there was no more room";
  net::Timer look;
};

void Sidecar::Tap(admin::Admin::TapRequest asked, admin::Admin::DocumentDone done) {
  if (!settings_.admin_tap) {
    done(Error{ErrorCode::kDenied, "a tap is off: admin.tap: true in the file turns it on"});
    return;
  }
  if (!asked.user || (*asked.user != 0 && *asked.user != geteuid())) {
    done(Error{ErrorCode::kDenied,
               "a tap is for root and for the user of this process, over the admin port's unix "
               "socket"});
    return;
  }
  if (tapping_) {
    done(Error{ErrorCode::kUnavailable, "another tap is under way"});
    return;
  }
  asked.time = std::clamp(asked.time, milliseconds(1), kLongest);
  asked.bytes = std::clamp(asked.bytes, std::size_t{1}, kMost);
  tapping_ = std::make_shared<Tapping>(*this, std::move(asked), std::move(done));
  const auto over = std::make_shared<std::unique_ptr<net::Task>>(
      std::make_unique<net::Task>([this, mine = std::weak_ptr<Tapping>(tapping_)] {
        if (const auto tapping = mine.lock(); tapping && tapping == tapping_) EndTap();
      }));
  tapping_->tap = std::make_shared<data::Tap>(
      tapping_->asked.bytes, [&loop = loop_, over] { loop.Post(std::move(*over)); });
  for (const auto& service : services_) {
    for (data::ServiceHost* host : service->hosts()) {
      ++tapping_->awaited;
      host->PostTap(
          tapping_->asked.id, tapping_->tap,
          [this, mine = std::weak_ptr<Tapping>(tapping_)](const data::ConnectionView* view) {
            loop_.Post([this, mine, view = view != nullptr ? std::optional(*view) : std::nullopt] {
              if (const auto tapping = mine.lock(); tapping && tapping == tapping_) {
                OnTapAnswer(view ? &*view : nullptr);
              }
            });
          });
    }
  }
}

void Sidecar::OnTapAnswer(const data::ConnectionView* view) {
  --tapping_->awaited;
  if (view != nullptr) {
    tapping_->found = true;
    tapping_->view = *view;
    tapping_->ends = loop_.now() + tapping_->asked.time;
    log_.Warn("admin", "a tap begins",
              {{"connection", std::to_string(view->id)},
               {"source", view->source},
               {"destination", view->destination},
               {"peer", view->peer.Text()},
               {"user", std::to_string(*tapping_->asked.user)},
               {"limit_ms", std::to_string(tapping_->asked.time.count())},
               {"limit_bytes", std::to_string(tapping_->asked.bytes)}});
    LookAtTap();
  } else if (tapping_->awaited == 0 && !tapping_->found) {
    const auto tapping = std::exchange(tapping_, nullptr);
    tapping->done(
        Invalid("no connection of that number carries traffic now; `mooring connections` "
                "lists those that do"));
  }
}

void Sidecar::LookAtTap() {
  if (tapping_->asked.gone()) {
    tapping_->why = "whoever asked has gone";
  } else if (loop_.now() >= tapping_->ends) {
    tapping_->why = "its time is over";
  } else {
    const auto left = std::chrono::duration_cast<milliseconds>(tapping_->ends - loop_.now());
    tapping_->look.Start(std::min(kLook, left + milliseconds(1)));
    return;
  }
  tapping_->tap->Close();  // EndTap comes by the loop
}

void Sidecar::EndTap() {
  const auto tapping = std::exchange(tapping_, nullptr);
  tapping->look.Stop();
  bool cut = false;
  const std::vector<data::Tap::Piece> pieces = tapping->tap->Take(&cut);
  std::size_t bytes = 0;
  for (const data::Tap::Piece& piece : pieces) bytes += piece.bytes.size();
  log_.Warn("admin", "a tap ends",
            {{"connection", std::to_string(tapping->view.id)},
             {"user", std::to_string(*tapping->asked.user)},
             {"bytes", std::to_string(bytes)},
             {"cut", cut ? "true" : "false"},
             {"why", tapping->why}});
  tapping->done(
      admin::Admin::Document{"application/vnd.tcpdump.pcap",
                             observe::Pcap(tapping->view.peer, tapping->view.local, pieces)});
}

}  // namespace mooring::sidecar
