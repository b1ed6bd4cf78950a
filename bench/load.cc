// bench-load: makes the load of the benchmark and is its backend. `bench-load --help` says how.
#include <poll.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "authz/spiffe.h"
#include "bench/aead.h"
#include "bench/event_loop.h"
#include "bench/groups.h"
#include "bench/json_line.h"
#include "bench/loads.h"
#include "bench/servers.h"
#include "bench/take.h"
#include "bench/window.h"
#include "tls/context.h"
#include "tls/identity.h"

namespace mooring::bench {
namespace {

constexpr char kUsage[] =
    R"(usage: bench-load backend --port P
       bench-load relay --listen P --to P [--buffer BYTES]
       bench-load aead [--seconds S]
       bench-load MODE --port P [--seconds S] [--warm S] [--connections N] [--size BYTES]
                  [--cpu GROUP=PID,PID ...] [--hold]
                  [--tls --certificate F --key F --roots F --expect SPIFFE_ID [--resume]]

MODE   stream    one way into the backend's sink; counts what has arrived there
       echo      both ways; counts what has come back
       request   a message of --size bytes there and back, then the next
       connect   connect, one byte there and back, close, then the next
       mixed     one connection streams, --connections others (8) do what `request` does
       idle      opens connections and holds them; memory of the groups before and after;
                 --hold: on, until its input ends, and then a line of what is still held
A mode prints one line of JSON. All connections go to 127.0.0.1.
)";

constexpr double kOpenLimit = 60;  // seconds in which idle connections must have been opened
constexpr double kSettle = 0.7;    // seconds after the last one, before memory is read
constexpr double kLook = 0.05;     // seconds between two looks at whether the input has ended

class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Options are the command line: names with one value each, but for --cpu, which repeats, and --tls,
// --resume and
// --hold, which have none.
class Options final {
 public:
  Options(int argc, char** argv) {
    static const std::set<std::string_view> known = {
        "--port", "--listen", "--to",          "--buffer", "--seconds", "--warm",  "--connections",
        "--size", "--cpu",    "--certificate", "--key",    "--roots",   "--expect"};
    for (int i = 2; i < argc; ++i) {
      const std::string name = argv[i];
      if (name == "--tls" || name == "--resume" || name == "--hold") {
        values_[name] = "";
        continue;
      }
      if (!known.contains(name)) throw UsageError("unknown option " + name);
      if (++i == argc) throw UsageError(name + " wants a value");
      if (name == "--cpu") {
        groups_.Add(argv[i]);
      } else {
        values_[name] = argv[i];
      }
    }
  }

  bool Has(const std::string& name) const { return values_.contains(name); }
  std::string Text(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) throw UsageError(name + " is missing");
    return found->second;
  }
  template <typename T>
  T Number(const std::string& name) const {
    const std::string text = Text(name);
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < T{}) {
      throw UsageError(name + " is not a number: " + text);
    }
    return value;
  }
  template <typename T>
  T Number(const std::string& name, T otherwise) const {
    return Has(name) ? Number<T>(name) : otherwise;
  }
  int Port(const std::string& name) const {
    const int port = Number<int>(name);
    if (port < 1 || port > 65535) throw UsageError(name + " is not a port: " + Text(name));
    return port;
  }
  const Groups& groups() const { return groups_; }

 private:
  std::map<std::string, std::string> values_;
  Groups groups_;
};

std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

Target MakeTarget(const Options& options) {
  Target target;
  target.port = options.Port("--port");
  if (!options.Has("--tls")) return target;
  if (options.Has("--resume")) target.resume_at = "127.0.0.1:" + options.Text("--port");
  target.expected = Take(authz::ParseServiceId(options.Text("--expect")));
  const std::vector<std::string> roots = {FileText(options.Text("--roots"))};
  target.context = Take(
      tls::Context::MeshClient(Take(tls::Credentials::Make(FileText(options.Text("--certificate")),
                                                           FileText(options.Text("--key")))),
                               Take(tls::TrustBundle::Make(target.expected.trust_domain, roots))));
  return target;
}

JsonLine CpuLine(const std::map<std::string, double>& cpu) {
  JsonLine line;
  for (const auto& [name, seconds] : cpu) line.Add(name, seconds);
  return line;
}

JsonLine MemoryLine(const std::map<std::string, Memory>& memory) {
  JsonLine line;
  for (const auto& [name, bytes] : memory)
    line.Add(name, JsonLine().Add("rss", bytes.rss).Add("anon", bytes.anon));
  return line;
}

void AddWindow(const Window& window, JsonLine& line) {
  line.Add("seconds", window.seconds).Add("stolen", window.stolen).Add("cpu", CpuLine(window.cpu));
}

void AddOutcome(const Target& target, std::uint64_t errors, JsonLine& line) {
  line.Add("errors", errors);
  if (errors > 0) line.Add("last_error", target.last_failure);
  if (target.negotiated.handshakes > 0) {
    line.Add("tls", JsonLine()
                        .Add("version", target.negotiated.version)
                        .Add("cipher", target.negotiated.cipher)
                        .Add("group", target.negotiated.group)
                        .Add("handshakes", target.negotiated.handshakes)
                        .Add("resumed", target.negotiated.resumed));
  }
}

// MeasureWindow measures loads that have begun, for as long as the options say.
Window MeasureWindow(EventLoop& loop, const Options& options, const std::vector<Load*>& loads,
                     const std::vector<Load*>& counted) {
  return Measure(loop, options.groups(), loads, counted, options.Number("--warm", 0.2),
                 options.Number("--seconds", 0.9));
}

std::size_t MessageSize(const Options& options) {
  const auto size = options.Number<std::size_t>("--size", 256);
  if (size == 0) throw UsageError("--size is at least 1");
  return size;
}

JsonLine RunLoads(const std::string& mode, const std::vector<Load*>& loads, EventLoop& loop,
                  const Target& target, const Options& options) {
  for (Load* load : loads) load->Begin();
  const Window window = MeasureWindow(loop, options, loads, loads);
  JsonLine line;
  line.Add("mode", mode);
  AddWindow(window, line);
  std::uint64_t errors = 0;
  for (Load* load : loads) {
    load->Report(window.seconds, line);
    errors += load->errors();
  }
  AddOutcome(target, errors, line);
  return line;
}

bool InputEnded() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&input, 1, 0) != 1) return false;
  char byte = 0;
  return read(STDIN_FILENO, &byte, 1) <= 0;
}

JsonLine RunIdle(EventLoop& loop, Target& target, const Options& options) {
  const std::size_t wanted = options.Number<std::size_t>("--connections", 2000);
  Idle idle(loop, target, wanted);
  std::vector<Load*> loads = {&idle};
  const auto memory_before = options.groups().MemoryNow();
  const auto cpu_before = options.groups().Cpu();
  const Time begin = Clock::now();
  idle.Begin();
  RunUntil(loop, loads, begin + Duration(kOpenLimit), [&] { return idle.held() == wanted; });
  const double open_seconds = Seconds(Clock::now() - begin);
  const auto cpu = Difference(cpu_before, options.groups().Cpu());
  RunFor(loop, loads, kSettle);
  const auto memory_after = options.groups().MemoryNow();

  JsonLine line;
  line.Add("mode", "idle").Add("cpu", CpuLine(cpu));
  line.Add(
      "memory",
      JsonLine().Add("before", MemoryLine(memory_before)).Add("after", MemoryLine(memory_after)));
  idle.Report(open_seconds, line);
  AddOutcome(target, idle.errors(), line);
  if (!options.Has("--hold")) return line;
  std::puts(line.Text().c_str());
  std::fflush(stdout);
  while (!InputEnded()) RunFor(loop, loads, kLook);
  JsonLine last;
  idle.Report(open_seconds, last);
  AddOutcome(target, idle.errors(), last);
  return last;
}

JsonLine RunMode(const std::string& mode, const Options& options) {
  if (mode == "aead") return MeasureAead(options.Number("--seconds", 0.3));
  EventLoop loop;
  Target target = MakeTarget(options);
  const auto connections = [&](std::size_t otherwise) {
    return options.Number<std::size_t>("--connections", otherwise);
  };
  if (mode == "idle") return RunIdle(loop, target, options);
  if (mode == "mixed") {
    Stream large(loop, target, 1);
    Request small(loop, target, connections(8), MessageSize(options));
    return RunLoads(mode, {&large, &small}, loop, target, options);
  }
  std::unique_ptr<Load> load;
  if (mode == "stream") load = std::make_unique<Stream>(loop, target, connections(8));
  if (mode == "echo") load = std::make_unique<Echo>(loop, target, connections(8));
  if (mode == "request")
    load = std::make_unique<Request>(loop, target, connections(32), MessageSize(options));
  if (mode == "connect") load = std::make_unique<Connect>(loop, target, connections(16));
  if (!load) throw UsageError("unknown mode " + mode);
  return RunLoads(mode, {load.get()}, loop, target, options);
}

int Run(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--help" || mode == "-h") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  try {
    const Options options(argc, argv);
    RaiseFileLimit();
    if (mode == "backend") RunBackend(options.Port("--port"));
    if (mode == "relay") {
      RunRelay(options.Port("--listen"), options.Port("--to"),
               options.Number<std::size_t>("--buffer", std::size_t{512} << 10));
    }
    std::puts(RunMode(mode, options).Text().c_str());
    return 0;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "bench-load: %s (--help says how)\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-load: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace mooring::bench

int main(int argc, char** argv) { return mooring::bench::Run(argc, argv); }
