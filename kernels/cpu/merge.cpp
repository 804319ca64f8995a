#include "kernels/merge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_tile.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

template <typename Element>
void add_part(const HostView<const Element, 3>& part, std::int64_t head, std::int64_t token, float share, float* sum) {
  if (share == 0) return;
  const int width = static_cast<int>(part.shape[2]);
  float row[256];
  cpu::read_row(part.data + head * part.stride[0] + token * part.stride[1], static_cast<std::ptrdiff_t>(part.stride[2]), width,
                row);
  for (int c = 0; c < width; ++c) sum[c] += share * row[c];
}

}  // namespace

template <typename Element>
void merge_attention(const MergeArguments<Element>& m, const Workers& workers) {
  const auto [heads, tokens, width] = m.out.shape;
  expect_view("out_a", m.out_a, m.out.shape, true);
  expect_view("out_b", m.out_b, m.out.shape, true);
  expect_view("log_sum_exp_a", m.log_sum_exp_a, {heads, tokens}, true);
  expect_view("log_sum_exp_b", m.log_sum_exp_b, {heads, tokens}, true);
  expect_view("out", m.out, m.out.shape, true);
  expect_view("log_sum_exp", m.log_sum_exp, {heads, tokens}, false);
  expect_head_width(width);

  const std::int64_t blocks = cpu::blocks_of(tokens), row_tokens = tokens, channels = width;
  cpu::parallel_for(workers, heads * blocks, [&](std::int64_t task) {
    const std::int64_t head = task / blocks, first = task % blocks * kBlockTokens;
    float row[256];
    for (std::int64_t t = first; t < std::min<std::int64_t>(first + kBlockTokens, row_tokens); ++t) {
      const float a = m.log_sum_exp_a.data[head * m.log_sum_exp_a.stride[0] + t * m.log_sum_exp_a.stride[1]];
      const float b = m.log_sum_exp_b.data[head * m.log_sum_exp_b.stride[0] + t * m.log_sum_exp_b.stride[1]];
      const float top = std::fmax(a, b);
      const float share_a = a == kMinusInfinity ? 0.0f : std::exp(a - top),
                  share_b = b == kMinusInfinity ? 0.0f : std::exp(b - top);
      const float sum = share_a + share_b, factor = sum == 0 ? 0.0f : 1 / sum;
      std::fill_n(row, channels, 0.0f);
      add_part(m.out_a, head, t, share_a, row);  // a part without weight may hold anything, even NaN
      add_part(m.out_b, head, t, share_b, row);
      cpu::store_row(row, static_cast<int>(channels), factor, m.out.data + head * m.out.stride[0] + t * m.out.stride[1],
                     m.out.stride[2]);
      if (m.log_sum_exp.data)
        m.log_sum_exp.data[head * m.log_sum_exp.stride[0] + t * m.log_sum_exp.stride[1]] =
            sum == 0 ? kMinusInfinity : top + std::log(sum);
    }
  });
}

template void merge_attention(const MergeArguments<float>&, const Workers&);
template void merge_attention(const MergeArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
