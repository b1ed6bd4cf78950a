// bench-micro [FILTER] [--seconds S]: what single steps of Mooring cost, without sockets.
//
// A FILTER is a part of a benchmark's name. S is the CPU time that one benchmark takes, all its
// runs together. operator new is counted because BoringSSL does not use it: the figure is about our
// own code.
#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro.h"

namespace {

std::uint64_t g_allocations = 0;  // the program has one thread

}  // namespace

void* operator new(std::size_t size) {
  ++g_allocations;
  void* memory = std::malloc(std::max<std::size_t>(size, 1));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace mooring::bench {
namespace {

constexpr std::size_t kRuns = 7;
constexpr double kDefaultSeconds = 0.7;

std::chrono::nanoseconds ThreadCpu() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// OperationsFor finds how many operations take `share`, and warms up on the way.
std::size_t OperationsFor(const Benchmark& benchmark, std::chrono::nanoseconds share) {
  for (std::size_t operations = 1;; operations *= 2) {
    Meter meter;
    benchmark.run(meter, operations);
    if (meter.cpu() * 4 < share) continue;
    return std::max<std::size_t>(operations * static_cast<std::size_t>(share / meter.cpu()), 1);
  }
}

void Measure(const Benchmark& benchmark, double seconds) {
  const std::chrono::nanoseconds share(static_cast<std::int64_t>(seconds * 1e9 / kRuns));
  const std::size_t operations = OperationsFor(benchmark, share);
  std::array<double, kRuns> costs{};
  std::uint64_t allocations = 0;
  for (double& cost : costs) {
    Meter meter;
    benchmark.run(meter, operations);
    cost = static_cast<double>(meter.cpu().count()) / static_cast<double>(operations);
    allocations += meter.allocations();
  }
  std::sort(costs.begin(), costs.end());
  const double median = costs[kRuns / 2];

  std::array<char, 32> rate{};
  if (benchmark.bytes != 0) {
    std::snprintf(rate.data(), rate.size(), "%.0f",
                  static_cast<double>(benchmark.bytes) * 1e3 / median);
  }
  std::array<char, 64> range{};
  std::snprintf(range.data(), range.size(), "(%.1f-%.1f)", costs.front(), costs.back());
  std::printf("%-46s %12.1f  %-25s %8s %9.2f\n", benchmark.name.c_str(), median, range.data(),
              rate.data(),
              static_cast<double>(allocations) / static_cast<double>(operations * kRuns));
  std::fflush(stdout);
}

struct Arguments {
  std::string filter;
  double seconds = kDefaultSeconds;
};

Arguments Parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--seconds") == 0 && i + 1 < count) {
      arguments.seconds = std::strtod(words[++i], nullptr);
    } else if (words[i][0] != '-' && arguments.filter.empty()) {
      arguments.filter = words[i];
    } else {
      arguments.seconds = 0;
    }
  }
  if (arguments.seconds > 0) return arguments;
  std::fprintf(stderr, "usage: bench-micro [FILTER] [--seconds S]\n");
  std::exit(2);
}

int Main(const Arguments& arguments) {
  std::vector<Benchmark> all = TlsBenchmarks();
  for (Benchmark& benchmark : KeyExchangeBenchmarks()) all.push_back(std::move(benchmark));
  for (Benchmark& benchmark : AuthzBenchmarks()) all.push_back(std::move(benchmark));
  for (Benchmark& benchmark : ChoiceBenchmarks()) all.push_back(std::move(benchmark));
  std::erase_if(all, [&](const Benchmark& one) {
    return one.name.find(arguments.filter) == std::string::npos;
  });
  if (all.empty()) {
    std::fprintf(stderr, "bench-micro: no benchmark's name contains \"%s\"\n",
                 arguments.filter.c_str());
    return 2;
  }
  std::printf("%-46s %12s  %-25s %8s %9s\n", "benchmark", "median ns/op", "(min-max of 7 runs)",
              "MB/s", "new/op");
  for (const Benchmark& benchmark : all) Measure(benchmark, arguments.seconds);
  return 0;
}

}  // namespace

void Meter::Start() {
  allocations_at_start_ = g_allocations;
  cpu_at_start_ = ThreadCpu();
}

void Meter::Stop() {
  cpu_ += ThreadCpu() - cpu_at_start_;
  allocations_ += g_allocations - allocations_at_start_;
}

void Require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "bench-micro: %s\n", what);
  std::exit(1);
}

}  // namespace mooring::bench

int main(int count, char** words) {
  return mooring::bench::Main(mooring::bench::Parse(count, words));
}
