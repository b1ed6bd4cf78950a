// What the compiler's own libraries want of the C library, where the program is built against one
// that is older than they are (examples/packaging/archive): before 2.34.
//
// Linked into the program alone. All of it is hidden, so a newer C library at run time changes
// nothing: its own are found by nobody.
#include <features.h>

#if !__GLIBC_PREREQ(2, 34)

#include <link.h>
#include <sys/random.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

// Where libgcc looks for the frames of an exception: the object that has this address.
struct Sought {
  std::uintptr_t address;
  std::uintptr_t begin;
  std::uintptr_t end;
  void* frames;  // its PT_GNU_EH_FRAME, if it has one
};

int Look(dl_phdr_info* info, std::size_t, void* context) {
  Sought& sought = *static_cast<Sought*>(context);
  void* frames = nullptr;
  bool here = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_GNU_EH_FRAME) {
      frames = reinterpret_cast<void*>(begin);
    } else if (segment.p_type == PT_LOAD && sought.address - begin < segment.p_memsz) {
      here = true;
      sought.begin = begin;
      sought.end = begin + segment.p_memsz;
    }
  }
  if (here) sought.frames = frames;
  return here ? 1 : 0;
}

}  // namespace

// Names and types are the C library's.
#pragma GCC visibility push(hidden)
extern "C" {

// Since 2.35. The same layout; what is reserved stays empty.
struct dl_find_object {
  unsigned long long dlfo_flags;
  void* dlfo_map_start;
  void* dlfo_map_end;
  struct link_map* dlfo_link_map;
  void* dlfo_eh_frame;
  unsigned long long reserved[7];
};

int _dl_find_object(void* address, dl_find_object* result);
int _dl_find_object(void* address, dl_find_object* result) {
  Sought sought{reinterpret_cast<std::uintptr_t>(address), 0, 0, nullptr};
  if (dl_iterate_phdr(Look, &sought) == 0 || sought.frames == nullptr) return -1;
  *result = {};
  result->dlfo_map_start = reinterpret_cast<void*>(sought.begin);
  result->dlfo_map_end = reinterpret_cast<void*>(sought.end);
  result->dlfo_eh_frame = sought.frames;
  return 0;
}

// Since 2.32: whether reference counts need no atomic operations. They always get them.
char __libc_single_threaded = 0;

// Since 2.36, for std::random_device.
std::uint32_t arc4random();
std::uint32_t arc4random() {
  std::uint32_t number = 0;
  if (getentropy(&number, sizeof number) != 0) std::abort();
  return number;
}

// The C library's own start code before 2.34 calls the constructors by a function that is linked
// into the program, and has no mark of control-flow protection. This one has; entry.S names it.
using Constructor = void (*)(int, char**, char**);
extern const Constructor __init_array_start[];
extern const Constructor __init_array_end[];
void mooring_construct(int argc, char** argv, char** environment);
void mooring_construct(int argc, char** argv, char** environment) {
  for (const Constructor* each = __init_array_start; each != __init_array_end; ++each)
    (*each)(argc, argv, environment);
}

}  // extern "C"
#pragma GCC visibility pop

#endif
