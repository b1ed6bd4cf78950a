// The state file's bytes: a text header and the documents' bodies as the agent sent them.
//
//   mooring state 1
//   sha256 <64 hex digits over all that follows this line>
//   {"id":..,"agent":..,"datacenter":..,
//    "documents":[{"name":..,"confirmed_ms":..,"headers":{..},"length":N},..]}
//   <the bodies, one after the other, `length` bytes each>
//
// Pure functions over memory; no files, no clock. Any thread. Error texts never hold bytes of a
// body.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"

namespace mooring::state {

using Headers = std::map<std::string, std::string>;
using WallTime = std::chrono::system_clock::time_point;

// kMaxHead bounds the header, which is parsed; bodies are only cut.
inline constexpr std::size_t kMaxHead = 4u << 20;

// Key says whose documents they are; a file is used only for the proxy and agent it was saved for.
struct Key {
  std::string id;          // "service.web"
  std::string agent;       // "http://127.0.0.1:8500"
  std::string datacenter;  // "" while unknown
};

// Document is one answer of the agent.
struct Document {
  std::string name;  // "roots /v1/agent/connect/ca/roots?", ASCII
  Headers headers;
  std::string body;
  WallTime confirmed;   // when the agent last said that it is so; whole milliseconds on disk
  bool handed = false;  // a predecessor knew it, and the file did not, or something older
};

// Entry is a Document whose body lies elsewhere, so that bodies, which may hold a key, are not
// copied.
struct Entry {
  std::string name;
  Headers headers;
  std::string_view body;
  WallTime confirmed;
};

struct File {
  Key key;
  std::vector<Entry> entries;
};

// Encode gives the three header lines; the file is these, then the entries' bodies in their order.
// An Error if the header would be larger than Decode takes.
Result<std::string> Encode(const Key& key, std::span<const Entry> entries);

// Decode takes a file apart, whole or not at all; the entries point into `content`. Nothing is
// looked at before the checksum over everything has been found right. Errors say what is wrong:
// "its checksum ...".
Result<File> Decode(std::string_view content);

}  // namespace mooring::state
