// The way of a line from any thread to a descriptor, whoever reads it or does not.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "proxy/log/log.h"
#include "proxy/net/socket.h"

namespace mooring::log {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Ends is a channel: the log writes to one end, the test reads the other.
struct Ends {
  net::UniqueFd read, write;
};

Ends Pipe() {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  return {net::UniqueFd(ends[0]), net::UniqueFd(ends[1])};
}

Ends SocketPair() {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  return {net::UniqueFd(ends[0]), net::UniqueFd(ends[1])};
}

Ends Terminal() {
  int master = -1, slave = -1;
  REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
  return {net::UniqueFd(master), net::UniqueFd(slave)};
}

// Reads what comes within `quiet` of each other.
std::string ReadAll(int fd, milliseconds quiet = milliseconds(300)) {
  std::string text;
  char chunk[65536];
  pollfd wanted{fd, POLLIN, 0};
  while (poll(&wanted, 1, static_cast<int>(quiet.count())) > 0) {
    const ssize_t count = read(fd, chunk, sizeof chunk);
    if (count <= 0) break;
    text.append(chunk, static_cast<std::size_t>(count));
  }
  return text;
}

// Reads until `wanted` has been seen, for ten seconds at most.
std::string ReadUntil(int fd, const std::string& wanted) {
  std::string text;
  const auto limit = Clock::now() + seconds(10);
  while (text.find(wanted) == std::string::npos && Clock::now() < limit)
    text += ReadAll(fd, milliseconds(20));
  return text;
}

bool Holds(const std::string& text, const std::string& part) {
  INFO(part << " in the last of " << text.size()
            << " bytes: " << text.substr(text.size() > 500 ? text.size() - 500 : 0));
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
    ++count;
  return count;
}

// lines of some 70 bytes: more than the queue and any kernel buffer hold
constexpr int kFlood = 20'000;

// Floods the log and checks that this takes no time worth speaking of.
void Flood(Log* log) {
  const auto begun = Clock::now();
  for (int i = 0; i < kFlood; ++i) log->Info("test", "flood", {{"number", std::to_string(i)}});
  CHECK(Clock::now() - begun < seconds(5));
}

// What each line about missing lines says, in sum.
std::uint64_t Missing(const std::string& text) {
  std::uint64_t sum = 0;
  const std::string said = "[WARN]  log: lines are missing here: lines=";
  for (std::size_t at = 0; (at = text.find(said, at)) != std::string::npos;)
    sum += std::stoull(text.substr(at += said.size()));
  return sum;
}

void ExpectLossSaid(const Ends& ends) {
  Log log(Level::kDebug, /*json=*/false, ends.write.get());
  Flood(&log);
  const std::uint64_t dropped = log.report().dropped.Total();
  CHECK(dropped > 0);
  CHECK(log.report().dropped.of[static_cast<std::size_t>(Level::kInfo)] == dropped);
  // There may have been some room between two losses: each is said.
  std::string text;
  const auto limit = Clock::now() + seconds(10);
  while (Missing(text) < dropped && Clock::now() < limit)
    text += ReadAll(ends.read.get(), milliseconds(20));
  CHECK(Missing(text) == dropped);
  Holds(text, "why=\"standard error was not read in time\"");
  CHECK(Count(text, "flood: number=") == kFlood - dropped);
  log.Info("test", "after");
  text += ReadUntil(ends.read.get(), "after");
  Holds(text, "test: after");
  // The first lines are there, and all of them are in order.
  int last = -1;
  for (std::size_t at = 0; (at = text.find("number=", at)) != std::string::npos;) {
    const int number = std::stoi(text.substr(at += 7));
    CHECK(number > last);
    if (last < 1000) CHECK(number == last + 1);
    last = number;
  }
}

}  // namespace

TEST_CASE(
    "log writer: a pipe that nobody reads costs lines, which are counted and said, and no time") {
  ExpectLossSaid(Pipe());
}

TEST_CASE("log writer: a socket whose peer does not read is like a pipe") {
  ExpectLossSaid(SocketPair());
}

TEST_CASE("log writer: a non-blocking pipe loses nothing that a blocking one would not") {
  Ends ends = Pipe();
  REQUIRE(fcntl(ends.write.get(), F_SETFL, O_NONBLOCK) == 0);
  ExpectLossSaid(ends);
}

TEST_CASE("log writer: a stopped terminal loses lines, and says so when it goes on") {
  Ends ends = Terminal();
  REQUIRE(tcflow(ends.write.get(), TCOOFF) == 0);
  {
    Log log(Level::kDebug, /*json=*/false, ends.write.get());
    Flood(&log);
    CHECK(log.report().dropped.Total() > 0);
    REQUIRE(tcflow(ends.write.get(), TCOON) == 0);
    Holds(ReadUntil(ends.read.get(), "lines are missing here"), "lines are missing here: lines=");
  }
}

TEST_CASE("log writer: the end takes a second at most when nobody reads") {
  Ends ends = Pipe();
  const auto begun = [&] {
    Log log(Level::kDebug, /*json=*/false, ends.write.get());
    Flood(&log);
    return Clock::now();
  }();
  CHECK(Clock::now() - begun >= milliseconds(900));
  CHECK(Clock::now() - begun < seconds(4));
  ends.read.Reset();  // lets the writer that was left behind end
}

TEST_CASE("log writer: at the end all that is queued is written") {
  Ends ends = Pipe();
  std::string text;
  std::thread reader([&] { text = ReadUntil(ends.read.get(), "the last line"); });
  {
    Log log(Level::kDebug, /*json=*/false, ends.write.get());
    for (int i = 0; i < 2000; ++i) log.Info("test", "flood", {{"number", std::to_string(i)}});
    log.Info("test", "the last line");
  }
  reader.join();
  CHECK(Count(text, "flood") == 2000);
  Holds(text, "the last line");
}

TEST_CASE("log writer: a closed pipe raises no signal, and its lines are counted") {
  Ends ends = Pipe();
  ends.read.Reset();
  Log log(Level::kDebug, /*json=*/true, ends.write.get());
  for (int i = 0; i < 5; ++i) log.Warn("test", "nobody is there");
  log.Close();
  CHECK(log.report().dropped.of[static_cast<std::size_t>(Level::kWarn)] == 5);
}

TEST_CASE(
    "log writer: a full disk costs lines, which are counted and said when there is room again") {
  char path[] = "/dev/shm/mooring-log-XXXXXX";
  net::UniqueFd file(mkstemp(path));
  REQUIRE(file);
  unlink(path);
  // A limit on the size of files stands for the full disk; it is met in the middle of a line. (The
  // signal that comes with it is blocked in the writer.)
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit full{100, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);
  Log log(Level::kDebug, /*json=*/false, file.get());
  for (int i = 0; i < 5; ++i) log.Warn("test", "no room for so many");
  const bool flushed = log.Flush(seconds(10));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(flushed);
  CHECK(log.report().dropped.Total() == 4);
  log.Info("test", "room");
  log.Close();
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(pread(file.get(), text.data(), text.size(), 0)));
  CHECK(Count(text, "no room for so many\n") == 1);
  Holds(text, "test: room\n");  // what was torn has been ended
  Holds(text, "lines are missing here: lines=4 warn=4 why=\"standard error: File too large\"\n");
  for (std::size_t at = 0; (at = text.find('[', at)) != std::string::npos; ++at)
    CHECK(text.rfind("Z ", at) == at - 2);
}

TEST_CASE("log writer: a flood of the others leaves room for warnings and errors") {
  Ends ends = Pipe();
  Log log(Level::kDebug, /*json=*/false, ends.write.get());
  Flood(&log);
  for (int i = 0; i < 500; ++i) log.Err("test", "worth knowing");
  CHECK(log.report().dropped.of[static_cast<std::size_t>(Level::kError)] == 0);
  CHECK(Count(ReadUntil(ends.read.get(), "lines are missing here"), "worth knowing") == 500);
}

TEST_CASE("log writer: threads write at once, no line is torn and each thread's are in order") {
  Ends ends = Pipe();
  constexpr int kThreads = 4, kEach = 500;
  std::string text;
  std::thread reader([&] { text = ReadUntil(ends.read.get(), "the last line"); });
  {
    Log log(Level::kDebug, /*json=*/false, ends.write.get());
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&log, thread] {
        for (int i = 0; i < kEach; ++i) {
          log.Warn("test", "line",
                   {{"thread", std::to_string(thread)}, {"number", std::to_string(i)}});
          log.WriteRationed(Level::kInfo, "test", "rationed", {"flood", "somebody"},
                            {{"number", std::to_string(i)}});
        }
      });
    }
    for (std::thread& one : threads) one.join();
    log.Info("test", "the last line");
  }
  reader.join();
  int next[kThreads] = {};
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    int thread = 0, number = 0;
    const std::size_t found = line.find("test: line: ");
    if (found == std::string::npos) continue;
    REQUIRE(std::sscanf(line.c_str() + found, "test: line: thread=%d number=%d", &thread,
                        &number) == 2);
    CHECK(number == next[thread]++);
  }
  for (const int each : next) CHECK(each == kEach);
}

TEST_CASE(
    "log writer: what rations leave out is summed up at the end of the window, by reason and by "
    "who it was") {
  Ends ends = Pipe();
  Log log(Level::kInfo, /*json=*/false, ends.write.get());
  for (int i = 0; i < 300; ++i) {
    log.WriteRationed(Level::kInfo, "test", "refused",
                      {"denied", i % 3 == 0 ? "spiffe://a" : "spiffe://b\n"}, {});
  }
  // would not be written anyway
  log.WriteRationed(Level::kDebug, "test", "refused", {"denied", "spiffe://a"}, {});
  const auto report = log.report();
  REQUIRE(report.left_out.size() == 1);
  CHECK(report.left_out[0].lines == 290);
  log.Close();  // ends every window
  const std::string text = ReadAll(ends.read.get());
  CHECK(Count(text, "test: refused") == Rations::kLines);
  Holds(text,
        "[INFO]  log: lines like this were left out: message=refused reason=denied lines=290 "
        "seconds=");
  Holds(text, R"(largest="spiffe://b\x0a 194, spiffe://a 96")");
}

TEST_CASE("log writer: the writer blocks every signal but that of a refused call") {
  namespace fs = std::filesystem;
  const auto threads = [] {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator("/proc/self/task"))
      found.insert(entry.path().filename());
    return found;
  };
  Ends ends = Pipe();
  const std::set<std::string> before = threads();
  Log log(Level::kInfo, /*json=*/false, ends.write.get());
  log.Info("test", "it has begun");
  Holds(ReadUntil(ends.read.get(), "begun"), "begun");
  int seen = 0;
  for (const std::string& thread : threads()) {
    if (before.contains(thread)) continue;
    ++seen;
    std::ifstream status("/proc/self/task/" + thread + "/status");
    std::string line;
    while (std::getline(status, line) && !line.starts_with("SigBlk:")) {
    }
    // All but SIGKILL, SIGSTOP, the two of the C library's own, and SIGSYS.
    INFO(line);
    CHECK((std::stoull(line.substr(8), nullptr, 16) | 0x00000001C0040100ULL) == ~0ULL);
  }
  CHECK(seen == 1);
}

TEST_CASE(
    "log writer: a message for a person is escaped line by line and keeps its place among the "
    "lines") {
  Ends ends = Pipe();
  Log log(Level::kInfo, /*json=*/false, ends.write.get());
  log.Info("test", "before");
  log.Complain("no proxy for \x1b[2J\nforged", {"one of: a\nb"});
  log.Close();
  const std::string text = ReadAll(ends.read.get());
  Holds(text, "test: before\n==> no proxy for \\x1b[2J\\x0aforged\n    one of: a\\x0ab\n");
}

TEST_CASE("log output: a bounded write gives up in time, and needs no reader for what fits") {
  Ends ends = Pipe();
  CHECK(WriteWithin(ends.write.get(), "Mooring proxy starting...\n", milliseconds(0)));
  const std::string large(1u << 20, 'x');
  const auto begun = Clock::now();
  CHECK_FALSE(WriteWithin(ends.write.get(), large, milliseconds(100)));
  CHECK(Clock::now() - begun < seconds(3));
  ends.read.Reset();
  CHECK_FALSE(WriteWithin(ends.write.get(), large, milliseconds(100)));  // and no SIGPIPE
}

}  // namespace mooring::log
