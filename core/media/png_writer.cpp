#include "core/media/png_writer.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "core/files/atomic_file.h"
#include "core/media/ffmpeg.h"
#include "core/media/embedded_text.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using ffmpeg::Owner;

void require_frame(const Frames& frames, int index) {
  ffmpeg::require_pixels(frames, "the PNG writer");
  if (index < 0 || index >= frames.count) {
    throw Error(ErrorKind::InvalidArgument, "expected a frame of 0.." + std::to_string(frames.count - 1) + ", got " +
                                                std::to_string(index) + "; choose one of these");
  }
}

/// Removes a folder and what is in it unless released.
struct ScratchFolder {
  std::filesystem::path path;
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

std::vector<std::uint8_t> encode_png(const Frames& frames, int index, const std::string& parameters_json) {
  ffmpeg::prepare();
  require_frame(frames, index);
  const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
  if (!codec) throw Error(ErrorKind::Unsupported, "expected an FFmpeg with a PNG encoder, got one without; install libavcodec");
  const Owner<AVCodecContext> encoder(avcodec_alloc_context3(codec));
  if (!encoder) ffmpeg::check(AVERROR(ENOMEM), "open the PNG encoder");
  encoder->width = frames.width;
  encoder->height = frames.height;
  encoder->pix_fmt = AV_PIX_FMT_RGB24;
  encoder->time_base = {1, 1};
  encoder->thread_count = 1;
  ffmpeg::check(avcodec_open2(encoder.get(), codec, nullptr), "open the PNG encoder");

  const Owner<AVFrame> picture = ffmpeg::make_frame(AV_PIX_FMT_RGB24, frames.width, frames.height);
  const std::vector<std::uint8_t> rgb = ffmpeg::to_rgb24(frames, index);
  const std::size_t row_bytes = static_cast<std::size_t>(frames.width) * 3;
  for (int y = 0; y < frames.height; ++y) {
    std::memcpy(picture->data[0] + static_cast<std::ptrdiff_t>(y) * picture->linesize[0], rgb.data() + y * row_bytes, row_bytes);
  }
  picture->pts = 0;
  const Owner<AVPacket> packet = ffmpeg::make_packet();
  ffmpeg::check(avcodec_send_frame(encoder.get(), picture.get()), "encode the PNG");
  ffmpeg::check(avcodec_receive_packet(encoder.get(), packet.get()), "encode the PNG");
  std::vector<std::uint8_t> bytes(packet->data, packet->data + packet->size);
  if (!parameters_json.empty()) insert_png_comment(bytes, parameters_json);
  return bytes;
}

void write_png(const Frames& frames, int index, const std::filesystem::path& file, const std::string& parameters_json) {
  write_file(file, encode_png(frames, index, parameters_json));
}

int write_png_sequence(const Frames& frames, const std::filesystem::path& folder, const std::string& parameters_json) {
  require_frame(frames, 0);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw_disk_error(folder, error.value());
  ScratchFolder scratch{temporary_name(folder)};
  std::filesystem::create_directory(scratch.path, error);
  if (error) throw_disk_error(folder, error.value());
  const auto name = [](int index) {
    char text[32];
    std::snprintf(text, sizeof text, "frame_%04d.png", index);
    return std::string(text);
  };
  for (int index = 0; index < frames.count; ++index) write_png(frames, index, scratch.path / name(index), parameters_json);
  for (int index = 0; index < frames.count; ++index) {
    std::filesystem::rename(scratch.path / name(index), folder / name(index), error);
    if (error) throw_disk_error(folder / name(index), error.value());
  }
  return frames.count;
}

Frames thumbnail(const Frames& frames, int index, int longest_px) {
  require_frame(frames, index);
  const double scale = std::min(1.0, static_cast<double>(std::max(1, longest_px)) / std::max(frames.width, frames.height));
  Frames small;
  small.count = 1;
  small.fps = frames.fps;
  small.width = std::max(1, static_cast<int>(frames.width * scale + 0.5));
  small.height = std::max(1, static_cast<int>(frames.height * scale + 0.5));
  small.rgb.resize(small.frame_size());
  const float* source = frames.frame(index);
  for (int y = 0; y < small.height; ++y) {
    const int top = y * frames.height / small.height;
    const int bottom = std::max(top + 1, (y + 1) * frames.height / small.height);
    for (int x = 0; x < small.width; ++x) {
      const int left = x * frames.width / small.width;
      const int right = std::max(left + 1, (x + 1) * frames.width / small.width);
      double sum[3] = {};
      for (int v = top; v < bottom; ++v) {
        for (int u = left; u < right; ++u) {
          for (int c = 0; c < 3; ++c) sum[c] += source[(static_cast<std::size_t>(v) * frames.width + u) * 3 + c];
        }
      }
      for (int c = 0; c < 3; ++c) {
        small.rgb[(static_cast<std::size_t>(y) * small.width + x) * 3 + c] =
            static_cast<float>(sum[c] / (static_cast<double>(bottom - top) * (right - left)));
      }
    }
  }
  return small;
}

}  // namespace ditscope
