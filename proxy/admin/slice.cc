#include "proxy/admin/slice.h"

#include <charconv>

namespace mooring::admin {
namespace {

Status ReadNumber(const http::ServerRequest& request, const char* name, std::size_t most,
                  std::size_t* into) {
  const std::string* text = request.Query(name);
  if (text == nullptr) return Ok();
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, *into);
  if (error == std::errc() && rest == end && *into <= most) return Ok();
  return Invalid(std::string(name) + " has to be a number from 0 to " + std::to_string(most));
}

}  // namespace

Result<Slice> ReadSlice(const http::ServerRequest& request) {
  Slice slice;
  if (Status read = ReadNumber(request, "offset", Slice::kMostOffset, &slice.offset); !read)
    return read.error();
  if (Status read = ReadNumber(request, "limit", Slice::kMostLimit, &slice.limit); !read)
    return read.error();
  if (const std::string* match = request.Query("match")) slice.match = *match;
  if (const std::string* sort = request.Query("sort")) slice.sort = *sort;
  return slice;
}

}  // namespace mooring::admin
