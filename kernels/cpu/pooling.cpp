#include "kernels/pooling.h"

#include <cmath>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/clones.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

constexpr int kMostWidth = 256;

/// One block as float rows, in place where it lies so.
struct BlockRows {
  const float* data;
  std::ptrdiff_t stride;
  std::int64_t tokens;
  int width;
};

template <typename Element>
BlockRows read_block(const HostView<const Element, 3>& x, std::int64_t head, std::int64_t first, std::int64_t last) {
  const int width = static_cast<int>(x.shape[2]);
  const Element* from = x.data + head * x.stride[0] + first * x.stride[1];
  if constexpr (std::is_same_v<Element, float>) {
    if (x.stride[2] == 1) return {from, static_cast<std::ptrdiff_t>(x.stride[1]), last - first, width};
  }
  static thread_local cpu::Scratch memory;
  float* rows = memory.reserve<float>(static_cast<std::size_t>((last - first) * width));
  for (std::int64_t t = 0; t < last - first; ++t)
    cpu::read_row(from + t * x.stride[1], static_cast<std::ptrdiff_t>(x.stride[2]), width, rows + t * width);
  return {rows, width, last - first, width};
}

DITSCOPE_VECTOR_CLONES void mean_of(const BlockRows& rows, float* mean) {
  for (int c = 0; c < rows.width; ++c) mean[c] = 0;
  for (std::int64_t t = 0; t < rows.tokens; ++t) {
    const float* row = rows.data + t * rows.stride;
    for (int c = 0; c < rows.width; ++c) mean[c] += row[c];
  }
  const float share = rows.tokens ? 1.0f / static_cast<float>(rows.tokens) : 0.0f;
  for (int c = 0; c < rows.width; ++c) mean[c] *= share;
}

DITSCOPE_VECTOR_CLONES void deviation_of(const BlockRows& rows, const float* mean, float* deviation) {
  for (int c = 0; c < rows.width; ++c) deviation[c] = 0;
  for (std::int64_t t = 0; t < rows.tokens; ++t) {
    const float* row = rows.data + t * rows.stride;
    for (int c = 0; c < rows.width; ++c) deviation[c] += std::fabs(row[c] - mean[c]);
  }
  const float share = rows.tokens ? 1.0f / static_cast<float>(rows.tokens) : 0.0f;
  for (int c = 0; c < rows.width; ++c) deviation[c] *= share;
}

/// In lanes, so that the order of a sum is the same on every machine.
DITSCOPE_VECTOR_CLONES float squared_length(const float* row, int width) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  int c = 0;
  for (; c + kLanes <= width; c += kLanes)
    for (int i = 0; i < kLanes; ++i) lanes[i] += row[c + i] * row[c + i];
  for (; c < width; ++c) lanes[c % kLanes] += row[c] * row[c];
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

DITSCOPE_VECTOR_CLONES void add_scaled(float* sum, const float* row, float factor, int width) {
  for (int c = 0; c < width; ++c) sum[c] += factor * row[c];
}

float similarity_of(const BlockRows& rows) {
  if (rows.tokens == 0) return 0;
  float sum[kMostWidth] = {};
  for (std::int64_t t = 0; t < rows.tokens; ++t) {
    const float* row = rows.data + t * rows.stride;
    const float length = std::sqrt(squared_length(row, rows.width));
    if (length > 0) add_scaled(sum, row, 1 / length, rows.width);
  }
  const float tokens = static_cast<float>(rows.tokens);
  return squared_length(sum, rows.width) / (tokens * tokens);
}

void write(const float* from, const HostView<float, 3>& to, std::int64_t head, std::int64_t block) {
  if (to.data == nullptr) return;
  float* row = to.data + head * to.stride[0] + block * to.stride[1];
  for (std::int64_t c = 0; c < to.shape[2]; ++c) row[c * to.stride[2]] = from[c];
}

}  // namespace

std::vector<std::int64_t> block_offsets(std::int64_t tokens, std::int64_t block_tokens) {
  expect(tokens >= 0 && block_tokens >= 1, "expected 0 or more tokens in blocks of 1 or more, got " + std::to_string(tokens) +
                                               " in blocks of " + std::to_string(block_tokens) + "; check both");
  std::vector<std::int64_t> offsets{0};
  while (offsets.back() < tokens) offsets.push_back(std::min(offsets.back() + block_tokens, tokens));
  return offsets;
}

template <typename Element>
void pool_blocks(const PoolingArguments<Element>& a, const Workers& workers) {
  const auto& offsets = a.block_offsets;
  const std::int64_t heads = a.x.shape[0], tokens = a.x.shape[1], width = a.x.shape[2], blocks = offsets.shape[0] - 1;
  expect_head_width(width);
  expect_view("x", a.x, {heads, tokens, width}, true);
  expect(offsets.data != nullptr && blocks >= 0, "expected N+1 block offsets, got none; say where blocks begin and end");
  for (std::int64_t n = 0; n <= blocks; ++n) {
    const std::int64_t offset = offsets.data[n * offsets.stride[0]],
                       before = n == 0 ? 0 : offsets.data[(n - 1) * offsets.stride[0]];
    expect(offset >= before && offset <= tokens, "expected ascending block offsets within 0.." + std::to_string(tokens) +
                                                     ", got " + std::to_string(offset) + " at " + std::to_string(n) +
                                                     "; sort and clip them");
  }
  expect_view("mean", a.mean, {heads, blocks, width}, false);
  expect_view("deviation", a.deviation, {heads, blocks, width}, false);
  expect_view("similarity", a.similarity, {heads, blocks}, false);

  cpu::parallel_for(workers, heads * blocks, [&](std::int64_t i) {
    const std::int64_t head = i / blocks, n = i % blocks;
    const BlockRows rows = read_block(a.x, head, offsets.data[n * offsets.stride[0]], offsets.data[(n + 1) * offsets.stride[0]]);
    float mean[kMostWidth], deviation[kMostWidth];
    if (a.mean.data || a.deviation.data) mean_of(rows, mean);
    if (a.deviation.data) deviation_of(rows, mean, deviation);
    write(mean, a.mean, head, n);
    write(deviation, a.deviation, head, n);
    if (a.similarity.data) a.similarity.data[head * a.similarity.stride[0] + n * a.similarity.stride[1]] = similarity_of(rows);
  });
}

template void pool_blocks(const PoolingArguments<float>&, const Workers&);
template void pool_blocks(const PoolingArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
