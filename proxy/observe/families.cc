#include "proxy/observe/families.h"

#include <array>

namespace mooring::observe {
namespace {

constexpr char kPair[] =
    "direction, service, source_service, destination_service, destination_datacenter";
constexpr char kPairReason[] =
    "direction, service, source_service, destination_service, destination_datacenter, reason";
constexpr char kPairDecision[] =
    "direction, service, source_service, destination_service, destination_datacenter, decision";
constexpr char kEnvoyTcp[] =
    "local_cluster, consul_source_service, consul_source_namespace, consul_source_partition, "
    "consul_source_datacenter, envoy_tcp_prefix, consul_upstream_service, "
    "consul_upstream_namespace, consul_upstream_partition, consul_upstream_datacenter";
constexpr char kEnvoyCluster[] =
    "local_cluster, consul_source_service, consul_source_namespace, consul_source_partition, "
    "consul_source_datacenter, envoy_cluster_name, consul_destination_service, "
    "consul_destination_namespace, consul_destination_partition, consul_destination_datacenter, "
    "consul_destination_routing_type, consul_destination_trust_domain, consul_destination_target, "
    "consul_destination_full_target";
constexpr char kEnvoyListener[] =
    "local_cluster, consul_source_service, consul_source_namespace, consul_source_partition, "
    "consul_source_datacenter, envoy_listener_address";
constexpr char kEnvoySource[] =
    "local_cluster, consul_source_service, consul_source_namespace, consul_source_partition, "
    "consul_source_datacenter";
constexpr char kUpstream[] = "service, destination_service, destination_datacenter";
constexpr char kEndpoint[] = "service, destination_service, destination_datacenter, endpoint";

}  // namespace

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kCounter: return "counter";
    case Kind::kGauge: return "gauge";
    case Kind::kHistogram: return "histogram";
  }
  return "";
}

namespace family {

const Family kOpened{"mooring_connections_opened_total", Kind::kCounter,
                     "Connections, by who talks to whom. Inbound from the moment the caller has "
                     "proven who it is or has failed to, outbound once an instance has or the "
                     "search has ended.",
                     kPair};
const Family kClosed{"mooring_connections_closed_total", Kind::kCounter,
                     "Connections that have ended, by reason.", kPairReason};
const Family kOpen{"mooring_connections_open", Kind::kGauge, "Connections that are open now.",
                   kPair};
const Family kReceived{"mooring_received_bytes_total", Kind::kCounter,
                       "Plaintext from the client, in bytes. Of open connections as of the last "
                       "look at them, 5 s ago at most.",
                       kPair};
const Family kSent{"mooring_sent_bytes_total", Kind::kCounter,
                   "Plaintext to the client, in bytes. Of open connections as of the last look at "
                   "them, 5 s ago at most.",
                   kPair};
const Family kAuthorizations{"mooring_authorizations_total", Kind::kCounter,
                             "Callers that intentions and their default have let in or refused.",
                             kPairDecision};
const Family kConnect{"mooring_connect_seconds", Kind::kHistogram,
                      "TCP connect to the app (inbound) or to the instance that was used "
                      "(outbound).",
                      kPair};
const Family kHandshake{"mooring_handshake_seconds", Kind::kHistogram,
                        "TLS handshakes that were completed: inbound from the accept on, outbound "
                        "with the instance that was used.",
                        kPair};
const Family kFirstByte{"mooring_first_byte_seconds", Kind::kHistogram,
                        "From the accept to the first byte of the payload, either way.", kPair};
const Family kLifetime{"mooring_connection_lifetime_seconds", Kind::kHistogram,
                       "From the accept to the end.", kPair};
const Family kRequests{"mooring_estimated_requests_total", Kind::kCounter,
                       "An estimate: how often the client spoke after the server had. It is the "
                       "number of requests where a client waits for each answer.",
                       kPair};
const Family kAnswer{"mooring_estimated_response_seconds", Kind::kHistogram,
                     "An estimate: from the client's last byte to the server's next. It is the "
                     "time to the first byte of an answer where a client waits for each.",
                     kPair};

const Family kReady{"mooring_ready", Kind::kGauge, "1 while /ready says so of the service, else 0.",
                    "service"};
const Family kHandshakes{"mooring_handshakes_total", Kind::kCounter,
                         "TLS handshakes that were completed or have failed, port scans left out; "
                         "version and group of those that were completed.",
                         "direction, service, result, version, group, resumed"};
const Family kEndpointState{"mooring_endpoint_state", Kind::kGauge,
                            "1 for the state that an endpoint of an upstream is in: unused, ok, "
                            "failing (the last attempt there has failed), ejected, or probation "
                            "(its ejection is over, and nothing has proven it yet).",
                            "service, destination_service, destination_datacenter, endpoint, "
                            "state"};
const Family kEndpointAttempts{"mooring_endpoint_attempts_total", Kind::kCounter,
                               "Attempts to reach an endpoint since it came to the list.",
                               kEndpoint};
const Family kEndpointFailures{"mooring_endpoint_failures_total", Kind::kCounter,
                               "Attempts to reach an endpoint that have failed.", kEndpoint};
const Family kEndpointInFlight{"mooring_endpoint_in_flight", Kind::kGauge,
                               "Connections and attempts that an endpoint has now.", kEndpoint};
const Family kEjected{"mooring_endpoints_ejected", Kind::kGauge,
                      "Endpoints of an upstream that are ejected or on probation now.", kUpstream};
const Family kEjections{"mooring_ejections_total", Kind::kCounter,
                        "Ejections of endpoints for their failures, those after a failed probe "
                        "included.",
                        kUpstream};
const Family kProbes{"mooring_probes_total", Kind::kCounter,
                     "Attempts at ejected endpoints beside the connections of clients, by result: "
                     "proven or failed.",
                     "service, destination_service, destination_datacenter, result"};
const Family kListenerRefusing{"mooring_listener_refusing", Kind::kGauge,
                               "1 while the port of an upstream refuses, for it has no healthy "
                               "instance (no_endpoint), else 0.",
                               "service, listener"};
const Family kAttemptsFailed{"mooring_attempts_failed_total", Kind::kCounter,
                             "Attempts to reach an endpoint that have failed, by reason.",
                             "service, reason"};
const Family kLeafExpiry{"mooring_leaf_certificate_expiry_timestamp_seconds", Kind::kGauge,
                         "When our leaf certificate ends, as seconds since 1970.", "service"};
const Family kWatchAge{"mooring_watch_age_seconds", Kind::kGauge,
                       "How long ago the agent has last confirmed a document that is watched.",
                       "service, watch"};
const Family kAgentErrors{"mooring_agent_errors_total", Kind::kCounter,
                          "Questions to the agent that failed, by watched document.",
                          "service, watch"};
const Family kAcceptPauses{"mooring_accept_pauses_total", Kind::kCounter,
                           "How often accepting had to pause for want of descriptors or memory.",
                           "service"};
const Family kHandshakesShed{"mooring_handshakes_shed_total", Kind::kCounter,
                             "Callers without proof that were ended to make room for others.",
                             "service"};
const Family kTurnedAway{"mooring_turned_away_total", Kind::kCounter,
                         "Connections that were reset at a socket that systemd passed: no listener "
                         "has it, for none wants it or it cannot be served yet (start_wait).",
                         ""};
const Family kLimit{"mooring_connections_limit", Kind::kGauge,
                    "How many connections a setting allows at once, where one does; with "
                    "rate_per_address: a second.",
                    "service, listener, limit"};
const Family kLimitUsed{
    "mooring_connections_limit_used", Kind::kGauge,
    "How many of them there are; of max_connections_per_identity by the identity that has most.",
    "service, listener, limit"};
const Family kLimitRefused{"mooring_over_limit_total", Kind::kCounter,
                           "Connections that were refused because of such a limit.",
                           "service, listener, limit"};

const Family kBuild{"mooring_build_info", Kind::kGauge, "Always 1; which program this is.",
                    "version"};
const Family kStart{"process_start_time_seconds", Kind::kGauge,
                    "When the process began, as seconds since 1970.", ""};
const Family kGenerations{"mooring_old_generations", Kind::kGauge,
                          "Processes that live on after an upgrade, until their connections have "
                          "ended.",
                          ""};
const Family kGenerationOpen{"mooring_old_generation_connections", Kind::kGauge,
                             "Connections that are open in one of them.", "generation"};
const Family kCpu{"process_cpu_seconds_total", Kind::kCounter,
                  "CPU time of the process, user and system.", ""};
const Family kResident{"process_resident_memory_bytes", Kind::kGauge, "Resident memory.", ""};
const Family kMaxFiles{"process_max_fds", Kind::kGauge, "How many descriptors may be open.", ""};
const Family kBuffer{"mooring_buffer_bytes", Kind::kGauge, "Bytes read and not yet taken.", ""};
const Family kBufferLimit{"mooring_buffer_limit_bytes", Kind::kGauge,
                          "Above it nothing is read that would have to be kept.", ""};
const Family kAgentConnections{"mooring_agent_connections", Kind::kGauge,
                               "Connections to the agent that are open.", ""};
const Family kReloads{"mooring_reloads_total", Kind::kCounter,
                      "How often the file of settings was read again, by result: applied (with "
                      "nothing different, too) or refused.",
                      "result"};
const Family kReloadRefused{"mooring_reload_refused", Kind::kGauge,
                            "1 while the last reload was refused, so that the file is not what is "
                            "in force, else 0.",
                            ""};
const Family kLoopLag{"mooring_loop_lag_seconds", Kind::kGauge,
                      "The longest that a thread's loop has kept a timer waiting within the last "
                      "minute.",
                      "loop"};
const Family kLogDropped{"mooring_log_lines_dropped_total", Kind::kCounter,
                         "Log lines that nobody read in time.", "level"};
const Family kLogLeftOut{"mooring_log_lines_left_out_total", Kind::kCounter,
                         "Log lines that were counted instead of written, since strangers can "
                         "cause them at any rate.",
                         ""};
const Family kConfined{"mooring_confined", Kind::kGauge,
                       "1 where the kernel holds the process to that part of its confinement "
                       "(confine), else 0; /status says why not.",
                       "part"};
const Family kRefusedCalls{"mooring_system_calls_refused_total", Kind::kCounter,
                           "System calls that no sidecar makes, and that were refused "
                           "(confine.seccomp).",
                           ""};
const Family kAccessLogDropped{"mooring_access_log_lines_dropped_total", Kind::kCounter,
                               "Lines of the access log that it did not take in time.", ""};

const Family kEnvoyTcpOpened{"envoy_tcp_downstream_cx_total", Kind::kCounter,
                             "Connections accepted: on the public listener, those of health checks "
                             "included, and to each upstream.",
                             kEnvoyTcp};
const Family kEnvoyTcpReceived{"envoy_tcp_downstream_cx_rx_bytes_total", Kind::kCounter,
                               "As mooring_received_bytes_total.", kEnvoyTcp};
const Family kEnvoyTcpSent{"envoy_tcp_downstream_cx_tx_bytes_total", Kind::kCounter,
                           "As mooring_sent_bytes_total.", kEnvoyTcp};
const Family kEnvoyTcpNoRoute{"envoy_tcp_downstream_cx_no_route", Kind::kCounter,
                              "Always 0, as Envoy's is in a mesh of Consul: an upstream without "
                              "instances is no missing route.",
                              kEnvoyTcp};
const Family kEnvoyTcpReceivedKept{"envoy_tcp_downstream_cx_rx_bytes_buffered", Kind::kGauge,
                                   "Bytes from clients that are not yet taken, as of the last look "
                                   "at each connection, 5 s ago at most.",
                                   kEnvoyTcp};
const Family kEnvoyTcpSentKept{"envoy_tcp_downstream_cx_tx_bytes_buffered", Kind::kGauge,
                               "Bytes for clients that are not yet taken, as of the last look at "
                               "each connection, 5 s ago at most.",
                               kEnvoyTcp};
const Family kEnvoyClusterOpened{
    "envoy_cluster_upstream_cx_total", Kind::kCounter,
    "Connections to the app (local_app), or to instances of an upstream, with those that failed. "
    "Attempts that another instance made good are not told here.",
    kEnvoyCluster};
const Family kEnvoyClusterOpen{"envoy_cluster_upstream_cx_active", Kind::kGauge,
                               "As mooring_connections_open.", kEnvoyCluster};
const Family kEnvoyClusterFailed{"envoy_cluster_upstream_cx_connect_fail", Kind::kCounter,
                                 "Connections for which the app, or every instance that was tried, "
                                 "could not be reached and proven.",
                                 kEnvoyCluster};
const Family kEnvoyClusterReceived{"envoy_cluster_upstream_cx_rx_bytes_total", Kind::kCounter,
                                   "Plaintext from the app or from instances, in bytes.",
                                   kEnvoyCluster};
const Family kEnvoyClusterSent{"envoy_cluster_upstream_cx_tx_bytes_total", Kind::kCounter,
                               "Plaintext to the app or to instances, in bytes.", kEnvoyCluster};
const Family kEnvoyClusterRequests{"envoy_cluster_upstream_rq_total", Kind::kCounter,
                                   "One for each connection that was reached, as Envoy counts TCP.",
                                   kEnvoyCluster};
const Family kEnvoyHealthy{"envoy_cluster_membership_healthy", Kind::kGauge,
                           "Endpoints that are not ejected and whose last attempt has not failed.",
                           kEnvoyCluster};
const Family kEnvoyEndpoints{"envoy_cluster_membership_total", Kind::kGauge,
                             "Endpoints: those that the agent lists as passing, or the file.",
                             kEnvoyCluster};
const Family kEnvoyEjected{"envoy_cluster_outlier_detection_ejections_active", Kind::kGauge,
                           "As mooring_endpoints_ejected.", kEnvoyCluster};
const Family kEnvoyEjections{"envoy_cluster_outlier_detection_ejections_enforced_total",
                             Kind::kCounter, "As mooring_ejections_total.", kEnvoyCluster};
const Family kEnvoyOverload{"envoy_listener_downstream_cx_overload_reject", Kind::kCounter,
                            "Connections refused or ended because memory, descriptors or ports ran "
                            "out. The address is public_listener, or upstream for all of them.",
                            kEnvoyListener};
const Family kEnvoyOverflow{
    "envoy_listener_downstream_global_cx_overflow", Kind::kCounter,
    "Always 0: connections beyond a limit that is set are in mooring_over_limit_total.",
    kEnvoyListener};
const Family kEnvoyLive{"envoy_server_live", Kind::kGauge,
                        "1 while the service is served, 0 once it drains.", kEnvoySource};
const Family kEnvoyUptime{"envoy_server_uptime", Kind::kGauge, "Seconds since the process began.",
                          kEnvoySource};
const Family kEnvoyHeap{"envoy_server_memory_heap_size", Kind::kGauge,
                        "Bytes that the allocator has of the system; of the process, with the tags "
                        "of its first service.",
                        kEnvoySource};
const Family kEnvoyAllocated{"envoy_server_memory_allocated", Kind::kGauge,
                             "Bytes of it that are in use.", kEnvoySource};

}  // namespace family

std::span<const Family* const> Families() {
  using namespace family;
  static constexpr std::array kAll{&kOpened,
                                   &kClosed,
                                   &kOpen,
                                   &kReceived,
                                   &kSent,
                                   &kAuthorizations,
                                   &kConnect,
                                   &kHandshake,
                                   &kFirstByte,
                                   &kLifetime,
                                   &kRequests,
                                   &kAnswer,
                                   &kReady,
                                   &kHandshakes,
                                   &kEndpointState,
                                   &kEndpointAttempts,
                                   &kEndpointFailures,
                                   &kEndpointInFlight,
                                   &kEjected,
                                   &kEjections,
                                   &kProbes,
                                   &kListenerRefusing,
                                   &kAttemptsFailed,
                                   &kLeafExpiry,
                                   &kWatchAge,
                                   &kAgentErrors,
                                   &kAcceptPauses,
                                   &kHandshakesShed,
                                   &kLimit,
                                   &kLimitUsed,
                                   &kLimitRefused,
                                   &kBuild,
                                   &kStart,
                                   &kGenerations,
                                   &kGenerationOpen,
                                   &kCpu,
                                   &kResident,
                                   &kMaxFiles,
                                   &kTurnedAway,
                                   &kBuffer,
                                   &kBufferLimit,
                                   &kAgentConnections,
                                   &kReloads,
                                   &kReloadRefused,
                                   &kLoopLag,
                                   &kLogDropped,
                                   &kLogLeftOut,
                                   &kAccessLogDropped,
                                   &kConfined,
                                   &kRefusedCalls,
                                   &kEnvoyTcpOpened,
                                   &kEnvoyTcpReceived,
                                   &kEnvoyTcpSent,
                                   &kEnvoyTcpNoRoute,
                                   &kEnvoyTcpReceivedKept,
                                   &kEnvoyTcpSentKept,
                                   &kEnvoyClusterOpened,
                                   &kEnvoyClusterOpen,
                                   &kEnvoyClusterFailed,
                                   &kEnvoyClusterReceived,
                                   &kEnvoyClusterSent,
                                   &kEnvoyClusterRequests,
                                   &kEnvoyHealthy,
                                   &kEnvoyEndpoints,
                                   &kEnvoyEjected,
                                   &kEnvoyEjections,
                                   &kEnvoyOverload,
                                   &kEnvoyOverflow,
                                   &kEnvoyLive,
                                   &kEnvoyUptime,
                                   &kEnvoyHeap,
                                   &kEnvoyAllocated};
  return kAll;
}

}  // namespace mooring::observe
