// Start runs a Sidecar with finished settings until it ends; returns its exit code.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/cli/commands.h"
#include "proxy/config/settings.h"

namespace mooring::cli {

int Start(config::Settings settings);

// CommandLine is what a successor is started with, but for -take-over.
std::vector<std::string> CommandLine(const Invocation& invocation);

// CannotStart writes why to standard error, as the log would be written.
void CannotStart(bool json, std::string_view text, const std::vector<std::string>& more = {});

}  // namespace mooring::cli
