#include "core/capture/encoding.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/error.h"

namespace ditscope {
namespace {

static_assert(std::endian::native == std::endian::little, "captures are little-endian");

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// log2: 2^((code - 243) / 10); 0 stands for 0, 254 for infinity, 255 for NaN.
std::uint8_t log2_code(float value) {
  if (std::isnan(value)) return 255;
  if (value == kInfinity) return 254;
  if (!(value > 0)) return 0;
  return static_cast<std::uint8_t>(std::clamp(std::lround(std::log2(value) * 10.0F) + 243L, 1L, 253L));
}

template <typename T>
void store(std::vector<std::uint8_t>& bytes, std::size_t index, T element) {
  std::memcpy(bytes.data() + index * sizeof(T), &element, sizeof(T));
}

template <typename T>
T load(std::span<const std::uint8_t> bytes, std::size_t index) {
  T element;
  std::memcpy(&element, bytes.data() + index * sizeof(T), sizeof(T));
  return element;
}

/// linear: offset + scale * code, codes 1..65533; 0 stands for -infinity, 65534 for infinity, 65535 for NaN.
void encode_linear(CaptureTensor& tensor) {
  float low = kInfinity, high = -kInfinity;
  for (const float value : tensor.values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  tensor.scale = 1.0 / 1024;
  if (low > high) low = high = 0;
  while ((static_cast<double>(high) - low) / tensor.scale > 65531) tensor.scale *= 2;
  tensor.offset = static_cast<double>(low) - tensor.scale;
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    const float value = tensor.values[i];
    std::uint16_t code = 65535;
    if (std::isfinite(value))
      code = static_cast<std::uint16_t>(std::clamp(std::lround((value - tensor.offset) / tensor.scale), 1L, 65533L));
    else if (!std::isnan(value))
      code = value > 0 ? 65534 : 0;
    store(tensor.bytes, i, code);
  }
}

void apply_filter(std::vector<std::uint8_t>& bytes, const std::string& filter, int item_bytes, std::int64_t row_items) {
  if (filter == "up") {
    const auto row = static_cast<std::size_t>(row_items * item_bytes);
    for (std::size_t i = bytes.size(); i-- > row;) bytes[i] = static_cast<std::uint8_t>(bytes[i] - bytes[i - row]);
  } else if (filter == "shuffle") {
    const auto width = static_cast<std::size_t>(item_bytes), count = bytes.size() / width;
    std::vector<std::uint8_t> planes(bytes.size());
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t b = 0; b < width; ++b) planes[b * count + i] = bytes[i * width + b];
    bytes.swap(planes);
  }
}

void undo_filter(std::vector<std::uint8_t>& bytes, const std::string& filter, int item_bytes, std::int64_t row_items) {
  if (filter == "up") {
    const auto row = static_cast<std::size_t>(row_items * item_bytes);
    for (std::size_t i = row; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(bytes[i] + bytes[i - row]);
  } else if (filter == "shuffle") {
    const auto width = static_cast<std::size_t>(item_bytes), count = bytes.size() / width;
    std::vector<std::uint8_t> items(bytes.size());
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t b = 0; b < width; ++b) items[i * width + b] = bytes[b * count + i];
    bytes.swap(items);
  }
}

[[noreturn]] void unknown(const CaptureTensor& header) {
  throw Error(ErrorKind::Unsupported, "The " + header.kind + " of this capture is stored as " + header.dtype + " " + header.encoding +
                                          ", which this version does not know. Open it with the version that wrote it.");
}

}  // namespace

int element_bytes(const std::string& dtype) {
  static const std::vector<std::pair<std::string, int>> kTypes{{"|u1", 1}, {"<u2", 2}, {"<u4", 4}, {"<u8", 8}, {"<i4", 4},
                                                               {"<i8", 8}, {"<f2", 2}, {"<f4", 4}, {"<f8", 8}};
  for (const auto& [name, bytes] : kTypes)
    if (name == dtype) return bytes;
  return 0;
}

std::int64_t element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  bool good = !shape.empty() && shape.size() <= 6;
  for (const std::int64_t size : shape) {
    good = good && size >= 1 && size <= (std::int64_t{1} << 40) / count;
    if (!good) break;
    count *= size;
  }
  if (!good) throw Error(ErrorKind::Corrupt, "expected a shape of 1 to 6 sizes from 1 and at most 2^40 elements, got another; record again");
  return count;
}

std::uint16_t half_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x47800000) return static_cast<std::uint16_t>(sign | 0x7c00);  // 65536 and above
  if (magnitude < 0x38800000) {                                                    // below 2^-14: a multiple of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 16777216.0F;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(scaled)));
  }
  const std::uint32_t rounded = magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

float half_value(std::uint16_t bits) {
  const float sign = bits & 0x8000 ? -1.0F : 1.0F;
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return mantissa ? kNan : sign * kInfinity;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

std::uint16_t bfloat16_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void encode(CaptureTensor& tensor) {
  if (!tensor.bytes.empty() || tensor.values.empty()) return;
  tensor.bytes.resize(tensor.values.size() * static_cast<std::size_t>(element_bytes(tensor.dtype)));
  if (tensor.encoding == "linear") {
    encode_linear(tensor);
    return;
  }
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    if (tensor.encoding == "log2")
      tensor.bytes[i] = log2_code(tensor.values[i]);
    else if (tensor.encoding == "bf16")
      store(tensor.bytes, i, bfloat16_bits(tensor.values[i]));
    else if (tensor.dtype == "<f2")
      store(tensor.bytes, i, half_bits(tensor.values[i]));
    else
      store(tensor.bytes, i, tensor.values[i]);
  }
}

std::vector<float> decode(const CaptureTensor& header, std::span<const std::uint8_t> bytes) {
  const int width = element_bytes(header.dtype);
  if (width == 0) unknown(header);
  std::vector<float> values(bytes.size() / static_cast<std::size_t>(width));
  if (header.encoding == "log2" && header.dtype == "|u1") {
    std::array<float, 256> table{};
    for (int code = 1; code < 254; ++code) table[static_cast<std::size_t>(code)] = std::exp2((static_cast<float>(code) - 243.0F) / 10.0F);
    table[254] = kInfinity;
    table[255] = kNan;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = table[bytes[i]];
  } else if (header.encoding == "linear" && header.dtype == "<u2") {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto code = load<std::uint16_t>(bytes, i);
      values[i] = code == 0       ? -kInfinity
                  : code == 65534 ? kInfinity
                  : code == 65535 ? kNan
                                  : static_cast<float>(header.offset + header.scale * code);
    }
  } else if (header.encoding == "bf16" && header.dtype == "<u2") {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(bytes, i)) << 16);
  } else if (header.encoding == "plain" || header.encoding == "bits") {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (header.dtype == "|u1") values[i] = bytes[i];
      else if (header.dtype == "<u2") values[i] = load<std::uint16_t>(bytes, i);
      else if (header.dtype == "<u4") values[i] = static_cast<float>(load<std::uint32_t>(bytes, i));
      else if (header.dtype == "<i4") values[i] = static_cast<float>(load<std::int32_t>(bytes, i));
      else if (header.dtype == "<u8") values[i] = static_cast<float>(load<std::uint64_t>(bytes, i));
      else if (header.dtype == "<i8") values[i] = static_cast<float>(load<std::int64_t>(bytes, i));
      else if (header.dtype == "<f2") values[i] = half_value(load<std::uint16_t>(bytes, i));
      else if (header.dtype == "<f8") values[i] = static_cast<float>(load<double>(bytes, i));
      else values[i] = load<float>(bytes, i);
    }
  } else {
    unknown(header);
  }
  return values;
}

std::int64_t chunk_items(const CaptureTensor& tensor) {
  const std::int64_t width = std::max(element_bytes(tensor.dtype), 1), count = element_count(tensor.shape);
  const bool large = tensor.block_tokens == 1 && (tensor.kind == "latents" || tensor.kind == "frames" || tensor.shape.size() >= 3);
  const std::int64_t limit = std::max<std::int64_t>((large ? std::int64_t{1} << 20 : std::int64_t{256} << 10) / width, 1);
  const std::int64_t row = tensor.shape.back();
  const std::int64_t head = tensor.shape.size() >= 2 ? count / tensor.shape.front() : count;
  constexpr std::int64_t kTogether_bytes = 16 << 10;
  if (head <= limit) return std::clamp(kTogether_bytes / width / head * head, head, count);
  return row <= limit ? limit / row * row : tensor.filter == "up" ? row : limit;
}

namespace {

/// What compress2() does at its fastest, with a window no larger than the data: clearing the usual tables takes longer than
/// deflating a small chunk. @return the packed size, 0 where it does not fit
std::size_t deflate_into(std::span<const std::uint8_t> bytes, int strategy, std::vector<std::uint8_t>& packed) {
  const int window_bits = std::clamp(static_cast<int>(std::bit_width(bytes.size())), 9, MAX_WBITS);
  z_stream stream{};
  if (deflateInit2(&stream, 1, Z_DEFLATED, window_bits, std::min(window_bits - 7, 8), strategy) != Z_OK) return 0;
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  const bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  const std::size_t size = stream.total_out;
  deflateEnd(&stream);
  return whole ? size : 0;
}

}  // namespace

StoredChunk pack_chunk(std::span<const std::uint8_t> bytes, const std::string& filter, int item_bytes, std::int64_t row_items,
                       bool compress) {
  StoredChunk chunk{0, {bytes.begin(), bytes.end()}};
  if (!compress || bytes.size() < 32) return chunk;
  std::vector<std::uint8_t> filtered = chunk.data;
  apply_filter(filtered, filter, item_bytes, row_items);
  std::vector<std::uint8_t> packed(bytes.size() / 10 * 9);  // what saves less stays as it is
  // Differences of rows repeat each other next door or not at all: smaller and faster so.
  const std::size_t size = deflate_into(filtered, filter == "up" ? Z_RLE : Z_DEFAULT_STRATEGY, packed);
  if (size == 0) return chunk;
  packed.resize(size);
  return {1, std::move(packed)};
}

std::vector<std::uint8_t> unpack_chunk(const StoredChunk& chunk, const std::string& filter, int item_bytes, std::int64_t row_items,
                                       std::size_t expected_bytes) {
  const auto corrupt = [&](const std::string& got) {
    throw Error(ErrorKind::Corrupt, "expected a chunk of " + std::to_string(expected_bytes) + " bytes, got " + got + "; record again");
  };
  if (chunk.codec == 0) {
    if (chunk.data.size() != expected_bytes) corrupt(std::to_string(chunk.data.size()));
    return chunk.data;
  }
  if (chunk.codec != 1) corrupt("codec " + std::to_string(chunk.codec));
  std::vector<std::uint8_t> bytes(expected_bytes);
  uLongf size = expected_bytes;
  uLong taken = chunk.data.size();
  const int code = uncompress2(bytes.data(), &size, chunk.data.data(), &taken);
  if (code != Z_OK || size != expected_bytes || taken != chunk.data.size()) corrupt("data that inflates to another size");
  undo_filter(bytes, filter, item_bytes, row_items);
  return bytes;
}

std::uint32_t crc32_of(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, bytes.data(), bytes.size()));
}

}  // namespace ditscope
