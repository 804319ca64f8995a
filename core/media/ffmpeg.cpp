#include "core/media/ffmpeg.h"

#include <cerrno>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <mutex>

extern "C" {
#include <libavutil/mem.h>
}

#include "core/files/atomic_file.h"
#include "kernels/error.h"

namespace ditscope::ffmpeg {
namespace {

constexpr std::size_t kLargestAllocation_bytes = std::size_t{1} << 30;
thread_local std::string last_line;

void keep_last_error_line(void*, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  last_line = line;
  while (!last_line.empty() && last_line.back() == '\n') last_line.pop_back();
}

bool is_disk_error(int result) {
  for (const int number : {ENOSPC, EFBIG, EDQUOT, EIO, EACCES, EPERM, EROFS, ENOENT, ENOTDIR, EISDIR}) {
    if (result == AVERROR(number)) return true;
  }
  return false;
}

}  // namespace

void prepare() {
  static std::once_flag once;
  std::call_once(once, [] {
    av_log_set_callback(keep_last_error_line);
    av_max_alloc(kLargestAllocation_bytes);
  });
  last_line.clear();
}

std::string error_text(int result) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(result, text, sizeof text);
  return last_line.empty() ? std::string(text) : std::string(text) + " (" + last_line + ")";
}

void check(int result, const char* what) {
  if (result >= 0) return;
  const bool memory = result == AVERROR(ENOMEM);
  throw Error(memory ? ErrorKind::OutOfMemory : ErrorKind::Unsupported,
              std::string("cannot ") + what + ": " + error_text(result) + (memory ? "; use a smaller size or fewer frames" : ""));
}

Output::Output(const char* format, const std::filesystem::path& temporary, const std::filesystem::path& shown) : shown_(shown) {
  const std::string url = "file:" + temporary.string();
  ffmpeg::check(avformat_alloc_output_context2(&context_, nullptr, format, url.c_str()), "open the container writer");
  const int opened = avio_open(&context_->pb, url.c_str(), AVIO_FLAG_WRITE);
  if (opened < 0) {
    avformat_free_context(context_);
    throw_disk_error(shown_, AVUNERROR(opened));
  }
}

Output::~Output() {
  if (!context_) return;
  avio_closep(&context_->pb);
  avformat_free_context(context_);
}

void Output::check(int result, const char* what) const {
  if (result >= 0) return;
  if (is_disk_error(result)) throw_disk_error(shown_, AVUNERROR(result));
  ffmpeg::check(result, what);
}

void Output::finish() {
  check(av_write_trailer(context_), "finish the file");
  avio_flush(context_->pb);
  const int pending = context_->pb->error;
  const int closed = avio_closep(&context_->pb);
  check(pending, "write the file");
  check(closed, "write the file");
}

void require_pixels(const Frames& frames, const char* writer) {
  if (frames.count > 0 && frames.height > 0 && frames.width > 0 && frames.rgb.size() == frames.frame_size() * frames.count) return;
  throw Error(ErrorKind::InvalidArgument, std::string(writer) + " expected frames with pixels, got " + std::to_string(frames.count) +
                                              " of " + std::to_string(frames.width) + " x " + std::to_string(frames.height) +
                                              " px with " + std::to_string(frames.rgb.size()) + " values; run to the end first");
}

std::vector<std::uint8_t> to_rgb24(const Frames& frames, int index) {
  std::vector<std::uint8_t> bytes(frames.frame_size());
  const float* source = frames.frame(index);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const float value = source[i] > 0 ? (source[i] < 1 ? source[i] : 1.0f) : 0.0f;
    bytes[i] = static_cast<std::uint8_t>(std::lround(value * 255.0f));
  }
  return bytes;
}

Owner<AVFrame> make_frame(AVPixelFormat format, int width, int height) {
  Owner<AVFrame> frame(av_frame_alloc());
  if (!frame) check(AVERROR(ENOMEM), "make a frame");
  frame->format = format;
  frame->width = width;
  frame->height = height;
  check(av_frame_get_buffer(frame.get(), 0), "make a frame");
  return frame;
}

Owner<AVPacket> make_packet() {
  Owner<AVPacket> packet(av_packet_alloc());
  if (!packet) check(AVERROR(ENOMEM), "make a packet");
  return packet;
}

}  // namespace ditscope::ffmpeg
