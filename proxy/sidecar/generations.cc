#include "proxy/sidecar/generations.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace mooring::sidecar {
namespace {

// ReadCounts takes what is counts, and leaves out what is not: it may be another version's.
observe::Counts ReadCounts(const nlohmann::json& families) {
  observe::Counts counts;
  if (!families.is_object()) return counts;
  for (const auto& [family, samples] : families.items()) {
    if (!samples.is_object()) continue;
    for (const auto& [sample, value] : samples.items()) {
      if (value.is_number()) counts[family][sample] = value.get<double>();
    }
  }
  return counts;
}

}  // namespace

void Generations::Add(std::unique_ptr<handover::Channel> channel, const handover::Message& hello) {
  const std::int64_t generation = hello.Number("generation");
  const auto older = std::find_if(rows_.begin(), rows_.end(), [generation](const Row& one) {
    return one.generation < generation;
  });
  Row& row = *rows_.emplace(older);
  row.generation = generation;
  row.pid = hello.Number("pid");
  row.version = hello.Text("version");
  row.retired_at = loop_.now() - net::milliseconds(hello.Number("retired_ms"));
  row.channel = std::move(channel);
  row.channel->Listen({[this, &row](const handover::Message& message) { Take(&row, message); },
                       [this, &row](const std::string& why) { End(&row, why); }});
  log_.Info("sidecar", "an old generation is fed by this process",
            {{"generation", row.generation}, {"pid", row.pid}, {"version", row.version}});
}

void Generations::Tell(const char* kind) {
  for (Row& row : rows_) row.channel->Send({kind});
}

std::int64_t Generations::connections() const {
  std::int64_t count = 0;
  for (const Row& row : rows_) count += row.connections;
  return count;
}

void Generations::Measure(observe::Exposition* out) const {
  out->Add(observe::family::kGenerations, {}, static_cast<std::int64_t>(rows_.size()));
  for (const Row& row : rows_) {
    const std::string generation = std::to_string(row.generation);
    out->Add(observe::family::kGenerationOpen, {{"generation", generation}}, row.connections);
  }
}

nlohmann::json Generations::Describe() const {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : rows_) {
    rows.push_back(
        {{"generation", row.generation},
         {"pid", row.pid},
         {"version", row.version},
         {"retired_seconds", std::chrono::duration<double>(loop_.now() - row.retired_at).count()},
         {"connections", row.connections},
         {"resident_bytes", row.resident},
         {"state", row.state}});
  }
  return rows;
}

void Generations::Take(Row* row, const handover::Message& message) {
  if (message.kind == "left") on_left_();
  if (message.kind == "over") {
    End(row, "it has no connection any more");
    return;
  }
  if (message.kind != "report") return;
  row->connections = message.Number("connections");
  row->resident = message.Number("resident");
  if (std::string state = message.Text("state"); !state.empty()) row->state = std::move(state);
  if (const auto families = message.fields.find("families"); families != message.fields.end())
    carried_.Take(row->pid, ReadCounts(*families));
}

void Generations::End(Row* row, const std::string& why) {
  log_.Info("sidecar", "an old generation has ended",
            {{"generation", row->generation},
             {"pid", row->pid},
             {"connections", row->connections},
             {"reason", why}});
  // Its gauges are of what it had; what it counted has happened.
  carried_.Forget(row->pid);
  // After the event: the channel that tells this is the row's.
  loop_.Defer([this, row] {
    rows_.remove_if([row](const Row& one) { return &one == row; });
    on_end_();
  });
}

}  // namespace mooring::sidecar
