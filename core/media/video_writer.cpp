#include "core/media/video_writer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

extern "C" {
#include <libavutil/opt.h>
}

#include "core/files/atomic_file.h"
#include "core/media/ffmpeg.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using ffmpeg::Owner;

void require_options(const VideoOptions& options, double fps) {
  if (options.crf < 0 || options.crf > 51) {
    throw Error(ErrorKind::InvalidArgument, "expected a CRF of 0..51, got " + std::to_string(options.crf) + "; use 16");
  }
  if (!(fps > 0 && fps <= 240)) {
    throw Error(ErrorKind::InvalidArgument, "expected 0 < fps <= 240, got " + std::to_string(fps) + "; use 8");
  }
}

/// RGB 0..1 to limited-range BT.709 4:2:0. 16-bit input keeps the rounding to the last step.
class Converter {
 public:
  Converter(int source_width, int source_height)
      : width_(source_width + source_width % 2),
        height_(source_height + source_height % 2),
        deep_(static_cast<std::size_t>(width_) * height_ * 3),
        scaler_(sws_getContext(width_, height_, AV_PIX_FMT_RGB48, width_, height_, AV_PIX_FMT_YUV420P,
                               SWS_BICUBIC | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND | SWS_BITEXACT, nullptr, nullptr, nullptr)) {
    if (!scaler_) ffmpeg::check(AVERROR(ENOMEM), "make the colour converter");
    const int* bt709 = sws_getCoefficients(SWS_CS_ITU709);
    sws_setColorspaceDetails(scaler_.get(), bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16);
  }

  int width() const { return width_; }
  int height() const { return height_; }

  void convert(const Frames& frames, int index, AVFrame* target) {
    const float* source = frames.frame(index);
    for (int y = 0; y < height_; ++y) {
      const float* row = source + static_cast<std::size_t>(std::min(y, frames.height - 1)) * frames.width * 3;
      std::uint16_t* out = deep_.data() + static_cast<std::size_t>(y) * width_ * 3;
      for (int x = 0; x < width_; ++x) {
        const float* pixel = row + std::min(x, frames.width - 1) * 3;
        for (int c = 0; c < 3; ++c) {
          const float value = pixel[c] > 0 ? (pixel[c] < 1 ? pixel[c] : 1.0f) : 0.0f;  // NaN becomes 0
          *out++ = static_cast<std::uint16_t>(std::lround(value * 65535.0f));
        }
      }
    }
    const std::uint8_t* planes[1] = {reinterpret_cast<const std::uint8_t*>(deep_.data())};
    const int strides[1] = {width_ * 6};
    sws_scale(scaler_.get(), planes, strides, 0, height_, target->data, target->linesize);
  }

 private:
  int width_, height_;
  std::vector<std::uint16_t> deep_;  // (Y,X,3)
  Owner<SwsContext> scaler_;
};

Owner<AVCodecContext> open_encoder(int width, int height, AVRational rate, int crf, bool global_header) {
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  if (!codec) {
    throw Error(ErrorKind::Unsupported, "expected an FFmpeg with libx264, got one without; install the distribution's libavcodec");
  }
  Owner<AVCodecContext> encoder(avcodec_alloc_context3(codec));
  if (!encoder) ffmpeg::check(AVERROR(ENOMEM), "open the H.264 encoder");
  encoder->width = width;
  encoder->height = height;
  encoder->pix_fmt = AV_PIX_FMT_YUV420P;
  encoder->time_base = av_inv_q(rate);
  encoder->framerate = rate;
  encoder->sample_aspect_ratio = {1, 1};
  encoder->color_range = AVCOL_RANGE_MPEG;
  encoder->color_primaries = AVCOL_PRI_BT709;
  encoder->color_trc = AVCOL_TRC_BT709;
  encoder->colorspace = AVCOL_SPC_BT709;
  encoder->chroma_sample_location = AVCHROMA_LOC_LEFT;
  if (global_header) encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  ffmpeg::Options options;
  options.set("preset", "medium");
  options.set("crf", std::to_string(crf));
  ffmpeg::check(avcodec_open2(encoder.get(), codec, options.get()), "open the H.264 encoder");
  return encoder;
}

/// Sends one frame (or null: the end) and writes every packet that comes out.
void encode(AVCodecContext* encoder, const AVFrame* frame, const ffmpeg::Output& output, AVPacket* packet) {
  ffmpeg::check(avcodec_send_frame(encoder, frame), "encode a frame");
  for (;;) {
    const int received = avcodec_receive_packet(encoder, packet);
    if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
    ffmpeg::check(received, "encode a frame");
    if (packet->duration == 0) packet->duration = 1;
    av_packet_rescale_ts(packet, encoder->time_base, output->streams[0]->time_base);
    packet->stream_index = 0;
    output.check(av_interleaved_write_frame(output.get(), packet), "write a frame");
  }
}

void write_mp4(const Frames& frames, double fps, const VideoOptions& options, const std::filesystem::path& temporary,
               const std::filesystem::path& shown) {
  ffmpeg::Output output("mp4", temporary, shown);
  Converter converter(frames.width, frames.height);
  const AVRational rate = av_d2q(fps, 100000);
  const Owner<AVCodecContext> encoder =
      open_encoder(converter.width(), converter.height(), rate, options.crf, output->oformat->flags & AVFMT_GLOBALHEADER);

  AVStream* stream = avformat_new_stream(output.get(), nullptr);
  if (!stream) ffmpeg::check(AVERROR(ENOMEM), "add the video stream");
  stream->time_base = encoder->time_base;
  stream->avg_frame_rate = rate;
  ffmpeg::check(avcodec_parameters_from_context(stream->codecpar, encoder.get()), "describe the video stream");
  if (!options.parameters_json.empty()) av_dict_set(&output->metadata, "comment", options.parameters_json.c_str(), 0);
  ffmpeg::Options muxer;
  muxer.set("movflags", "+faststart");
  output.check(avformat_write_header(output.get(), muxer.get()), "start the file");

  const Owner<AVPacket> packet = ffmpeg::make_packet();
  for (int index = 0; index < frames.count; ++index) {
    // A fresh frame each time: the encoder keeps references to those it looks ahead to.
    const Owner<AVFrame> picture = ffmpeg::make_frame(AV_PIX_FMT_YUV420P, converter.width(), converter.height());
    converter.convert(frames, index, picture.get());
    picture->pts = index;
    picture->color_range = encoder->color_range;
    picture->color_primaries = encoder->color_primaries;
    picture->color_trc = encoder->color_trc;
    picture->colorspace = encoder->colorspace;
    encode(encoder.get(), picture.get(), output, packet.get());
  }
  encode(encoder.get(), nullptr, output, packet.get());
  output.finish();
}

}  // namespace

std::filesystem::path sidecar_path(const std::filesystem::path& file) { return file.string() + ".json"; }

void write_video(const Frames& frames, const std::filesystem::path& file, const VideoOptions& options) {
  ffmpeg::prepare();
  ffmpeg::require_pixels(frames, "the video writer");
  const double fps = options.fps > 0 ? options.fps : frames.fps;
  require_options(options, fps);
  AtomicFile video(file);
  write_mp4(frames, fps, options, video.temporary(), file);
  if (options.sidecar && !options.parameters_json.empty()) write_file(sidecar_path(file), options.parameters_json);
  video.commit();
}

}  // namespace ditscope
