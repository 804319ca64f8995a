#pragma once
// Internal to core/media: the text chunk of PNG files and the comment block of GIF files, which FFmpeg's muxers do not write.
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace ditscope {

/// Largest parameter text that is read from a file.
inline constexpr std::size_t kLargestParameters_bytes = std::size_t{16} << 20;

/// Puts an iTXt chunk "Comment" behind IHDR. @param png the bytes of a whole PNG
void insert_png_comment(std::vector<std::uint8_t>& png, const std::string& text);
/// The uncompressed iTXt or tEXt chunk "Comment" of a PNG; nullopt where there is none or the file is damaged before it.
std::optional<std::string> read_png_comment(std::istream& file);

/// Puts a comment extension behind the global colour table. @param gif the bytes of a whole GIF89a
void insert_gif_comment(std::vector<std::uint8_t>& gif, const std::string& text);
/// The first comment extension of a GIF; nullopt where there is none or the file is damaged before it.
std::optional<std::string> read_gif_comment(std::istream& file);

}  // namespace ditscope
