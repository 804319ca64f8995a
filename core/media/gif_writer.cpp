#include "core/media/gif_writer.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include "core/files/atomic_file.h"
#include "core/media/ffmpeg.h"
#include "core/media/embedded_text.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using ffmpeg::Owner;

/// The filter chain that turns RGB frames into frames of one shared palette.
struct Palettiser {
  Owner<AVFilterGraph> graph;
  AVFilterContext* source = nullptr;
  AVFilterContext* sink = nullptr;
};

Palettiser make_palettiser(int width, int height, AVRational rate) {
  Palettiser chain{Owner<AVFilterGraph>(avfilter_graph_alloc())};
  if (!chain.graph) ffmpeg::check(AVERROR(ENOMEM), "make the palette");
  chain.graph->nb_threads = 1;
  char arguments[160];
  std::snprintf(arguments, sizeof arguments, "video_size=%dx%d:pix_fmt=%d:time_base=%d/%d:pixel_aspect=1/1:frame_rate=%d/%d", width,
                height, AV_PIX_FMT_RGB24, rate.den, rate.num, rate.num, rate.den);
  ffmpeg::check(avfilter_graph_create_filter(&chain.source, avfilter_get_by_name("buffer"), "in", arguments, nullptr,
                                             chain.graph.get()),
                "make the palette");
  ffmpeg::check(avfilter_graph_create_filter(&chain.sink, avfilter_get_by_name("buffersink"), "out", nullptr, nullptr,
                                             chain.graph.get()),
                "make the palette");
  AVFilterInOut* outputs = avfilter_inout_alloc();
  AVFilterInOut* inputs = avfilter_inout_alloc();
  if (!outputs || !inputs) ffmpeg::check(AVERROR(ENOMEM), "make the palette");
  *outputs = {av_strdup("in"), chain.source, 0, nullptr};
  *inputs = {av_strdup("out"), chain.sink, 0, nullptr};
  const int parsed = avfilter_graph_parse_ptr(
      chain.graph.get(), "[in]split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=floyd_steinberg:diff_mode=rectangle[out]",
      &inputs, &outputs, nullptr);
  avfilter_inout_free(&inputs);
  avfilter_inout_free(&outputs);
  ffmpeg::check(parsed, "make the palette (libavfilter needs palettegen and paletteuse)");
  ffmpeg::check(avfilter_graph_config(chain.graph.get(), nullptr), "make the palette");
  return chain;
}

void feed(const Palettiser& chain, const Frames& frames) {
  for (int index = 0; index < frames.count; ++index) {
    const Owner<AVFrame> picture = ffmpeg::make_frame(AV_PIX_FMT_RGB24, frames.width, frames.height);
    const std::vector<std::uint8_t> rgb = ffmpeg::to_rgb24(frames, index);
    const std::size_t row_bytes = static_cast<std::size_t>(frames.width) * 3;
    for (int y = 0; y < frames.height; ++y) {
      std::memcpy(picture->data[0] + static_cast<std::ptrdiff_t>(y) * picture->linesize[0], rgb.data() + y * row_bytes, row_bytes);
    }
    picture->pts = index;
    ffmpeg::check(av_buffersrc_add_frame(chain.source, picture.get()), "make the palette");
  }
  ffmpeg::check(av_buffersrc_add_frame(chain.source, nullptr), "make the palette");
}

void encode(AVCodecContext* encoder, const AVFrame* frame, const ffmpeg::Output& output, AVPacket* packet) {
  ffmpeg::check(avcodec_send_frame(encoder, frame), "encode a frame");
  for (;;) {
    const int received = avcodec_receive_packet(encoder, packet);
    if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
    ffmpeg::check(received, "encode a frame");
    av_packet_rescale_ts(packet, encoder->time_base, output->streams[0]->time_base);
    packet->stream_index = 0;
    output.check(av_interleaved_write_frame(output.get(), packet), "write a frame");
  }
}

void write_frames(const Frames& frames, AVRational rate, const std::filesystem::path& temporary, const std::filesystem::path& shown) {
  const Palettiser chain = make_palettiser(frames.width, frames.height, rate);
  ffmpeg::Output output("gif", temporary, shown);
  const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_GIF);
  const Owner<AVCodecContext> encoder(avcodec_alloc_context3(codec));
  if (!codec || !encoder) throw Error(ErrorKind::Unsupported, "expected an FFmpeg with a GIF encoder; install libavcodec");
  encoder->width = frames.width;
  encoder->height = frames.height;
  encoder->pix_fmt = AV_PIX_FMT_PAL8;
  encoder->time_base = av_inv_q(rate);
  encoder->framerate = rate;
  encoder->thread_count = 1;
  ffmpeg::check(avcodec_open2(encoder.get(), codec, nullptr), "open the GIF encoder");
  AVStream* stream = avformat_new_stream(output.get(), nullptr);
  if (!stream) ffmpeg::check(AVERROR(ENOMEM), "add the stream");
  stream->time_base = encoder->time_base;
  ffmpeg::check(avcodec_parameters_from_context(stream->codecpar, encoder.get()), "describe the stream");
  ffmpeg::Options muxer;
  muxer.set("loop", "0");
  output.check(avformat_write_header(output.get(), muxer.get()), "start the file");

  feed(chain, frames);
  const Owner<AVPacket> packet = ffmpeg::make_packet();
  for (;;) {
    const Owner<AVFrame> picture(av_frame_alloc());
    if (!picture) ffmpeg::check(AVERROR(ENOMEM), "make a frame");
    const int received = av_buffersink_get_frame(chain.sink, picture.get());
    if (received == AVERROR_EOF) break;
    ffmpeg::check(received, "make the palette");
    encode(encoder.get(), picture.get(), output, packet.get());
  }
  encode(encoder.get(), nullptr, output, packet.get());
  output.finish();
}

}  // namespace

void write_gif(const Frames& frames, const std::filesystem::path& file, const GifOptions& options) {
  ffmpeg::prepare();
  ffmpeg::require_pixels(frames, "the GIF writer");
  const double fps = options.fps > 0 ? options.fps : frames.fps;
  if (!(fps > 0 && fps <= 50)) {
    throw Error(ErrorKind::InvalidArgument, "expected 0 < fps <= 50 for a GIF, got " + std::to_string(fps) + "; use 8 or save an MP4");
  }
  AtomicFile target(file);
  write_frames(frames, av_d2q(fps, 100000), target.temporary(), file);
  if (!options.parameters_json.empty()) {
    std::ifstream whole(target.temporary(), std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(whole), std::istreambuf_iterator<char>()};
    insert_gif_comment(bytes, options.parameters_json);
    write_file(file, bytes);
    return;
  }
  target.commit();
}

}  // namespace ditscope
