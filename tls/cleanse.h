// Cleanse overwrites a secret that is about to be freed, in a way that no compiler leaves out.
#pragma once

#include <string>

namespace mooring::tls {

void Cleanse(std::string* secret);  // leaves it empty

}  // namespace mooring::tls
