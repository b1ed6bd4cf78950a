// LiveScreen: a text on the terminal that is drawn anew every few seconds, until somebody presses q
// or Ctrl-C.
//
// Where standard output is no terminal there is no LiveScreen: a command says its text once. The
// terminal is as it was before when the process ends, by a signal, too. One of a process.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

namespace mooring::cli {

// TerminalWidth is that of standard output; 0: it is no terminal.
std::size_t TerminalWidth();

class LiveScreen final {
 public:
  LiveScreen();
  ~LiveScreen();
  LiveScreen(const LiveScreen&) = delete;
  LiveScreen& operator=(const LiveScreen&) = delete;

  struct Size {
    std::size_t columns = 80, lines = 24;
  };
  static Size size();

  // Show draws the text; what does not fit is left out.
  void Show(const std::string& text);
  // Wait is over after that time, or at once when the size has changed. False: somebody wants to
  // leave.
  bool Wait(std::chrono::milliseconds time);

 private:
  bool keys_ = false;  // standard input is a terminal
};

// RunLive shows what `draw` gives for the size until somebody leaves; `draw` blocks while it asks.
// It returns the exit code.
int RunLive(std::chrono::milliseconds every,
            const std::function<std::string(const LiveScreen::Size& size)>& draw);

}  // namespace mooring::cli
