// For targets that use fixtures of the unit tests, to be called before the first of them.
#pragma once

namespace mooring::fuzz {

void AllowFixtures();

}  // namespace mooring::fuzz
