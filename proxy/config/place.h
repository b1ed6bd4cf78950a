// Place: where among the settings a value goes, as a pointer to a member of the struct that holds
// it. A table can hold places; a Target says whose settings they are to be.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "proxy/config/settings.h"

namespace mooring::config {

// Target is what is being filled in. All three outlive it.
struct Target {
  Settings& process;
  ServiceSettings& service;
  UpstreamSettings* upstream = nullptr;  // null outside a list of upstreams
};

// An optional member is one that keeps its meaning of "left out" until a value is put there.
template <typename T>
using Place = std::variant<T Settings::*, std::optional<T> Settings::*, T ServiceSettings::*,
                           std::optional<T> ServiceSettings::*, T UpstreamSettings::*,
                           std::optional<T> UpstreamSettings::*, T AgentSettings::*,
                           T tls::HttpsOptions::*, T FileIdentity::*, T AccessLogSettings::*,
                           T StopAfter::*, std::optional<T> StopAfter::*, T ConfineSettings::*>;

template <typename Owner>
Owner& OwnerIn(const Target& target) {
  if constexpr (std::is_same_v<Owner, Settings>) {
    return target.process;
  } else if constexpr (std::is_same_v<Owner, ServiceSettings>) {
    return target.service;
  } else if constexpr (std::is_same_v<Owner, UpstreamSettings>) {
    return *target.upstream;
  } else if constexpr (std::is_same_v<Owner, AgentSettings>) {
    return target.process.agent;
  } else if constexpr (std::is_same_v<Owner, AccessLogSettings>) {
    return target.process.access_log;
  } else if constexpr (std::is_same_v<Owner, StopAfter>) {
    return target.process.stop_after;
  } else if constexpr (std::is_same_v<Owner, ConfineSettings>) {
    return target.process.confine;
  } else if constexpr (std::is_same_v<Owner, tls::HttpsOptions>) {
    return target.process.agent.tls;
  } else {
    static_assert(std::is_same_v<Owner, FileIdentity>);
    if (!target.service.identity) target.service.identity.emplace();
    return *target.service.identity;
  }
}

template <typename T>
void Put(const Place<T>& place, const Target& target, T value) {
  std::visit([&]<typename Member, typename Owner>(
                 Member Owner::*member) { OwnerIn<Owner>(target).*member = std::move(value); },
             place);
}

// Look is the value there; nothing if it has been left out.
template <typename T>
std::optional<T> Look(const Place<T>& place, const Target& target) {
  return std::visit(
      [&]<typename Member, typename Owner>(Member Owner::*member) -> std::optional<T> {
        if constexpr (std::is_same_v<Owner, FileIdentity>) {
          if (!target.service.identity) return std::nullopt;
        }
        return OwnerIn<Owner>(target).*member;
      },
      place);
}

// Copy gives `to` what `from` has there, if only that it has been left out. The three files of an
// identity go together.
template <typename T>
void Copy(const Place<T>& place, const Target& from, const Target& to) {
  std::visit(
      [&]<typename Member, typename Owner>(Member Owner::*member) {
        if constexpr (std::is_same_v<Owner, FileIdentity>) {
          to.service.identity = from.service.identity;
        } else {
          OwnerIn<Owner>(to).*member = OwnerIn<Owner>(from).*member;
        }
      },
      place);
}

}  // namespace mooring::config
