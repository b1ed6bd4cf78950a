// What most files include of the C++ library, for a build that compiles each file from nothing
// (tests/setup --clang without ccache).
//
// Compiled once it saves a quarter of clang's time. Nothing relies on it: every other build does
// without, so that a file that forgets an #include of its own is found there. Nobody includes it.

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
