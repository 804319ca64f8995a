#include "core/media/media_reader.h"

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

extern "C" {
#include <libavutil/pixdesc.h>
}

#include "core/media/ffmpeg.h"
#include "core/media/embedded_text.h"
#include "core/media/video_writer.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using ffmpeg::Owner;

enum class Kind { Mp4, Matroska, Gif, Png, Other };

Kind sniff(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream || std::filesystem::is_directory(file)) {
    throw Error(ErrorKind::NotFound, "expected a file, got " + file.string() + " which cannot be read; choose an MP4, GIF or PNG");
  }
  std::array<char, 12> head{};
  stream.read(head.data(), head.size());
  if (std::memcmp(head.data(), "\x89PNG\r\n\x1A\n", 8) == 0) return Kind::Png;
  if (std::memcmp(head.data(), "GIF8", 4) == 0) return Kind::Gif;
  if (std::memcmp(head.data() + 4, "ftyp", 4) == 0) return Kind::Mp4;
  if (std::memcmp(head.data(), "\x1A\x45\xDF\xA3", 4) == 0) return Kind::Matroska;
  return Kind::Other;
}

const char* demuxer_name(Kind kind) {
  switch (kind) {
    case Kind::Mp4: return "mp4";
    case Kind::Matroska: return "matroska";
    case Kind::Gif: return "gif";
    case Kind::Png: return "png_pipe";
    case Kind::Other: break;
  }
  return "";
}

[[noreturn]] void throw_damaged(const std::filesystem::path& file, const std::string& detail) {
  throw Error(ErrorKind::Corrupt, "cannot read " + file.string() + ": " + detail + "; the file is damaged, save or copy it again");
}

struct CloseInput {
  void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
};
using Input = std::unique_ptr<AVFormatContext, CloseInput>;

/// Opens with the one demuxer that the first bytes name; files that this one points to are never opened.
Input open_input(const std::filesystem::path& file, Kind kind) {
  ffmpeg::Options options;
  options.set("protocol_whitelist", "file");
  options.set("codec_whitelist", "h264,gif,png");
  AVFormatContext* context = nullptr;
  const int opened = avformat_open_input(&context, ("file:" + file.string()).c_str(), av_find_input_format(demuxer_name(kind)),
                                         options.get());
  if (opened == AVERROR(ENOMEM)) ffmpeg::check(opened, "read the file");
  if (opened < 0) throw_damaged(file, ffmpeg::error_text(opened));
  return Input(context);
}

std::string comment_of(AVFormatContext* input, int stream) {
  const AVDictionaryEntry* entry = av_dict_get(input->metadata, "comment", nullptr, 0);
  if (!entry && stream >= 0) entry = av_dict_get(input->streams[stream]->metadata, "comment", nullptr, 0);
  return entry ? entry->value : "";
}

/// Turns decoded pictures into RGB 0..1 and keeps the shape of the first.
class Collector {
 public:
  Collector(const std::filesystem::path& file, const ReadLimits& limits) : file_(file), limits_(limits) {}

  void add(const AVFrame* picture) {
    if (frames_.count == 0) {
      begin(picture);
    } else if (picture->width != frames_.width || picture->height != frames_.height || picture->format != format_) {
      throw_damaged(file_, "its picture size changes from frame to frame");
    }
    const std::int64_t needed = static_cast<std::int64_t>(frames_.frame_size() * sizeof(float)) * (frames_.count + 1);
    if (needed > limits_.total_bytes) {
      throw Error(ErrorKind::OutOfMemory, "expected at most " + std::to_string(limits_.total_bytes >> 20) + " MiB of pixels, got more in " +
                                              file_.string() + "; cut the video shorter");
    }
    frames_.rgb.resize(frames_.frame_size() * (frames_.count + 1));
    convert(picture, frames_.rgb.data() + frames_.frame_size() * frames_.count);
    ++frames_.count;
  }

  Frames take() { return std::move(frames_); }
  int count() const { return frames_.count; }

 private:
  void begin(const AVFrame* picture) {
    const std::int64_t pixels = static_cast<std::int64_t>(picture->width) * picture->height;
    if (pixels <= 0) throw_damaged(file_, "a frame without pixels");
    if (pixels > limits_.frame_px) {
      throw Error(ErrorKind::OutOfMemory, "expected at most " + std::to_string(limits_.frame_px) + " px a frame, got " +
                                              std::to_string(pixels) + " in " + file_.string() + "; use a smaller picture");
    }
    frames_.width = picture->width;
    frames_.height = picture->height;
    format_ = picture->format;
    const auto format = static_cast<AVPixelFormat>(picture->format);
    const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
    if (!description) throw_damaged(file_, "an unknown pixel format");
    // RGB of 8 bits is only reordered; the rest goes through a matrix, in 16 bits to round once.
    deep_ = !((description->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) && description->comp[0].depth <= 8);
    bytes_.resize(static_cast<std::size_t>(pixels) * (deep_ ? 6 : 3) + 64);
    scaler_.reset(sws_getContext(frames_.width, frames_.height, format, frames_.width, frames_.height,
                                 deep_ ? AV_PIX_FMT_RGB48 : AV_PIX_FMT_RGB24,
                                 SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_ACCURATE_RND | SWS_BITEXACT, nullptr, nullptr, nullptr));
    if (!scaler_) ffmpeg::check(AVERROR(ENOMEM), "make the colour converter");
    if (description->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) return;
    const bool bt601 = picture->colorspace == AVCOL_SPC_SMPTE170M || picture->colorspace == AVCOL_SPC_BT470BG;
    const int* matrix = sws_getCoefficients(bt601 ? SWS_CS_ITU601 : SWS_CS_ITU709);
    sws_setColorspaceDetails(scaler_.get(), matrix, picture->color_range == AVCOL_RANGE_JPEG, matrix, 1, 0, 1 << 16, 1 << 16);
  }

  void convert(const AVFrame* picture, float* target) {
    std::uint8_t* planes[1] = {bytes_.data()};
    const int strides[1] = {frames_.width * (deep_ ? 6 : 3)};
    sws_scale(scaler_.get(), picture->data, picture->linesize, 0, frames_.height, planes, strides);
    const std::size_t values = frames_.frame_size();
    if (deep_) {
      for (std::size_t i = 0; i < values; ++i) {
        std::uint16_t value;
        std::memcpy(&value, bytes_.data() + i * 2, 2);
        target[i] = static_cast<float>(value) / 65535.0f;
      }
    } else {
      for (std::size_t i = 0; i < values; ++i) target[i] = static_cast<float>(bytes_[i]) / 255.0f;
    }
  }

  const std::filesystem::path& file_;
  const ReadLimits& limits_;
  Frames frames_;
  int format_ = -1;
  bool deep_ = false;
  std::vector<std::uint8_t> bytes_;
  Owner<SwsContext> scaler_;
};

Owner<AVCodecContext> open_decoder(const std::filesystem::path& file, const AVCodecParameters* parameters, const ReadLimits& limits) {
  const AVCodecID id = parameters->codec_id;
  const AVCodec* codec = avcodec_find_decoder(id);
  if (!codec || (id != AV_CODEC_ID_H264 && id != AV_CODEC_ID_GIF && id != AV_CODEC_ID_PNG)) {
    throw Error(ErrorKind::Unsupported, "expected H.264, GIF or PNG, got " + std::string(avcodec_get_name(id)) + " in " +
                                            file.string() + "; save it as an H.264 MP4");
  }
  Owner<AVCodecContext> decoder(avcodec_alloc_context3(codec));
  if (!decoder) ffmpeg::check(AVERROR(ENOMEM), "open the decoder");
  ffmpeg::check(avcodec_parameters_to_context(decoder.get(), parameters), "open the decoder");
  decoder->thread_count = 1;
  decoder->max_pixels = limits.frame_px;
  decoder->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
  const int opened = avcodec_open2(decoder.get(), codec, nullptr);
  if (opened < 0) throw_damaged(file, ffmpeg::error_text(opened));
  return decoder;
}

void decode(const std::filesystem::path& file, AVCodecContext* decoder, const AVPacket* packet, AVFrame* picture, Collector& collector) {
  const int sent = avcodec_send_packet(decoder, packet);
  if (sent < 0) throw_damaged(file, ffmpeg::error_text(sent));
  for (;;) {
    const int received = avcodec_receive_frame(decoder, picture);
    if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
    if (received < 0) throw_damaged(file, ffmpeg::error_text(received));
    collector.add(picture);
    av_frame_unref(picture);
  }
}

/// A whole GIF ends in this byte; FFmpeg takes the end of the file for it.
bool ends_with_gif_trailer(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(-1, std::ios::end);
  return stream.get() == 0x3B;
}

double frames_per_second(const AVStream* stream, int count) {
  const AVRational average = stream->avg_frame_rate;
  if (average.num > 0 && average.den > 0) return av_q2d(average);
  const double seconds = static_cast<double>(stream->duration) * av_q2d(stream->time_base);
  return stream->duration > 0 && seconds > 0 ? count / seconds : 8.0;
}

}  // namespace

Media read_media(const std::filesystem::path& file, const ReadLimits& limits) {
  ffmpeg::prepare();
  const Kind kind = sniff(file);
  if (kind == Kind::Other) {
    throw Error(ErrorKind::Unsupported, "expected an MP4, GIF or PNG, got " + file.string() + " which begins like none of them; "
                                            "choose a file that this program saved");
  }
  const Input input = open_input(file, kind);
  if (kind != Kind::Png) {
    input->probesize = 5'000'000;
    const int found = avformat_find_stream_info(input.get(), nullptr);
    if (found < 0) throw_damaged(file, ffmpeg::error_text(found));
  }
  const int stream = av_find_best_stream(input.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (stream < 0) throw_damaged(file, "it has no video stream");
  const Owner<AVCodecContext> decoder = open_decoder(file, input->streams[stream]->codecpar, limits);
  const Owner<AVPacket> packet = ffmpeg::make_packet();
  const Owner<AVFrame> picture(av_frame_alloc());
  if (!picture) ffmpeg::check(AVERROR(ENOMEM), "make a frame");
  Collector collector(file, limits);
  int result = 0;
  while ((result = av_read_frame(input.get(), packet.get())) >= 0) {
    if (packet->stream_index == stream) {
      if (packet->flags & AV_PKT_FLAG_CORRUPT) throw_damaged(file, "it is cut short");
      decode(file, decoder.get(), packet.get(), picture.get(), collector);
    }
    av_packet_unref(packet.get());
  }
  if (result != AVERROR_EOF) throw_damaged(file, ffmpeg::error_text(result));
  decode(file, decoder.get(), nullptr, picture.get(), collector);
  if (kind == Kind::Gif && !ends_with_gif_trailer(file)) throw_damaged(file, "it is cut short");
  const std::int64_t expected = kind == Kind::Mp4 ? input->streams[stream]->nb_frames : 1;
  if (collector.count() < expected) {
    throw_damaged(file, "expected " + std::to_string(expected) + " frames, got " + std::to_string(collector.count()));
  }
  Media media;
  media.frames = collector.take();
  media.frames.fps = frames_per_second(input->streams[stream], media.frames.count);
  if (kind == Kind::Png || kind == Kind::Gif) {
    std::ifstream bytes(file, std::ios::binary);
    media.parameters_json = (kind == Kind::Png ? read_png_comment(bytes) : read_gif_comment(bytes)).value_or("");
  } else {
    media.parameters_json = comment_of(input.get(), stream);
  }
  return media;
}

namespace {

bool is_json_object(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{' && nlohmann::json::accept(text);
}

std::optional<std::string> whole_json_file(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error || size > kLargestParameters_bytes) return std::nullopt;
  std::ifstream stream(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  return is_json_object(text) ? std::optional(text) : std::nullopt;
}

std::optional<std::string> embedded_parameters(const std::filesystem::path& file, Kind kind) {
  std::ifstream bytes(file, std::ios::binary);
  if (kind == Kind::Png) return read_png_comment(bytes);
  if (kind == Kind::Gif) return read_gif_comment(bytes);
  if (kind == Kind::Other) return whole_json_file(file);
  try {
    return comment_of(open_input(file, kind).get(), -1);
  } catch (const Error&) {
    return std::nullopt;  // a damaged video has no parameters to offer; its sidecar may
  }
}

}  // namespace

std::optional<std::string> probe_parameters(const std::filesystem::path& file) {
  ffmpeg::prepare();
  const Kind kind = sniff(file);
  const std::optional<std::string> inside = embedded_parameters(file, kind);
  if (inside && is_json_object(*inside)) return inside;
  return whole_json_file(sidecar_path(file));
}

}  // namespace ditscope
