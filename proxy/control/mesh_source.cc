#include "proxy/control/mesh_source.h"

#include <utility>

namespace mooring::control {
namespace {

constexpr net::milliseconds kPoll{30'000};
// An agent that does not know the kind has an error in its log for each question, until it is
// replaced.
constexpr net::milliseconds kPollOld{300'000};

Watch::Options WatchOptions(std::function<bool(const http::Response&)> is_absent) {
  Watch::Options options;
  options.name = "mesh";
  options.path = "/v1/config/mesh/mesh";
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = kPoll;
  options.partial = Watch::Options::Partial::kInsteadOfNothing;
  options.needs = "a token that the agent knows";  // every token may read it
  options.is_absent = std::move(is_absent);
  return options;
}

std::string Text(const tls::Offer& offer) {
  std::string text = tls::VersionName(offer.least);
  if (offer.most != offer.least) text += std::string(" to ") + tls::VersionName(offer.most);
  for (const std::string& suite : offer.suites) text += " " + suite;
  return text;
}

}  // namespace

MeshSource::MeshSource(net::Loop& loop, log::Log& log, Agent& agent, tls::Offers widest,
                       std::function<void()> on_change)
    : log_(log),
      widest_(std::move(widest)),
      on_change_(std::move(on_change)),
      offers_(widest_),
      watch_(loop, log, agent,
             WatchOptions([this](const http::Response& response) { return IsAbsent(response); }),
             [this](const http::Response& response) { return Take(response); }) {}

bool MeshSource::IsAbsent(const http::Response& response) {
  const bool old = response.status == 500 &&
                   response.body.find("invalid config entry kind") != std::string::npos;
  watch_.SetPollInterval(old ? kPollOld : kPoll);
  return old || response.status == 404;
}

Status MeshSource::Take(const http::Response& response) {
  auto mesh = authz::ParseMesh(response.body);
  if (!mesh) return mesh.error();
  if (Status narrowed = Narrow(*mesh); !narrowed) return narrowed;
  exists_ = mesh->exists;
  entry_ = *std::move(mesh);
  return Ok();
}

Status MeshSource::Narrow(const authz::MeshTls& entry) {
  auto accepting = tls::Narrow(widest_.accepting, entry.incoming, "TLS.Incoming");
  auto dialling = tls::Narrow(widest_.dialling, entry.outgoing, "TLS.Outgoing");
  if (!accepting || !dialling) {
    complaint_ = (accepting ? dialling : accepting).error().message;
    return Invalid(complaint_ + "; what held before holds");
  }
  complaint_.clear();
  tls::Offers offers{*std::move(accepting), *std::move(dialling)};
  if (offers == offers_) return Ok();
  log_.Info("control", "TLS is offered as the mesh config entry has it",
            {{"incoming", Text(offers.accepting)}, {"outgoing", Text(offers.dialling)}});
  offers_ = std::move(offers);
  on_change_();
  return Ok();
}

void MeshSource::SetWidest(tls::Offers widest) {
  widest_ = std::move(widest);
  (void)Narrow(entry_.value_or(authz::MeshTls{}));  // what is wrong with it is a complaint
}

}  // namespace mooring::control
