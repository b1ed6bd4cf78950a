// The families of metrics that the program has: name, kind, what is counted, and the labels.
//
// One list, from which the lines of /metrics and the table of examples/metrics.md are made. Names
// go by the conventions of Prometheus: base units, _total on counters, _seconds, _bytes.
#pragma once

#include <span>

namespace mooring::observe {

enum class Kind { kCounter, kGauge, kHistogram };

struct Family {
  // As Prometheus's text format has it: a counter's ends in _total, but for some of Envoy's.
  const char* name;
  Kind kind;
  const char* help;    // one sentence
  const char* labels;  // their names, separated by ", "; empty: none
};

const char* KindName(Kind kind);

namespace family {

// Of every pair of services that talk to each other.
extern const Family kOpened, kClosed, kOpen, kReceived, kSent, kAuthorizations, kConnect,
    kHandshake, kFirstByte, kLifetime, kRequests, kAnswer;
// Of every service of the process.
extern const Family kReady, kHandshakes, kEndpointState, kEndpointAttempts, kEndpointFailures,
    kEndpointInFlight, kEjected, kEjections, kProbes, kListenerRefusing, kAttemptsFailed,
    kLeafExpiry, kWatchAge, kAgentErrors, kAcceptPauses, kHandshakesShed, kTurnedAway, kLimit,
    kLimitUsed, kLimitRefused;
// Of the process.
extern const Family kBuild, kStart, kGenerations, kGenerationOpen, kCpu, kResident, kMaxFiles,
    kBuffer, kBufferLimit, kAgentConnections, kLoopLag, kReloads, kReloadRefused, kLogDropped,
    kLogLeftOut, kAccessLogDropped, kConfined, kRefusedCalls;
// The same under the names that Consul's UI and dashboards ask for: Envoy's, with Consul's tags.
extern const Family kEnvoyTcpOpened, kEnvoyTcpReceived, kEnvoyTcpSent, kEnvoyTcpNoRoute,
    kEnvoyTcpReceivedKept, kEnvoyTcpSentKept, kEnvoyClusterOpened, kEnvoyClusterOpen,
    kEnvoyClusterFailed, kEnvoyClusterReceived, kEnvoyClusterSent, kEnvoyClusterRequests,
    kEnvoyHealthy, kEnvoyEndpoints, kEnvoyEjected, kEnvoyEjections, kEnvoyOverload, kEnvoyOverflow,
    kEnvoyLive, kEnvoyUptime, kEnvoyHeap, kEnvoyAllocated;

}  // namespace family

// Families are all of them, in the order in which /metrics has them.
std::span<const Family* const> Families();

}  // namespace mooring::observe
