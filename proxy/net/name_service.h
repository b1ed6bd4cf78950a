// NameService: the host names of one loop, resolved: Names, with /etc/hosts and DNS to ask, and the
// machine's other sources for names that neither knows.
//
// Made by a loop when the first name is asked for. Loop thread only.
#pragma once

#include <memory>
#include <random>
#include <string>

#include "proxy/net/dns.h"
#include "proxy/net/loop.h"
#include "proxy/net/name_sources.h"
#include "proxy/net/names.h"

namespace mooring::net {

class NameService final : public Attachment {
 public:
  // Of is the one of `loop`, which owns it.
  static NameService& Of(Loop& loop);
  explicit NameService(Loop& loop);
  NameService(const NameService&) = delete;
  NameService& operator=(const NameService&) = delete;

  Names& names() { return names_; }

 private:
  void LookUp(const std::string& host, NameKind kind, Dns::Callback callback);

  Loop& loop_;
  std::minstd_rand random_;
  Timer wake_;
  Names names_;
  Dns dns_;  // ends before the names: an answer would need them
  NameSources sources_;
};

}  // namespace mooring::net
