#include "proxy/net/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace mooring::net {

Pages::Pages(std::size_t size) : size_(size) {
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::uint8_t*>(mapped);
}

Pages::~Pages() { munmap(data_, size_); }

void Pages::GiveBack(std::size_t keep) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t from = (keep + page - 1) / page * page;
  if (from < size_) (void)madvise(data_ + from, size_ - from, MADV_DONTNEED);
}

}  // namespace mooring::net
