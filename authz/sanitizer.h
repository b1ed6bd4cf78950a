// MOORING_ADDRESS_SANITIZER is 1 where the program is built with AddressSanitizer, by gcc or by
// clang, which say it differently.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define MOORING_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOORING_ADDRESS_SANITIZER 1
#endif
#endif
#if !defined(MOORING_ADDRESS_SANITIZER)
#define MOORING_ADDRESS_SANITIZER 0
#endif
