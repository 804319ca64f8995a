#include "core/media/jpeg_writer.h"

#include <algorithm>
#include <string>

#include "core/media/ffmpeg.h"
#include "kernels/error.h"

namespace ditscope {

std::vector<std::uint8_t> encode_jpeg(const Frames& frames, int index, int quantiser) {
  using ffmpeg::Owner;
  ffmpeg::prepare();
  ffmpeg::require_pixels(frames, "the JPEG writer");
  if (index < 0 || index >= frames.count)
    throw Error(ErrorKind::InvalidArgument, "expected a frame of 0.." + std::to_string(frames.count - 1) + ", got " +
                                                std::to_string(index) + "; choose one of these");
  const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
  if (!codec) throw Error(ErrorKind::Unsupported, "expected an FFmpeg with a JPEG encoder, got one without; install libavcodec");
  const Owner<AVCodecContext> encoder(avcodec_alloc_context3(codec));
  if (!encoder) ffmpeg::check(AVERROR(ENOMEM), "open the JPEG encoder");
  encoder->width = frames.width;
  encoder->height = frames.height;
  encoder->pix_fmt = AV_PIX_FMT_YUVJ420P;
  encoder->color_range = AVCOL_RANGE_JPEG;
  encoder->time_base = {1, 1};
  encoder->thread_count = 1;
  encoder->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
  encoder->global_quality = FF_QP2LAMBDA * std::clamp(quantiser, 2, 31);
  ffmpeg::check(avcodec_open2(encoder.get(), codec, nullptr), "open the JPEG encoder");

  const Owner<AVFrame> picture = ffmpeg::make_frame(AV_PIX_FMT_YUVJ420P, frames.width, frames.height);
  const Owner<SwsContext> scaler(sws_getContext(frames.width, frames.height, AV_PIX_FMT_RGB24, frames.width, frames.height,
                                                AV_PIX_FMT_YUVJ420P, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT, nullptr, nullptr,
                                                nullptr));
  if (!scaler) ffmpeg::check(AVERROR(ENOMEM), "make the colour converter");
  const std::vector<std::uint8_t> rgb = ffmpeg::to_rgb24(frames, index);
  const std::uint8_t* planes[1] = {rgb.data()};
  const int strides[1] = {frames.width * 3};
  sws_scale(scaler.get(), planes, strides, 0, frames.height, picture->data, picture->linesize);
  picture->pts = 0;
  picture->quality = encoder->global_quality;
  const Owner<AVPacket> packet = ffmpeg::make_packet();
  ffmpeg::check(avcodec_send_frame(encoder.get(), picture.get()), "encode the JPEG");
  ffmpeg::check(avcodec_receive_packet(encoder.get(), packet.get()), "encode the JPEG");
  return {packet->data, packet->data + packet->size};
}

}  // namespace ditscope
