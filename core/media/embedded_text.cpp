#include "core/media/embedded_text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <istream>
#include <string_view>

#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr std::string_view kKeyword = "Comment";  // one of the PNG specification's keywords
constexpr std::array<std::uint8_t, 8> kPngSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr std::size_t kAfterHeaderChunk = 8 + 4 + 4 + 13 + 4;

/// CRC-32 of ISO 3309, as PNG's specification defines it (annex D).
std::uint32_t crc32(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> values{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t c = n;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      values[n] = c;
    }
    return values;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) crc = table[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFu;
}

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

bool read_exactly(std::istream& file, void* target, std::size_t count) {
  file.read(static_cast<char*>(target), static_cast<std::streamsize>(count));
  return static_cast<std::size_t>(file.gcount()) == count;
}

/// Bytes up to the end of the file, so that a length field cannot make us reserve more than there is.
std::uint64_t bytes_left(std::istream& file) {
  const auto here = file.tellg();
  file.seekg(0, std::ios::end);
  const auto end = file.tellg();
  file.seekg(here);
  return here < 0 || end < here ? 0 : static_cast<std::uint64_t>(end - here);
}

/// The text of an iTXt or tEXt chunk when its keyword is ours and it is not compressed.
std::optional<std::string> comment_of_chunk(const std::string& data, bool international) {
  if (data.size() <= kKeyword.size() || data.compare(0, kKeyword.size(), kKeyword) != 0 || data[kKeyword.size()] != '\0') {
    return std::nullopt;
  }
  std::size_t at = kKeyword.size() + 1;
  if (!international) return data.substr(at);
  if (data.size() < at + 2 || data[at] != 0) return std::nullopt;  // compressed: not written by us
  at += 2;
  for (int field = 0; field < 2; ++field) {  // language tag, translated keyword
    at = data.find('\0', at);
    if (at == std::string::npos) return std::nullopt;
    ++at;
  }
  return data.substr(at);
}

std::size_t colour_table_bytes(std::uint8_t flags) { return flags & 0x80 ? std::size_t{3} << ((flags & 7) + 1) : 0; }

}  // namespace

void insert_png_comment(std::vector<std::uint8_t>& png, const std::string& text) {
  if (png.size() < kAfterHeaderChunk || !std::equal(kPngSignature.begin(), kPngSignature.end(), png.begin())) {
    throw Error(ErrorKind::Corrupt, "expected the bytes of a PNG, got something else; encode the frame again");
  }
  std::string body = "iTXt";
  body += kKeyword;
  body.append(5, '\0');  // end of keyword, not compressed, method 0, no language, no translated keyword
  body += text;
  const std::string chunk = big_endian(static_cast<std::uint32_t>(body.size() - 4)) + body + big_endian(crc32(body));
  png.insert(png.begin() + kAfterHeaderChunk, chunk.begin(), chunk.end());
}

std::optional<std::string> read_png_comment(std::istream& file) {
  std::array<std::uint8_t, 8> signature{};
  if (!read_exactly(file, signature.data(), signature.size()) || signature != kPngSignature) return std::nullopt;
  for (;;) {
    std::array<std::uint8_t, 8> head{};
    if (!read_exactly(file, head.data(), head.size())) return std::nullopt;
    const std::uint64_t length = std::uint64_t{head[0]} << 24 | head[1] << 16 | head[2] << 8 | head[3];
    const bool international = std::memcmp(&head[4], "iTXt", 4) == 0;
    const bool plain = std::memcmp(&head[4], "tEXt", 4) == 0;
    if (std::memcmp(&head[4], "IEND", 4) == 0 || length + 4 > bytes_left(file)) return std::nullopt;
    if ((international || plain) && length <= kLargestParameters_bytes) {
      std::string data(length, '\0');
      if (!read_exactly(file, data.data(), length)) return std::nullopt;
      if (auto text = comment_of_chunk(data, international)) return text;
      file.seekg(4, std::ios::cur);
    } else {
      file.seekg(static_cast<std::streamoff>(length + 4), std::ios::cur);
    }
  }
}

void insert_gif_comment(std::vector<std::uint8_t>& gif, const std::string& text) {
  const std::size_t screen_end = 13;
  if (gif.size() < screen_end || std::memcmp(gif.data(), "GIF89a", 6) != 0 ||
      gif.size() < screen_end + colour_table_bytes(gif[10])) {
    throw Error(ErrorKind::Corrupt, "expected the bytes of a GIF89a, got something else; encode the frames again");
  }
  std::string block = "\x21\xFE";
  for (std::size_t at = 0; at < text.size(); at += 255) {
    const std::string part = text.substr(at, 255);
    block += static_cast<char>(part.size());
    block += part;
  }
  block += '\0';
  gif.insert(gif.begin() + screen_end + colour_table_bytes(gif[10]), block.begin(), block.end());
}

std::optional<std::string> read_gif_comment(std::istream& file) {
  std::array<std::uint8_t, 13> head{};
  if (!read_exactly(file, head.data(), head.size()) || std::memcmp(head.data(), "GIF8", 4) != 0) return std::nullopt;
  file.seekg(static_cast<std::streamoff>(colour_table_bytes(head[10])), std::ios::cur);
  // Comments lie before the first picture (0x2C); a comment behind it is not looked for.
  for (int introducer = file.get(); introducer == 0x21; introducer = file.get()) {
    const bool comment = file.get() == 0xFE;
    std::string text;
    for (int count = file.get(); count > 0; count = file.get()) {
      std::array<char, 255> part{};
      if (!read_exactly(file, part.data(), static_cast<std::size_t>(count))) return std::nullopt;
      if (comment && text.size() < kLargestParameters_bytes) text.append(part.data(), count);
    }
    if (!file) return std::nullopt;
    if (comment) return text;
  }
  return std::nullopt;
}

}  // namespace ditscope
