#include "proxy/config/yaml_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <sstream>
#include <utility>

#include "authz/text.h"

namespace mooring::config {
namespace {

Position At(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {.line = mark.line + 1, .column = mark.column + 1};
}

// TreeBuilder turns events into YamlNodes. Unfinished collections wait on a stack.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlDocument* document) : document_(document) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) Report(mark, "a second document begins here; a file holds only one");
  }
  void OnDocumentEnd() override {}
  int documents() const { return documents_; }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    CheckAnchor(mark, anchor);
    Add(MakeNode(YamlNode::Kind::kNull, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Report(mark, "aliases (*name) are not supported; repeat the value, or quote a plain '*'");
    Add(MakeNode(YamlNode::Kind::kBroken, mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckAnchor(mark, anchor);
    CheckTag(mark, tag);
    YamlNode node = MakeNode(YamlNode::Kind::kScalar, mark);
    node.text = value;
    node.quoted = tag != "?";  // YAML 1.2, 6.9.1: the non-specific tag of a plain scalar
    if (value.find('\0') != std::string::npos) {
      Report(mark, "the text holds a NUL byte, which nothing here can use");
    }
    Add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kSequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kMapping, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  static YamlNode MakeNode(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode node;
    node.kind = kind;
    node.at = At(mark);
    return node;
  }

  void Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    CheckAnchor(mark, anchor);
    CheckTag(mark, tag);
    if (open_.size() == kMaxYamlDepth) {
      throw YAML::ParserException(mark, "nested more than 16 levels deep");
    }
    open_.push_back(MakeNode(kind, mark));
  }

  void Close() {
    YamlNode node = std::move(open_.back());
    open_.pop_back();
    Add(std::move(node));
  }

  void Add(YamlNode node) {
    if (documents_ > 1) return;
    if (open_.empty()) {
      document_->root = std::move(node);
      return;
    }
    YamlNode& parent = open_.back();
    const bool is_key =
        parent.kind == YamlNode::Kind::kMapping && parent.keys.size() == parent.items.size();
    if (is_key && node.kind != YamlNode::Kind::kScalar) {
      if (node.kind != YamlNode::Kind::kBroken) Report(node.at, "a key must be a word");
      node.kind = YamlNode::Kind::kBroken;
    }
    (is_key ? parent.keys : parent.items).push_back(std::move(node));
  }

  void CheckAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Report(mark, "anchors (&name) are not supported; write the value out");
  }
  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    Report(mark, "tags (!name) are not supported; leave it out");
  }

  void Report(const YAML::Mark& mark, std::string message) { Report(At(mark), std::move(message)); }
  void Report(Position at, std::string message) {
    document_->problems.push_back({at.line, at.column, std::move(message)});
  }

  YamlDocument* document_;
  std::vector<YamlNode> open_;
  int documents_ = 0;
};

// Utf8Length is the length of the character at the front of `text`; 0 if it is not UTF-8 (RFC 3629
// 4).
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool beyond = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

// FindForeignByte looks for what yaml-cpp would quietly replace: it takes any bytes for text.
std::optional<Problem> FindForeignByte(std::string_view text) {
  Position at{.line = 1, .column = 1};
  while (!text.empty()) {
    const std::size_t length = text.front() == '\0' ? 0 : Utf8Length(text);
    if (length == 0) {
      return Problem{at.line, at.column,
                     "the file is not UTF-8 text: this byte belongs to no character"};
    }
    if (text.front() == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
    text.remove_prefix(length);
  }
  return std::nullopt;
}

std::string_view LineOf(std::string_view text, int line) {
  for (; line > 1; --line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

// SyntaxProblem adds the cure of the mistakes that people make most.
Problem SyntaxProblem(std::string_view text, const YAML::Exception& error) {
  const Position at = At(error.mark);
  Problem problem{at.line, at.column, "this is not YAML: " + authz::Shortened(error.msg)};
  const std::string_view line = LineOf(text, at.line);
  const std::string_view indent = line.substr(0, line.find_first_not_of(" \t"));
  if (indent.find('\t') != std::string_view::npos) {
    problem.message += " (the line is indented by a tab; use spaces)";
  } else if (error.msg.find("alias") != std::string::npos ||
             error.msg.find("anchor") != std::string::npos) {
    problem.message += " (a * that stands for itself goes into quotes: '*')";
  } else if (line.find("]:") != std::string_view::npos) {
    problem.message += " (an address of [v6]:port goes into quotes)";
  }
  return problem;
}

}  // namespace

YamlDocument ReadYamlDocument(std::string_view text) {
  YamlDocument document;
  if (text.size() > kMaxYamlBytes) {
    document.problems.push_back({0, 0, "the file is larger than 1 MiB"});
    return document;
  }
  if (std::optional<Problem> foreign = FindForeignByte(text)) {
    document.problems.push_back(*std::move(foreign));
    return document;
  }
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(&document);
  try {
    YAML::Parser parser(stream);
    // Not to the end: yaml-cpp can go on for ever with empty documents in front of a stray comma.
    while (builder.documents() < 2 && parser.HandleNextDocument(builder)) {
    }
    document.complete = true;
  } catch (const YAML::Exception& error) {
    document.problems.push_back(SyntaxProblem(text, error));
  } catch (const std::exception& error) {
    document.problems.push_back({0, 0, "this is not YAML: " + authz::Shortened(error.what())});
  }
  return document;
}

}  // namespace mooring::config
