// Lister: finds those live connections of one service on one worker that somebody asks for, a few
// in each turn of the loop. Between two questions it costs nothing: no connection is listed
// anywhere else than in its host.
//
// An Inquiry is made by the thread that asks, given to the Lister, and comes back by a task that
// was made beforehand. So it comes back even where the worker has no memory.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "proxy/data/connection.h"
#include "proxy/data/connection_view.h"
#include "proxy/data/rounds.h"
#include "proxy/net/loop.h"

namespace mooring::data {

// Wanted says which connections, and in which order.
struct Wanted {
  enum class Order { kNewest, kBytes };  // most bytes first
  Order order = Order::kNewest;
  // each is found, in any letter case, in something that is known of the connection
  std::vector<std::string> words;
  std::size_t most = 100;  // how many of them, the first by the order
  // No connection is wanted, but that each tells the counters what has moved (Connection::Feed):
  // they know it as of the last sweep.
  bool feed = false;
};

// WordsOf takes apart what somebody has typed: at spaces, in small letters.
std::vector<std::string> WordsOf(const std::string& typed);
// HasAll: `text` has each of these words in it, in any letter case.
bool HasAll(std::string text, const std::vector<std::string>& words);

// Before is the order that is wanted, of any two connections of the process.
bool Before(Wanted::Order order, const ConnectionView& a, const ConnectionView& b);

// Found is the answer.
struct Found {
  bool failed = false;      // the worker had no memory for it
  std::size_t matched = 0;  // of these are `views` the first by the order, themselves in no order
  std::vector<ConnectionView> views;
};

class Inquiry final {
 public:
  // `back` runs on the loop of who asks, once, unless the worker ends before; `into` is filled by
  // then, and has to live as long as `back`. A connection that comes while the list is gone through
  // may be missing.
  Inquiry(net::Loop& asker, Wanted wanted, Found* into, std::function<void()> back)
      : wanted_(std::move(wanted)),
        asker_(asker),
        into_(into),
        back_(std::make_unique<net::Task>(std::move(back))) {}

 private:
  friend class Lister;
  bool Matches(const ConnectionView& view) const;
  void Take(Connection& connection);
  void Return(bool failed) noexcept;

  const Wanted wanted_;
  net::Loop& asker_;
  Found* const into_;
  std::unique_ptr<net::Task> back_;
  Found found_;  // the views are a heap, its worst in front
};

// Its loop's thread.
class Lister final {
 public:
  using Connections = std::list<std::unique_ptr<Connection>>;

  // `connections` outlive the Lister.
  Lister(net::Loop& loop, Connections& connections);

  // Ask goes through the connections for it, after those that were asked before.
  void Ask(std::shared_ptr<Inquiry> inquiry) noexcept;
  // Leaving is to be called before a connection is taken off the list.
  void Leaving(Connections::iterator position) { rounds_.Leaving(position); }

 private:
  void GoOn() noexcept;

  Connections& connections_;
  Rounds<std::unique_ptr<Connection>> rounds_{connections_};
  net::Timer next_;
  std::list<std::shared_ptr<Inquiry>> asked_;
};

}  // namespace mooring::data
