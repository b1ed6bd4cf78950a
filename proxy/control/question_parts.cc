#include "proxy/control/question_parts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace mooring::control {
namespace {

using Blocking = Question::Blocking;
using Own = Question::Own;

constexpr std::array kBlocking{std::pair{Blocking::kIndex, "index"},
                               std::pair{Blocking::kHash, "hash"},
                               std::pair{Blocking::kNone, "none"}};
constexpr std::array kOwn{std::pair{Own::kNone, "none"},
                          std::pair{Own::kConfiguration, "configuration"},
                          std::pair{Own::kRoots, "roots"},
                          std::pair{Own::kLeaf, "leaf"},
                          std::pair{Own::kIntentions, "intentions"},
                          std::pair{Own::kIntentionList, "intention-list"}};
constexpr net::milliseconds::rep kLongest = 600'000;
constexpr char kAnyToken[] = "any-token";
constexpr char kMarked[] = "marked";
constexpr char kOneToken[] = "one-token";
constexpr char kUnmarked[] = "unmarked";

template <typename Words, typename Value>
std::string WordOf(const Words& words, Value value) {
  for (const auto& [one, word] : words) {
    if (one == value) return word;
  }
  return {};
}

template <typename Words, typename Value>
bool Read(const Words& words, std::string_view text, Value* value) {
  for (const auto& [one, word] : words) {
    if (text != word) continue;
    *value = one;
    return true;
  }
  return false;
}

// Cut is what stands before the next blank, which is taken off with it.
std::string_view Cut(std::string_view* text) {
  const std::size_t end = std::min(text->find(' '), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return word;
}

}  // namespace

std::string HeaderOf(const Question::What& what, const Question::How& how) {
  return WordOf(kBlocking, what.blocking) + ' ' + (what.any_token ? kAnyToken : kOneToken) + ' ' +
         WordOf(kOwn, how.own) + ' ' + (how.marked ? kMarked : kUnmarked) + ' ' +
         std::to_string(how.wait.count()) + ' ' + what.path + ' ' + what.query;
}

std::optional<FeedQuestion> ReadHeader(std::string_view header) {
  FeedQuestion question;
  if (!Read(kBlocking, Cut(&header), &question.what.blocking)) return std::nullopt;
  const std::string_view whose = Cut(&header);
  if (whose != kAnyToken && whose != kOneToken) return std::nullopt;
  question.what.any_token = whose == kAnyToken;
  if (!Read(kOwn, Cut(&header), &question.how.own)) return std::nullopt;
  const std::string_view marked = Cut(&header);
  if (marked != kMarked && marked != kUnmarked) return std::nullopt;
  question.how.marked = marked == kMarked;
  const std::string_view wait = Cut(&header);
  net::milliseconds::rep number = 0;
  const auto [end, error] = std::from_chars(wait.data(), wait.data() + wait.size(), number);
  if (error != std::errc() || end != wait.data() + wait.size() || number < 0 || number > kLongest)
    return std::nullopt;
  question.how.wait = net::milliseconds(number);
  question.what.path = Cut(&header);
  question.what.query = header;
  return question;
}

}  // namespace mooring::control
