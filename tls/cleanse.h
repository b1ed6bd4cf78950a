// Cleanse overwrites a secret that is about to be freed, in a way that no compiler leaves out.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace mooring::tls {

void Cleanse(std::string* secret);             // leaves it empty
void Cleanse(std::span<std::uint8_t> memory);  // leaves zeros

}  // namespace mooring::tls
