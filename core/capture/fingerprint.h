#pragma once
#include <filesystem>
#include <string>

namespace ditscope {

/// Tells one model folder from another: SHA-256 (hex) over the names and sizes of its files, its JSON files whole, and of every
/// other file 64 pieces of 4 KiB spread evenly. Training or merging changes nearly every weight, so it shows; a change of a few
/// bytes that hides between the pieces does not. Reads a few megabytes whatever the size of the model.
/// @throws Error{NotFound} where there is no such folder
std::string model_fingerprint(const std::filesystem::path& folder);

}  // namespace ditscope
