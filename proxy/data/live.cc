#include "proxy/data/live.h"

namespace mooring::data {

Live::Live(Host& host, Owner& owner, Record& record, net::Stream& app, net::Stream& mesh,
           net::milliseconds idle_timeout, net::MonotonicTime since)
    : host_(host),
      owner_(owner),
      record_(record),
      client_(record.kind == ListenerKind::kPublic ? mesh : app),
      server_(record.kind == ListenerKind::kPublic ? app : mesh),
      since_(since),
      relay_(
          host.loop(), app, mesh, idle_timeout, [this](CloseReason reason) { OnOver(reason); },
          &client_, &exchanges_) {
  exchanges_.Count(record.flow, record.begun);
}

void Live::Judged(std::optional<Objection> objection, net::MonotonicTime changed) {
  switch (grace_.Note(host_.snapshot()->live, std::move(objection), changed)) {
    case Grace::Then::kGoesOn: grace_ends_.reset(); return;
    case Grace::Then::kWaits:
      if (!grace_ends_) grace_ends_.emplace(host_.loop(), [this] { OnGraceOver(); });
      grace_ends_->Start(grace_.Left(host_.loop().now()));
      return;
    case Grace::Then::kEnds: owner_.OnObjection(*grace_.objection()); return;
  }
}

void Live::OnGraceOver() {
  if (owner_.IsSettled() && grace_.objection()) owner_.OnObjection(*grace_.objection());
}

void Live::Feed() noexcept {
  Note();
  record_.Feed(host_.counters(record_.kind));
}

void Live::Sweep() {
  Feed();
  host_.NoteLife(Report::What::kAlive, &record_);
  if (TooOld(host_.snapshot()->live, since_, host_.loop().now())) {
    Cut(CloseReason::kMaxConnectionAge);
    return;
  }
  relay_.CheckPeers();
}

bool Live::EndIfQuiet(net::milliseconds quiet, CloseReason reason) {
  if (relay_.ended()) return true;
  if (!relay_.BetweenExchanges(client_, quiet)) return false;
  relay_.End(reason);
  return true;
}

void Live::Show(ConnectionView* view) const {
  view->state = relay_.pumping() ? ConnectionState::kRelaying : ConnectionState::kClosing;
  view->bytes_in = client_.bytes_in();
  view->bytes_out = client_.bytes_out();
  view->last_active = relay_.last_activity();
}

void Live::Note() noexcept {
  record_.bytes_in = client_.bytes_in();
  record_.bytes_out = client_.bytes_out();
  record_.kept_in = server_.pending();
  record_.kept_out = client_.pending();
  record_.first_byte = relay_.first_byte();
}

void Live::OnOver(CloseReason reason) noexcept {
  if (grace_ends_) grace_ends_->Stop();
  Note();
  owner_.OnLiveOver(reason);
}

}  // namespace mooring::data
