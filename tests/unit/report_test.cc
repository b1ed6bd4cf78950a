// Reports from workers to their one reader: nobody who is slow holds up anybody else, and what is
// lost for that is counted.
#include "proxy/data/report.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace {

using namespace mooring;
using data::Report;
using data::Reports;

Report Numbered(std::uint64_t id) {
  Report report;
  report.record.id = id;
  report.record.reason = data::CloseReason::kDone;
  return report;
}

}  // namespace

TEST_CASE("reports: what nobody reads is dropped and counted, and what was there before stays") {
  Reports reports({});
  for (std::uint64_t i = 0; i < Reports::kCapacity + 10; ++i) reports.Note(Numbered(i));
  CHECK(reports.dropped() == 10);
  reports.Close();
  reports.Note(Numbered(0));
  CHECK(reports.dropped() == 11);
  std::vector<Report> batch = Reports::MakeBatch();
  CHECK_FALSE(reports.Take(&batch));
  REQUIRE(batch.size() == Reports::kCapacity);
  CHECK(batch.back().record.id == Reports::kCapacity - 1);
}

TEST_CASE("threads: reports of several workers all come to the one reader, each once") {
  Reports reports({});
  constexpr std::uint64_t kEach = 5'000;
  std::uint64_t seen = 0, sum = 0;
  std::thread reader([&] {
    std::vector<Report> batch = Reports::MakeBatch();
    for (bool more = true; more;) {
      more = reports.Take(&batch);
      seen += batch.size();
      for (const Report& report : batch) sum += report.record.id;
    }
  });
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 2; ++worker) {
    workers.emplace_back([&] {
      for (std::uint64_t i = 0; i < kEach; ++i) reports.Note(Numbered(1));
    });
  }
  for (std::thread& worker : workers) worker.join();
  reports.Close();
  reader.join();
  CHECK(seen + reports.dropped() == 2 * kEach);
  CHECK(sum == seen);
}
