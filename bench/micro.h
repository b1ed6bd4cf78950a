// The harness of bench-micro: benchmarks on one thread, counted in its CPU time and its calls of
// operator new.
//
// A benchmark does as many operations as it is asked for, and meters what belongs to them: what
// only prepares them stays outside Start and Stop. CPU time and not wall time, so that a busy
// machine disturbs less.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mooring::bench {

// Meter adds up what passes between Start and Stop.
class Meter final {
 public:
  void Start();
  void Stop();

  std::chrono::nanoseconds cpu() const { return cpu_; }
  std::uint64_t allocations() const { return allocations_; }

 private:
  std::chrono::nanoseconds cpu_{};
  std::chrono::nanoseconds cpu_at_start_{};
  std::uint64_t allocations_ = 0;
  std::uint64_t allocations_at_start_ = 0;
};

struct Benchmark {
  std::string name;       // path/like/this, so that a FILTER can pick a family
  std::size_t bytes = 0;  // payload of one operation; 0: no rate is printed
  std::function<void(Meter& meter, std::size_t operations)> run;
};

// Each of `call` is one operation, metered whole.
template <typename Call>
Benchmark Simple(std::string name, std::size_t bytes, Call call) {
  return {std::move(name), bytes, [call = std::move(call)](Meter& meter, std::size_t operations) {
            meter.Start();
            for (std::size_t i = 0; i < operations; ++i) call(i);
            meter.Stop();
          }};
}

// Require ends the program if a benchmark does not do what it claims to measure.
void Require(bool good, const char* what);

std::vector<Benchmark> TlsBenchmarks();
std::vector<Benchmark> KeyExchangeBenchmarks();
std::vector<Benchmark> AuthzBenchmarks();
std::vector<Benchmark> ChoiceBenchmarks();

}  // namespace mooring::bench
