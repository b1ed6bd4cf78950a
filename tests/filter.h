// A test program as a filter: each line of standard input is a question, and gets a line of
// standard output. What a question cannot be answered for is one as well: `error WHY`.
#pragma once

#include <exception>
#include <iostream>
#include <string>

namespace mooring::tests {

// AnswerEachLine goes on to the end of the input. `answer` is given a line, and gives one.
template <typename Answer>
void AnswerEachLine(const Answer& answer) {
  std::string line;
  while (std::getline(std::cin, line)) {
    try {
      std::cout << answer(line) << '\n';
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << '\n';
    }
  }
}

}  // namespace mooring::tests
