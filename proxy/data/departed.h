// Departed: the instances that have left an upstream by the catalog's word, while sessions to them
// may live on.
//
// A value, part of a snapshot, made by the control thread (control/departures.h). An instance that
// has merely moved has not left: what counts is its node and its ID.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "proxy/data/endpoint.h"

namespace mooring::data {

struct Departed {
  // why each has left, by node and ID
  std::map<std::pair<std::string, std::string>, std::string> why;

  // Of is why that instance has left; null: it has not.
  const std::string* Of(const Instance* instance) const {
    if (instance == nullptr) return nullptr;
    const auto found = why.find({instance->node, instance->id});
    return found == why.end() ? nullptr : &found->second;
  }
  bool operator==(const Departed&) const = default;
};

}  // namespace mooring::data
