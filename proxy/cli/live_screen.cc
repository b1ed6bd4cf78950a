#include "proxy/cli/live_screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace mooring::cli {
namespace {

// Another screen without a cursor, and back.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";

// What the signal handler needs, and may use.
termios before{};
bool changed_keys = false;
volatile std::sig_atomic_t resized = 0;

void WriteAll(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Restore() {
  if (changed_keys) (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
  WriteAll(kLeave);
}

// Somebody who leaves need not wait for an answer that is awaited.
void OnEnd(int signal) {
  Restore();
  _exit(signal == SIGINT ? 0 : 128 + signal);
}

void OnResize(int) { resized = 1; }

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  (void)sigaction(signal, &action, nullptr);
}

}  // namespace

std::size_t TerminalWidth() {
  if (isatty(STDOUT_FILENO) == 0) return 0;
  return LiveScreen::size().columns;
}

LiveScreen::Size LiveScreen::size() {
  winsize window{};
  Size size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) {
    if (window.ws_col > 0) size.columns = window.ws_col;
    if (window.ws_row > 0) size.lines = window.ws_row;
  }
  return size;
}

LiveScreen::LiveScreen() {
  keys_ = tcgetattr(STDIN_FILENO, &before) == 0;
  if (keys_) {
    termios raw = before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // stopped, it would leave the terminal like this
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    changed_keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) Handle(signal, OnEnd);
  Handle(SIGWINCH, OnResize);
  WriteAll(kEnter);
}

LiveScreen::~LiveScreen() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGWINCH})
    Handle(signal, SIG_DFL);
  Restore();
}

void LiveScreen::Show(const std::string& text) {
  const Size size = LiveScreen::size();
  std::string out = "\x1b[H";
  std::string_view left = text;
  for (std::size_t i = 0; i + 1 < size.lines && !left.empty(); ++i) {
    const std::size_t end = left.find('\n');
    // Our texts are ASCII (log::Plain): a byte is a column.
    out += left.substr(0, std::min(end, size.columns));
    out += "\x1b[K\r\n";
    left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
  }
  WriteAll(out + "\x1b[J");
}

bool LiveScreen::Wait(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || resized != 0) break;
    pollfd input{keys_ ? STDIN_FILENO : -1, POLLIN, 0};
    if (poll(&input, 1, static_cast<int>(left.count())) <= 0) continue;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) != 1) {
      keys_ = false;  // it has been closed: there is Ctrl-C, or SIGHUP
    } else if (key == 'q' || key == 'Q') {
      return false;
    }
  }
  resized = 0;
  return true;
}

int RunLive(std::chrono::milliseconds every,
            const std::function<std::string(const LiveScreen::Size& size)>& draw) {
  LiveScreen screen;
  do {
    screen.Show(draw(LiveScreen::size()));
  } while (screen.Wait(every));
  return 0;
}

}  // namespace mooring::cli
