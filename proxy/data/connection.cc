#include "proxy/data/connection.h"

#include "proxy/data/connection_view.h"

namespace mooring::data {

void Connection::Show(ConnectionView* view) {
  view->id = record_.id;
  view->kind = record_.kind;
  view->identity = record_.identity;
  view->local = record_.local;
  view->peer = record_.peer;
  view->endpoint = record_.endpoint;
  view->instance = record_.instance;
  view->attempts = record_.attempts;
  view->tls = record_.tls;
  view->decided_by = record_.decided_by;
  view->begun = record_.begun;
  view->bytes_in = record_.bytes_in;
  view->bytes_out = record_.bytes_out;
  ShowNow(view);
  if (drain_awaits_ && view->state == ConnectionState::kRelaying)
    view->state = ConnectionState::kDraining;
}

}  // namespace mooring::data
