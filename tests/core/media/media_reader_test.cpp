#include "core/media/media_reader.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <random>

#include "core/media/gif_writer.h"
#include "core/media/png_writer.h"
#include "core/media/video_writer.h"
#include "kernels/error.h"
#include "tests/core/media/pictures.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using test::TemporaryFolder;
using test::waves;

const std::string kJson = R"({"prompt":"a red cube","seed":7})";

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void put(const std::filesystem::path& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

/// The kind of the error that reading throws; nullopt where it reads.
std::optional<ErrorKind> error_of(const std::filesystem::path& file, const ReadLimits& limits = {}) {
  try {
    read_media(file, limits);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(';'), std::string::npos) << "says not what to do: " << error.what();
    return error.kind();
  }
  return std::nullopt;
}

/// One valid file of each kind.
struct Samples {
  TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  Samples() {
    const Frames video = waves(6, 48, 64);
    write_video(video, folder / "a.mp4", {.parameters_json = kJson, .sidecar = false});
    write_gif(video, folder / "a.gif", {.parameters_json = kJson});
    write_png(video, 0, folder / "a.png", kJson);
    files = {folder / "a.mp4", folder / "a.gif", folder / "a.png"};
  }
};

TEST(MediaReader, MissingFilesAndFoldersAreNotFound) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of(folder / "nothing.mp4"), ErrorKind::NotFound);
  EXPECT_EQ(error_of(folder.path()), ErrorKind::NotFound);
  EXPECT_THROW(probe_parameters(folder / "nothing.mp4"), Error);
}

TEST(MediaReader, OtherKindsOfFileAreUnsupportedWhateverTheirName) {
  const TemporaryFolder folder;
  put(folder / "empty.mp4", "");
  put(folder / "text.png", "hello, this is no picture");
  put(folder / "list.mp4", "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n");
  EXPECT_EQ(error_of(folder / "empty.mp4"), ErrorKind::Unsupported);
  EXPECT_EQ(error_of(folder / "text.png"), ErrorKind::Unsupported);
  EXPECT_EQ(error_of(folder / "list.mp4"), ErrorKind::Unsupported);
}

TEST(MediaReader, AFileIsRecognisedByItsBytesNotItsName) {
  const Samples samples;
  std::filesystem::copy_file(samples.files[2], samples.folder / "really a png.mp4");
  EXPECT_EQ(read_media(samples.folder / "really a png.mp4").frames.width, 64);
}

TEST(MediaReader, TruncatedFilesAreCorruptAtEveryLength) {
  const Samples samples;
  for (const auto& file : samples.files) {
    const std::string whole = bytes_of(file);
    for (const double part : {0.05, 0.3, 0.6, 0.9, 0.99}) {
      const auto cut = samples.folder / "cut";
      put(cut, whole.substr(0, static_cast<std::size_t>(whole.size() * part)));
      EXPECT_EQ(error_of(cut), ErrorKind::Corrupt) << file.filename() << " cut to " << part;
    }
  }
}

TEST(MediaReader, MutatedFilesNeverCrashAndFailOnlyWithClearErrors) {
  const Samples samples;
  std::mt19937 generator(2026);
  int refused = 0;
  for (const auto& file : samples.files) {
    const std::string whole = bytes_of(file);
    for (int round = 0; round < 150; ++round) {
      std::string bytes = whole;
      const int changes = 1 + static_cast<int>(generator() % 8);
      for (int i = 0; i < changes; ++i) {
        // Half of the damage in the first 600 bytes, where lengths and sizes are.
        const std::size_t range = generator() % 2 ? std::min<std::size_t>(600, bytes.size()) : bytes.size();
        const std::size_t at = 12 + generator() % (range - 12);
        const std::uint32_t choice = generator() % 3;
        bytes[at] = choice == 0 ? '\xFF' : choice == 1 ? '\0' : static_cast<char>(generator());
      }
      const auto mutant = samples.folder / "mutant";
      put(mutant, bytes);
      refused += error_of(mutant, {.frame_px = 1 << 20, .total_bytes = 64 << 20}).has_value();
      probe_parameters(mutant);
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(MediaReader, AHeaderThatClaimsAHugePictureIsRefusedBeforeItsMemoryIsTaken) {
  const Samples samples;
  std::string png = bytes_of(samples.files[2]);
  // IHDR claims 65536 x 65536; FFmpeg checks its CRC first, so the frame limit is tested on valid files below.
  png.replace(16, 8, std::string("\0\1\0\0\0\1\0\0", 8));
  put(samples.folder / "huge.png", png);
  EXPECT_TRUE(error_of(samples.folder / "huge.png").has_value());
  EXPECT_TRUE(error_of(samples.files[0], {.frame_px = 1000}).has_value());
  EXPECT_EQ(error_of(samples.files[0], {.total_bytes = 100000}), ErrorKind::OutOfMemory);
}

TEST(MediaReader, ParametersComeFromTheSidecarWhereTheFileHasNone) {
  const TemporaryFolder folder;
  write_png(waves(1, 8, 8), 0, folder / "a.png");
  EXPECT_EQ(probe_parameters(folder / "a.png"), std::nullopt);
  put(folder / "a.png.json", kJson);
  EXPECT_EQ(probe_parameters(folder / "a.png"), kJson);
  EXPECT_EQ(probe_parameters(folder / "a.png.json"), kJson) << "the sidecar itself was dropped";
}

TEST(MediaReader, TextThatIsNoJsonObjectIsNoParameters) {
  const TemporaryFolder folder;
  write_png(waves(1, 8, 8), 0, folder / "a.png", "made by somebody else");
  EXPECT_EQ(probe_parameters(folder / "a.png"), std::nullopt);
  put(folder / "array.json", "[1,2,3]");
  put(folder / "broken.json", R"({"prompt":)");
  put(folder / "deep.json", std::string(1000000, '{'));
  EXPECT_EQ(probe_parameters(folder / "array.json"), std::nullopt);
  EXPECT_EQ(probe_parameters(folder / "broken.json"), std::nullopt);
  EXPECT_EQ(probe_parameters(folder / "deep.json"), std::nullopt);
}

TEST(MediaReader, APngChunkThatClaimsMoreThanTheFileHoldsIsIgnored) {
  const TemporaryFolder folder;
  write_png(waves(1, 8, 8), 0, folder / "a.png", kJson);
  std::string png = bytes_of(folder / "a.png");
  png.replace(33, 4, "\x7F\xFF\xFF\xFF");  // length of the iTXt chunk
  put(folder / "a.png", png);
  EXPECT_EQ(probe_parameters(folder / "a.png"), std::nullopt);
}

}  // namespace
}  // namespace ditscope
