#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ditscope {

/// An array on its way to a file: little-endian, row-major.
struct FileArray {
  std::string name;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
  bool doubles = false;  ///< 64-bit floats, else 32-bit
  std::int64_t count() const;
  std::int64_t bytes() const { return count() * (doubles ? 8 : 4); }
};

// Each file is whole or not there. @throws Error{Device}, and Error{InvalidArgument} where two arrays share a name.

/// The first eight bytes, the header as JSON, the arrays. Read by safetensors.
void write_safetensors(const std::filesystem::path& file, const std::vector<FileArray>& arrays, const std::map<std::string, std::string>& about = {});
/// One array. Read by numpy.load.
void write_npy(const std::filesystem::path& file, const FileArray& array);
/// A ZIP archive, not compressed, of NAME.npy. Read by numpy.load. Up to 4 GiB.
void write_npz(const std::filesystem::path& file, const std::vector<FileArray>& arrays);

}  // namespace ditscope
