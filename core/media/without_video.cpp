// core/media of a build without FFmpeg (DITSCOPE_VIDEO=OFF): every file and picture is refused, with what to do
// instead.
#include "core/media/gif_writer.h"
#include "core/media/jpeg_writer.h"
#include "core/media/media_reader.h"
#include "core/media/png_writer.h"
#include "core/media/side_by_side.h"
#include "core/media/video_writer.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::Unsupported, "Cannot " + what + ": this build has no video support (DITSCOPE_VIDEO is OFF). Save the frames "
                                      "as safetensors with --frames-out, or use a build with FFmpeg.");
}

}  // namespace

std::filesystem::path sidecar_path(const std::filesystem::path& file) {
  return file.string() + ".json";
}

void write_video(const Frames&, const std::filesystem::path& file, const VideoOptions&) {
  refuse("write " + file.string());
}

void write_gif(const Frames&, const std::filesystem::path& file, const GifOptions&) {
  refuse("write " + file.string());
}

std::vector<std::uint8_t> encode_jpeg(const Frames&, int, int) {
  refuse("make a JPEG");
}

std::vector<std::uint8_t> encode_png(const Frames&, int, const std::string&) {
  refuse("make a PNG");
}

void write_png(const Frames&, int, const std::filesystem::path& file, const std::string&) {
  refuse("write " + file.string());
}

int write_png_sequence(const Frames&, const std::filesystem::path& folder, const std::string&) {
  refuse("write PNG files to " + folder.string());
}

Frames thumbnail(const Frames&, int, int) {
  refuse("make a thumbnail");
}

Media read_media(const std::filesystem::path& file, const ReadLimits&) {
  refuse("read " + file.string());
}

std::optional<std::string> probe_parameters(const std::filesystem::path& file) {
  refuse("read the parameters of " + file.string());
}

Frames side_by_side(const std::vector<Pane>&, const SideBySideOptions&) {
  refuse("put videos side by side");
}

Frames enlarge(const Frames&, int) {
  refuse("enlarge a video");
}

}  // namespace ditscope
