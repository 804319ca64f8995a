#include "core/media/jpeg_writer.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/core/media/pictures.h"

namespace ditscope {
namespace {

TEST(JpegWriter, MakesAWholeJpeg) {
  const auto bytes = encode_jpeg(test::waves(2, 31, 45), 1);
  ASSERT_GT(bytes.size(), 100u);
  EXPECT_EQ(bytes[0], 0xff);
  EXPECT_EQ(bytes[1], 0xd8) << "start of image";
  EXPECT_EQ(bytes[bytes.size() - 1], 0xd9) << "end of image";
}

TEST(JpegWriter, ACoarserQuantiserMakesItSmaller) {
  const Frames frames = test::noise(1, 64, 64, 3);
  EXPECT_LT(encode_jpeg(frames, 0, 20).size(), encode_jpeg(frames, 0, 3).size());
}

TEST(JpegWriter, RefusesAFrameThatIsNotThere) { EXPECT_THROW(encode_jpeg(test::waves(1, 16, 16), 1), Error); }

}  // namespace
}  // namespace ditscope
