#include "core/media/video_writer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include "core/media/gif_writer.h"
#include "core/media/media_reader.h"
#include "core/media/png_writer.h"
#include "core/metrics/psnr.h"
#include "kernels/error.h"
#include "tests/core/media/pictures.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using test::flat;
using test::noise;
using test::TemporaryFolder;
using test::waves;

const std::string kJson = R"({"prompt":"ein Würfel \"rot\"\n走る","seed":18446744073709551615,"method":"re-ttention"})";

/// The error that a call throws; "" for none.
std::string error_of(const std::function<void()>& call, ErrorKind expected) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), expected) << error.what();
    return error.what();
  }
  return "";
}

int files_in(const std::filesystem::path& folder) {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Copies the streams of a file into another container with FFmpeg's libraries, as `ffmpeg -c copy` does.
void remux(const std::filesystem::path& from, const std::filesystem::path& to) {
  AVFormatContext *input = nullptr, *output = nullptr;
  ASSERT_GE(avformat_open_input(&input, from.c_str(), nullptr, nullptr), 0);
  ASSERT_GE(avformat_find_stream_info(input, nullptr), 0);
  ASSERT_GE(avformat_alloc_output_context2(&output, nullptr, nullptr, to.c_str()), 0);
  AVStream* stream = avformat_new_stream(output, nullptr);
  ASSERT_GE(avcodec_parameters_copy(stream->codecpar, input->streams[0]->codecpar), 0);
  stream->codecpar->codec_tag = 0;
  av_dict_copy(&output->metadata, input->metadata, 0);
  ASSERT_GE(avio_open(&output->pb, to.c_str(), AVIO_FLAG_WRITE), 0);
  ASSERT_GE(avformat_write_header(output, nullptr), 0);
  AVPacket* packet = av_packet_alloc();
  while (av_read_frame(input, packet) >= 0) {
    av_packet_rescale_ts(packet, input->streams[0]->time_base, stream->time_base);
    ASSERT_GE(av_interleaved_write_frame(output, packet), 0);
  }
  av_packet_free(&packet);
  ASSERT_GE(av_write_trailer(output), 0);
  avio_closep(&output->pb);
  avformat_free_context(output);
  avformat_close_input(&input);
}

TEST(VideoWriter, RoundTripKeepsFramesRateAndParameters) {
  const TemporaryFolder folder;
  Frames video = waves(17, 96, 128);
  video.fps = 8;
  write_video(video, folder / "a.mp4", {.parameters_json = kJson, .crf = 12});
  const Media back = read_media(folder / "a.mp4");
  EXPECT_EQ(back.frames.count, 17);
  EXPECT_EQ(back.frames.width, 128);
  EXPECT_EQ(back.frames.height, 96);
  EXPECT_DOUBLE_EQ(back.frames.fps, 8.0);
  EXPECT_EQ(back.parameters_json, kJson);
  EXPECT_GT(psnr(back.frames, video).min_db, 38.0);
  EXPECT_EQ(bytes_of(folder / "a.mp4.json"), kJson);
  EXPECT_EQ(files_in(folder.path()), 2) << "a temporary file stayed behind";
}

TEST(VideoWriter, FractionalRatesSurvive) {
  const TemporaryFolder folder;
  write_video(waves(5, 32, 32), folder / "a.mp4", {.fps = 23.976});
  EXPECT_NEAR(read_media(folder / "a.mp4").frames.fps, 23.976, 1e-3);
}

TEST(VideoWriter, ColoursAreBt709LimitedRangeInTheDecodedPlanes) {
  // The luma and chroma that ITU-R BT.709 demands for each colour, computed here by its equations.
  const float colours[][3] = {{1, 1, 1}, {0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0.5f, 0.5f, 0.5f}, {0.8f, 0.3f, 0.1f}};
  for (const auto& rgb : colours) {
    const TemporaryFolder folder;
    write_video(flat(2, 64, 64, rgb[0], rgb[1], rgb[2]), folder / "a.mp4", {.crf = 1});
    AVFormatContext* input = nullptr;
    ASSERT_GE(avformat_open_input(&input, (folder / "a.mp4").c_str(), nullptr, nullptr), 0);
    ASSERT_GE(avformat_find_stream_info(input, nullptr), 0);
    const AVCodecParameters* parameters = input->streams[0]->codecpar;
    EXPECT_EQ(parameters->codec_id, AV_CODEC_ID_H264);
    EXPECT_EQ(parameters->format, AV_PIX_FMT_YUV420P);
    EXPECT_EQ(parameters->color_space, AVCOL_SPC_BT709);
    EXPECT_EQ(parameters->color_primaries, AVCOL_PRI_BT709);
    EXPECT_EQ(parameters->color_trc, AVCOL_TRC_BT709);
    EXPECT_EQ(parameters->color_range, AVCOL_RANGE_MPEG);
    AVCodecContext* decoder = avcodec_alloc_context3(avcodec_find_decoder(parameters->codec_id));
    avcodec_parameters_to_context(decoder, parameters);
    ASSERT_GE(avcodec_open2(decoder, nullptr, nullptr), 0);
    AVPacket* packet = av_packet_alloc();
    AVFrame* picture = av_frame_alloc();
    ASSERT_GE(av_read_frame(input, packet), 0);
    ASSERT_GE(avcodec_send_packet(decoder, packet), 0);
    avcodec_send_packet(decoder, nullptr);
    ASSERT_GE(avcodec_receive_frame(decoder, picture), 0);
    const double luma = 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
    EXPECT_NEAR(picture->data[0][32 * picture->linesize[0] + 32], 16 + 219 * luma, 1.01);
    EXPECT_NEAR(picture->data[1][16 * picture->linesize[1] + 16], 128 + 224 * (rgb[2] - luma) / 1.8556, 1.01);
    EXPECT_NEAR(picture->data[2][16 * picture->linesize[2] + 16], 128 + 224 * (rgb[0] - luma) / 1.5748, 1.01);
    av_frame_free(&picture);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&input);
    EXPECT_LT(test::largest_difference(read_media(folder / "a.mp4").frames, flat(2, 64, 64, rgb[0], rgb[1], rgb[2])), 0.02f);
  }
}

TEST(VideoWriter, TheIndexLiesBeforeThePictures) {
  const TemporaryFolder folder;
  write_video(waves(9, 64, 64), folder / "a.mp4", {.parameters_json = kJson});
  const std::string bytes = bytes_of(folder / "a.mp4");
  ASSERT_NE(bytes.find("moov"), std::string::npos);
  EXPECT_LT(bytes.find("moov"), bytes.find("mdat"));
}

TEST(VideoWriter, ParametersSurviveARemuxToMp4AndMatroska) {
  const TemporaryFolder folder;
  const std::string json = R"({"prompt":")" + std::string(70000, 'x') + R"(","seed":7})";  // longer than 16-bit lengths
  write_video(waves(5, 32, 48), folder / "a.mp4", {.parameters_json = json, .sidecar = false});
  remux(folder / "a.mp4", folder / "b.mp4");
  remux(folder / "a.mp4", folder / "c.mkv");
  EXPECT_EQ(probe_parameters(folder / "b.mp4"), json);
  EXPECT_EQ(probe_parameters(folder / "c.mkv"), json);
  EXPECT_EQ(read_media(folder / "c.mkv").frames.count, 5);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.mp4.json"));
}

TEST(VideoWriter, OddSidesGrowByRepeatingTheLastRowAndColumn) {
  const TemporaryFolder folder;
  Frames video = flat(3, 33, 47, 0.2f, 0.6f, 0.4f);
  write_video(video, folder / "a.mp4", {.crf = 4});
  const Frames back = read_media(folder / "a.mp4").frames;
  EXPECT_EQ(back.height, 34);
  EXPECT_EQ(back.width, 48);
  EXPECT_LT(test::largest_difference(back, flat(3, 34, 48, 0.2f, 0.6f, 0.4f)), 0.02f);
}

TEST(VideoWriter, TakesOneFrameAndTinyFrames) {
  const TemporaryFolder folder;
  write_video(flat(1, 1, 1, 1, 0, 0), folder / "dot.mp4");
  const Frames back = read_media(folder / "dot.mp4").frames;
  EXPECT_EQ(back.count, 1);
  EXPECT_EQ(back.width, 2);
}

TEST(VideoWriter, ValuesOutsideTheRangeAndNanAreClippedNotWrapped) {
  const TemporaryFolder folder;
  Frames video = flat(1, 16, 16, 1.7f, -0.4f, NAN);
  write_video(video, folder / "a.mp4", {.crf = 1});
  EXPECT_LT(test::largest_difference(read_media(folder / "a.mp4").frames, flat(1, 16, 16, 1, 0, 0)), 0.02f);
}

TEST(VideoWriter, RefusesEmptyFramesAndOptionsOutOfRange) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([&] { write_video({}, folder / "a.mp4"); }, ErrorKind::InvalidArgument), "");
  EXPECT_NE(error_of([&] { write_video(waves(1, 8, 8), folder / "a.mp4", {.crf = 52}); }, ErrorKind::InvalidArgument), "");
  EXPECT_NE(error_of([&] { write_video(waves(1, 8, 8), folder / "a.mp4", {.fps = 1e9}); }, ErrorKind::InvalidArgument), "");
  EXPECT_EQ(files_in(folder.path()), 0);
}

TEST(VideoWriter, MakesMissingFoldersAndTakesNamesWithSpacesColonsAndPercentSigns) {
  const TemporaryFolder folder;
  const auto file = folder / "new folder" / "17:03 %d ü.mp4";
  write_video(waves(2, 16, 16), file, {.parameters_json = kJson});
  EXPECT_EQ(read_media(file).frames.count, 2);
  EXPECT_EQ(probe_parameters(file), kJson);
}

TEST(Writers, APlaceThatCannotBeWrittenIsAnErrorThatSaysWhatToDo) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "not a folder";
  const auto inside = folder / "file" / "a.mp4";
  EXPECT_NE(error_of([&] { write_video(waves(1, 16, 16), inside); }, ErrorKind::Device).find("choose another name"), std::string::npos);
  EXPECT_NE(error_of([&] { write_gif(waves(1, 16, 16), inside); }, ErrorKind::Device), "");
  EXPECT_NE(error_of([&] { write_png(waves(1, 16, 16), 0, inside); }, ErrorKind::Device), "");
  EXPECT_NE(error_of([&] { write_png_sequence(waves(1, 16, 16), inside); }, ErrorKind::Device), "");
  EXPECT_NE(error_of([&] { write_video(waves(1, 16, 16), folder.path()); }, ErrorKind::InvalidArgument), "") << "the name is a folder";
  if (::geteuid() != 0) {
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    EXPECT_NE(error_of([&] { write_video(waves(1, 16, 16), folder / "a.mp4"); }, ErrorKind::Device).find("may write"), std::string::npos);
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  }
}

/// Lets no file of this process grow beyond a size while it lives: what a full disk looks like to a writer.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  sighandler_t handler_;
};

TEST(Writers, AFullDiskIsADeviceErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  const Frames video = noise(12, 128, 128, 1);
  for (const rlim_t bytes : {0, 3000, 60000}) {
    std::string mp4, gif, png, sequence;
    {
      const FullDisk full(bytes);
      mp4 = error_of([&] { write_video(video, folder / "a.mp4", {.parameters_json = kJson, .crf = 4}); }, ErrorKind::Device);
      gif = error_of([&] { write_gif(video, folder / "a.gif"); }, ErrorKind::Device);
      sequence = error_of([&] { write_png_sequence(video, folder.path()); }, bytes < 50000 ? ErrorKind::Device : ErrorKind::Cancelled);
      if (bytes < 50000) png = error_of([&] { write_png(video, 0, folder / "a.png"); }, ErrorKind::Device);
    }
    EXPECT_NE(mp4.find("free some space"), std::string::npos) << bytes << ": " << mp4;
    EXPECT_NE(gif.find("free some space"), std::string::npos) << bytes << ": " << gif;
    if (bytes < 50000) {
      EXPECT_NE(png.find("free some space"), std::string::npos) << bytes;
      EXPECT_NE(sequence.find("free some space"), std::string::npos) << bytes;
      EXPECT_EQ(files_in(folder.path()), 0) << bytes;
    }
  }
}

TEST(Writers, AnEarlierFileStaysWholeWhenReplacingItFails) {
  const TemporaryFolder folder;
  write_video(waves(3, 32, 32), folder / "a.mp4");
  const std::string before = bytes_of(folder / "a.mp4");
  {
    const FullDisk full(1000);
    EXPECT_NE(error_of([&] { write_video(noise(9, 64, 64, 2), folder / "a.mp4"); }, ErrorKind::Device), "");
  }
  EXPECT_EQ(bytes_of(folder / "a.mp4"), before);
}

TEST(Writers, AKilledProcessLeavesNothingUnderTheFinalName) {
  for (const int microseconds : {2000, 20000, 60000}) {
    const TemporaryFolder folder;
    const Frames video = noise(40, 128, 128, 3);
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        write_video(video, folder / "a.mp4", {.crf = 4});
      } catch (...) {
      }
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(microseconds));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended before it was killed: the test saw nothing";
    EXPECT_FALSE(std::filesystem::exists(folder / "a.mp4"));
  }
}

TEST(GifWriter, RoundTripKeepsSizeFramesAndParameters) {
  const TemporaryFolder folder;
  const Frames video = waves(17, 60, 90);
  write_gif(video, folder / "a.gif", {.parameters_json = kJson});
  const Media back = read_media(folder / "a.gif");
  EXPECT_EQ(back.frames.count, 17);
  EXPECT_EQ(back.frames.width, 90);
  EXPECT_EQ(back.frames.height, 60);
  EXPECT_NEAR(back.frames.fps, 8.0, 0.1);
  EXPECT_EQ(back.parameters_json, kJson);
  EXPECT_EQ(probe_parameters(folder / "a.gif"), kJson);
  EXPECT_GT(psnr(back.frames, video).mean_db, 22.0);  // 256 colours, dithered
  EXPECT_NE(bytes_of(folder / "a.gif").find("NETSCAPE2.0"), std::string::npos) << "it does not loop";
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(GifWriter, FewColoursComeBackExactly) {
  const TemporaryFolder folder;
  Frames video = flat(4, 20, 30, 1, 0, 0);
  for (std::size_t i = 0; i < video.frame_size() / 2; ++i) video.frame(2)[i] = i % 3 == 2 ? 1.0f : 0.0f;
  write_gif(video, folder / "a.gif");
  EXPECT_LT(test::largest_difference(read_media(folder / "a.gif").frames, video), 0.02f);
}

TEST(GifWriter, RefusesRatesThatGifCannotHold) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([&] { write_gif(waves(2, 8, 8), folder / "a.gif", {.fps = 60}); }, ErrorKind::InvalidArgument), "");
}

TEST(PngWriter, EightBitValuesComeBackExactlyWithTheirParameters) {
  const TemporaryFolder folder;
  Frames picture = noise(2, 37, 53, 11);
  for (float& value : picture.rgb) value = std::round(value * 255) / 255;
  write_png(picture, 1, folder / "a.png", kJson);
  const Media back = read_media(folder / "a.png");
  ASSERT_EQ(back.frames.count, 1);
  EXPECT_TRUE(std::equal(back.frames.rgb.begin(), back.frames.rgb.end(), picture.frame(1),
                         [](float a, float b) { return std::abs(a - b) < 1e-6f; }));
  EXPECT_EQ(back.parameters_json, kJson);
  EXPECT_EQ(probe_parameters(folder / "a.png"), kJson);
}

TEST(PngWriter, SequenceIsNumberedAndLeavesOtherFilesAlone) {
  const TemporaryFolder folder;
  std::ofstream(folder / "mine.txt") << "keep";
  EXPECT_EQ(write_png_sequence(waves(12, 16, 16), folder.path(), kJson), 12);
  EXPECT_EQ(files_in(folder.path()), 13);
  EXPECT_EQ(bytes_of(folder / "mine.txt"), "keep");
  EXPECT_TRUE(std::filesystem::exists(folder / "frame_0000.png"));
  EXPECT_EQ(probe_parameters(folder / "frame_0011.png"), kJson);
}

TEST(PngWriter, RefusesAFrameThatIsNotThere) {
  EXPECT_NE(error_of([] { encode_png(waves(2, 8, 8), 2); }, ErrorKind::InvalidArgument), "");
  EXPECT_NE(error_of([] { encode_png(waves(2, 8, 8), -1); }, ErrorKind::InvalidArgument), "");
}

TEST(PngWriter, ThumbnailsKeepTheAspectAverageAndNeverGrow) {
  const Frames small = thumbnail(flat(3, 90, 160, 0.3f, 0.5f, 0.7f), 2, 80);
  EXPECT_EQ(small.width, 80);
  EXPECT_EQ(small.height, 45);
  EXPECT_LT(test::largest_difference(small, flat(1, 45, 80, 0.3f, 0.5f, 0.7f)), 1e-6f);
  EXPECT_EQ(thumbnail(waves(1, 20, 30), 0, 160).width, 30);
}

}  // namespace
}  // namespace ditscope
