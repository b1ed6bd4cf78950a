#include "proxy/confine/seccomp.h"

#include <seccomp.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "proxy/confine/calls.h"

namespace mooring::confine {
namespace {

// Larger than any number of a call; what is beyond it is counted, and named by the last.
constexpr std::size_t kNumbers = 1024;
enum class Seen : unsigned char { kNever, kNew, kTold };

std::atomic<std::uint64_t> refused{0};
std::array<std::atomic<Seen>, kNumbers> seen{};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<Seen>::is_always_lock_free);  // a signal handler's

// NameOf is not for a signal handler: it allocates.
std::string NameOf(int number) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), std::free);
  return name ? name.get() : "number " + std::to_string(number);
}

#if defined(__x86_64__)
void Answer(ucontext_t* at, int error) { at->uc_mcontext.gregs[REG_RAX] = -error; }
#elif defined(__aarch64__)
void Answer(ucontext_t* at, int error) {
  at->uc_mcontext.regs[0] = static_cast<unsigned long long>(-error);
}
#else
#error "say here in which register a system call's result is"
#endif

void OnRefused(int /*signal*/, siginfo_t* info, void* context) {
  refused.fetch_add(1, std::memory_order_relaxed);
  const auto number = std::min<std::size_t>(static_cast<unsigned>(info->si_syscall), kNumbers - 1);
  Seen never = Seen::kNever;
  (void)seen[number].compare_exchange_strong(never, Seen::kNew);
  Answer(static_cast<ucontext_t*>(context), ENOSYS);
}

// Say is a write that nothing can be done about.
void Say(std::string_view text) {
  const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  (void)written;
}

// OnFatal names the call by its number: names are looked up where memory may be allocated.
void OnFatal(int signal, siginfo_t* info, void* /*context*/) {
  std::array<char, 12> digits{};
  std::size_t first = digits.size();
  auto rest = static_cast<unsigned>(info->si_syscall);
  do {
    digits[--first] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  Say("==> system call ");
  Say({digits.data() + first, digits.size() - first});
  Say(" is not one that this process may make (confine.seccomp: kill)\n");
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  (void)sigaction(signal, &usual, nullptr);
  // It is delivered once this handler has returned.
  (void)raise(signal);
}

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

int Fill(scmp_filter_ctx filter) {
  for (const auto& [attribute, value] :
       {std::pair(SCMP_FLTATR_CTL_NNP, 0U),    // it is set, or the process is root
        std::pair(SCMP_FLTATR_CTL_TSYNC, 1U),  // all threads
        std::pair(SCMP_FLTATR_API_TSKIP, 1U),
        // the calls of another architecture, which no code of ours makes
        std::pair(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
        std::pair(SCMP_FLTATR_API_SYSRAWRC, 1U), std::pair(SCMP_FLTATR_CTL_OPTIMIZE, 2U)}) {
    if (const int error = seccomp_attr_set(filter, attribute, value); error != 0) return error;
  }
  for (const Call& call : AllowedCalls()) {
    const int error =
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number,
                               static_cast<unsigned>(call.if_all.size()), call.if_all.data());
    if (error != 0) return error;
  }
  for (const int number : QuietlyMissing()) {
    if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0); error != 0)
      return error;
  }
  // What a debugger has made of a call that is not to be made (ptrace(2)).
  constexpr int kSkipped = -1;
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, kSkipped, 0);
}

}  // namespace

Outcome FilterCalls(Refusal refusal) {
  struct sigaction action {};
  action.sa_sigaction = refusal == Refusal::kKill ? OnFatal : OnRefused;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return Outcome::Failed("SIGSYS", errno);
  const Filter filter(seccomp_init(SCMP_ACT_TRAP), seccomp_release);
  if (!filter) return Outcome::Not("seccomp: no memory for the filter");
  if (const int error = Fill(filter.get()); error != 0) return Outcome::Failed("seccomp", -error);
  if (const int error = seccomp_load(filter.get()); error != 0)
    return Outcome::Failed("seccomp", -error);
  return Outcome::Holds();
}

std::uint64_t RefusedCalls() { return refused.load(std::memory_order_relaxed); }

std::vector<std::string> NewlyRefused() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    Seen fresh = Seen::kNew;
    if (seen[i].compare_exchange_strong(fresh, Seen::kTold))
      names.push_back(NameOf(static_cast<int>(i)));
  }
  return names;
}

}  // namespace mooring::confine
