#pragma once
// Internal to core/media: owners and error texts for FFmpeg's C structures. Nothing outside this room includes it.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <libswscale/swscale.h>
}

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/media/frames.h"

namespace ditscope::ffmpeg {

struct Free {
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(SwsContext* p) const { sws_freeContext(p); }
  void operator()(AVFilterGraph* p) const { avfilter_graph_free(&p); }
};
template <class T>
using Owner = std::unique_ptr<T, Free>;

/// An AVDictionary that frees itself.
class Options {
 public:
  Options() = default;
  ~Options() { av_dict_free(&dictionary_); }
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  void set(const char* key, const std::string& value) { av_dict_set(&dictionary_, key, value.c_str(), 0); }
  AVDictionary** get() { return &dictionary_; }

 private:
  AVDictionary* dictionary_ = nullptr;
};

/// A muxer writing to one file; closes it without a trailer when an error unwinds.
class Output {
 public:
  /// @throws Error{Device} when `temporary` cannot be opened, Error{Unsupported} when the muxer is not in this FFmpeg
  Output(const char* format, const std::filesystem::path& temporary, const std::filesystem::path& shown);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  AVFormatContext* operator->() const { return context_; }
  AVFormatContext* get() const { return context_; }
  /// Writes the trailer and closes. @throws Error{Device} when any byte could not be written
  void finish();
  /// Throws for a negative return of a muxer call, as a disk error where it is one.
  void check(int result, const char* what) const;

 private:
  AVFormatContext* context_ = nullptr;
  std::filesystem::path shown_;
};

/// Silences FFmpeg's own log (the last error line goes into our messages) and caps its single allocations at 1 GiB, so that
/// a hostile header cannot ask for more. Idempotent; every entry of this room calls it.
void prepare();

/// What FFmpeg says about a negative return, with the last line it logged on this thread.
std::string error_text(int result);
/// @throws Error{OutOfMemory} for ENOMEM, else Error{Unsupported}, "cannot <what>: ..."
void check(int result, const char* what);

/// Throws Error{InvalidArgument} unless the frames have pixels and as many values as their shape says.
void require_pixels(const Frames& frames, const char* writer);

/// One frame as 8-bit RGB, each value rounded to the nearest of 256 levels; NaN becomes 0.
std::vector<std::uint8_t> to_rgb24(const Frames& frames, int index);  // (Y,X,3)

/// An AVFrame with buffers of its own. @throws Error{OutOfMemory}
Owner<AVFrame> make_frame(AVPixelFormat format, int width, int height);
Owner<AVPacket> make_packet();

}  // namespace ditscope::ffmpeg
