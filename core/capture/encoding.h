#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/capture/records.h"

namespace ditscope {

// How arrays of a capture become bytes and bytes become chunks; docs/capture.md has the rules and why.

/// Bytes of one element of a NumPy type name ("<u2" -> 2); 0 for a name that captures do not use.
int element_bytes(const std::string& dtype);
/// Product of a shape, checked. @throws Error{Corrupt} rank above 6, a size below 1, more than 2^40 elements
std::int64_t element_count(const std::vector<std::int64_t>& shape);

/// Turns `values` into `bytes` as dtype and encoding say; chooses scale and offset of `linear`. Nothing where there are bytes.
void encode(CaptureTensor& tensor);
/// The numbers that stored elements mean, in float32 (float64 and 64-bit integers are rounded).
/// @throws Error{Unsupported} for an encoding or type of a newer version
std::vector<float> decode(const CaptureTensor& header, std::span<const std::uint8_t> bytes);

/// Elements a chunk holds: whole rows of the last axis for `up`; one head where it fits into 256 KiB (large kinds 1 MiB), and as
/// many as fit into 16 KiB.
std::int64_t chunk_items(const CaptureTensor& tensor);

struct StoredChunk {
  int codec = 0;  ///< 0: bytes as they are; 1: zlib(filter(bytes))
  std::vector<std::uint8_t> data;
};
/// Deflates where that saves a tenth. @param compress  false: keep as they are
StoredChunk pack_chunk(std::span<const std::uint8_t> bytes, const std::string& filter, int item_bytes, std::int64_t row_items,
                       bool compress);
/// @throws Error{Corrupt} where the data does not inflate into exactly `expected_bytes`
std::vector<std::uint8_t> unpack_chunk(const StoredChunk& chunk, const std::string& filter, int item_bytes, std::int64_t row_items,
                                       std::size_t expected_bytes);
std::uint32_t crc32_of(std::span<const std::uint8_t> bytes);

std::uint16_t half_bits(float value);      ///< round to nearest even
float half_value(std::uint16_t bits);
std::uint16_t bfloat16_bits(float value);  ///< round to nearest even

}  // namespace ditscope
