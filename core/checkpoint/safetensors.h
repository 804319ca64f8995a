#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ditscope {

using TensorMap = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

/// One safetensors file, memory-mapped. All of its header is checked when it is opened: sizes, offsets without gap or overlap
/// over exactly the file's data, dtype x shape = bytes, no key twice.
///
/// Layout: u64 little-endian header length, JSON header {name: {dtype, shape, data_offsets}}, data.
/// @see https://github.com/huggingface/safetensors#format
class SafetensorsFile {
 public:
  struct Entry {
    c10::ScalarType dtype;
    std::vector<std::int64_t> shape;
    std::uint64_t offset_bytes;  ///< from the start of the file
    std::uint64_t size_bytes;
  };

  /// @throws Error{NotFound}, Error{Corrupt} (what was expected, what came), Error{Unsupported} for a dtype torch lacks
  explicit SafetensorsFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const Metadata& metadata() const { return metadata_; }

  /// CPU tensor of the stored dtype. Zero-copy where the data is aligned for its dtype: it then keeps the mapping alive, and
  /// writing to it changes private pages, never the file. Misaligned and BOOL data is copied.
  /// @throws Error{NotFound} for an unknown name, Error{Corrupt} where the file has shrunk since it was opened
  at::Tensor tensor(const std::string& name) const;

 private:
  class Mapping;
  void parse_header();

  std::filesystem::path path_;
  std::shared_ptr<Mapping> mapping_;
  std::map<std::string, Entry> entries_;
  Metadata metadata_;
};

/// All tensors of one file. @throws as SafetensorsFile
TensorMap load_tensors(const std::filesystem::path& path, Metadata* metadata = nullptr);

/// Writes one file, whole or not at all (AtomicFile). Tensors of any device and layout; stored contiguous, largest dtype first.
/// @throws Error{Device} for disk trouble, Error{Unsupported} for a dtype safetensors lacks
void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata = {});

}  // namespace ditscope
