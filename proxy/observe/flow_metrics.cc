#include "proxy/observe/flow_metrics.h"

namespace mooring::observe {
namespace {

using data::Flow;

Labels With(Labels labels, std::string_view name, std::string_view value) {
  labels.emplace_back(name, value);
  return labels;
}

void AddFlow(Exposition* out, std::string_view service, const Flow& flow) {
  const Labels pair{{"direction", DirectionName(flow.key.kind)},
                    {"service", service},
                    {"source_service", flow.key.source},
                    {"destination_service", flow.key.destination},
                    {"destination_datacenter", flow.key.datacenter}};
  out->Add(family::kOpened, pair, flow.opened.value());
  out->Add(family::kOpen, pair, flow.open.value());
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    // Of a reason that never was there is no series: most pairs know two or three.
    if (const std::int64_t count = flow.closed[i].value(); count != 0) {
      const auto reason = static_cast<data::CloseReason>(i);
      out->Add(family::kClosed, With(pair, "reason", data::CloseReasonName(reason)), count);
    }
  }
  out->Add(family::kReceived, pair, flow.bytes_in.value());
  out->Add(family::kSent, pair, flow.bytes_out.value());
  if (flow.key.kind == data::ListenerKind::kPublic) {
    out->Add(family::kAuthorizations, With(pair, "decision", "allowed"), flow.allowed.value());
    out->Add(family::kAuthorizations, With(pair, "decision", "denied"), flow.denied.value());
  }
  out->Add(family::kConnect, pair, flow.connect);
  out->Add(family::kHandshake, pair, flow.handshake);
  out->Add(family::kFirstByte, pair, flow.first_byte);
  out->Add(family::kLifetime, pair, flow.lifetime);
  out->Add(family::kRequests, pair, flow.requests.value());
  out->Add(family::kAnswer, pair, flow.answer);
}

}  // namespace

const char* DirectionName(data::ListenerKind kind) {
  return kind == data::ListenerKind::kPublic ? "inbound" : "outbound";
}

void AddTraffic(Exposition* out, std::string_view service, data::Traffic& traffic,
                net::MonotonicTime now) {
  for (const auto& flow : traffic.Flows(now)) AddFlow(out, service, *flow);
  for (const auto& [what, count] : traffic.Handshakes()) {
    out->Add(family::kHandshakes,
             {{"direction", DirectionName(what.kind)},
              {"service", service},
              {"result", what.done ? "done" : "failed"},
              {"version", what.version},
              {"group", what.group},
              {"resumed", what.resumed ? "true" : "false"}},
             count);
  }
}

}  // namespace mooring::observe
