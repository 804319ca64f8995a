#include "kernels/pooling.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "kernels/reference/pooling.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

template <typename Element>
void check(int heads, int tokens, int width, const std::vector<std::int64_t>& offsets, bool token_major, int channel_step,
           const Workers& workers) {
  std::mt19937 random(static_cast<std::uint32_t>(tokens * 7 + width));
  test::Array<Element> x(heads, tokens, width, token_major, channel_step);
  x.fill_normal(random, 1);
  for (int c = 0; c < width && tokens > 3; ++c) x.at(0, 3, c) = 0;  // a token of zeros
  for (int t = 0; t < tokens; ++t) x.at(heads - 1, t, 0) = test::from_float<Element>(3);
  const auto blocks = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto size = static_cast<std::size_t>(heads * blocks);
  std::vector<float> mean(size * width, 777.0f), deviation = mean, similarity(size, 777.0f);
  PoolingArguments<Element> a;
  a.x = x.const_view();
  a.block_offsets = {offsets.data(), {blocks + 1}, {1}};
  a.mean = {mean.data(), {heads, blocks, width}, {blocks * width, width, 1}};
  a.deviation = {deviation.data(), {heads, blocks, width}, {blocks * width, width, 1}};
  a.similarity = {similarity.data(), {heads, blocks}, {blocks, 1}};
  pool_blocks(a, workers);
  const reference::PooledBlocks expected = reference::pool_blocks(x.doubles(), heads, tokens, width, offsets);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    ASSERT_NEAR(mean[i], expected.mean[i], 1e-5) << i;
    ASSERT_NEAR(deviation[i], expected.deviation[i], 1e-5) << i;
  }
  for (std::size_t i = 0; i < size; ++i) ASSERT_NEAR(similarity[i], expected.similarity[i], 1e-5) << i;
}

TEST(Pooling, MeanDeviationAndSimilarityAgreeWithTheOracle) {
  const int widths[] = {1, 8, 32, 64, 72, 88, 128, 256};
  for (int i = 0; i < 8; ++i) {
    const int tokens = 1 + 37 * i;
    check<float>(1 + i % 3, tokens, widths[i], block_offsets(tokens, 64), i % 2 == 1, 1 + i % 2, {});
    check<Bfloat16Bits>(1 + i % 3, tokens, widths[7 - i], block_offsets(tokens, 16), i % 2 == 0, 1, test::threads(3));
  }
}

TEST(Pooling, BlocksMayBeRaggedAndEmptyAndLeaveTokensOut) {
  check<float>(2, 50, 24, {0, 0, 7, 20, 20, 45}, false, 1, {});
  check<float>(1, 50, 24, {5}, false, 1, {});  // no block
}

TEST(Pooling, OffsetsOfUniformBlocksEndWithWhatIsLeft) {
  EXPECT_EQ(block_offsets(130, 64), (std::vector<std::int64_t>{0, 64, 128, 130}));
  EXPECT_EQ(block_offsets(128, 64), (std::vector<std::int64_t>{0, 64, 128}));
  EXPECT_EQ(block_offsets(0, 64), (std::vector<std::int64_t>{0}));
  EXPECT_THROW(block_offsets(5, 0), Error);
}

TEST(Pooling, RefusesOffsetsBeyondTheTokens) {
  test::Array<float> x(1, 10, 4);
  const std::vector<std::int64_t> offsets = {0, 8, 11}, falling = {0, 8, 7};
  PoolingArguments<float> a;
  a.x = x.const_view();
  a.block_offsets = {offsets.data(), {3}, {1}};
  try {
    pool_blocks(a);
    FAIL() << "expected a refusal";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("within 0..10, got 11 at 2"), std::string::npos);
  }
  a.block_offsets.data = falling.data();
  EXPECT_THROW(pool_blocks(a), Error);
}

}  // namespace
}  // namespace ditscope
