#include "kernels/block_mass.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/attention_tile.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

using cpu::blocks_of;
using cpu::tokens_in;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <typename Arguments>
void expect_common(const Arguments& a) {
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  expect_head_width(width);
  expect_scale(a.scale);
  expect_view("q", a.q, {heads, queries, width}, true);
  expect_view("k", a.k, {heads, keys, width}, true);
  expect_block_mask(a.mask, heads, queries, keys);
  expect(a.block_tokens >= kBlockTokens && a.block_tokens % kBlockTokens == 0,
         "expected block_tokens to be a multiple of 64, got " + std::to_string(a.block_tokens) + "; take 64 or 128");
  expect_view("log_sum_exp", a.log_sum_exp, {heads, queries}, false);
  expect_view("mass", a.mass, {heads, blocks_of(queries, a.block_tokens), blocks_of(keys, a.block_tokens)}, true);
}

/// The row of `mass` that a 64-query tile adds to, and the number of its first tile of 64.
struct MassRow {
  float* data;
  std::int64_t stride, tiles_per_block;
  MassRow(const HostView<float, 3>& mass, std::int64_t head, std::int64_t block, std::int64_t block_tokens)
      : data(mass.data + head * mass.stride[0] + block * mass.stride[1]),
        stride(mass.stride[2]),
        tiles_per_block(block_tokens / kBlockTokens) {
    for (std::int64_t n = 0; n < mass.shape[2]; ++n) data[n * stride] = 0;
  }
  void add(std::int64_t key_tile, float value) const { data[key_tile / tiles_per_block * stride] += value; }
};

}  // namespace

template <typename Element>
void block_mass(const BlockMassArguments<Element>& a, const Workers& workers) {
  expect_common(a);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], width = a.q.shape[2];
  expect_view("log_sum_exp", a.log_sum_exp, {heads, queries}, true);
  expect(a.row_step >= 1 && a.row_step <= kBlockTokens && a.row_offset >= 0 && a.row_offset < a.row_step,
         "expected a row step of 1 to 64 and an offset below it, got " + std::to_string(a.row_step) + " and " +
             std::to_string(a.row_offset) + "; sample within every 64 queries");

  const cpu::VectorKernels& kernels = cpu::choose_vectors(std::is_same_v<Element, Bfloat16Bits>);
  const cpu::Visits visits(a.mask, a.k.shape[1]);
  cpu::PackedHeads<Element> packed(kernels, a.k, {});
  packed.for_each(a.mass.shape[1], workers, [&](std::int64_t head, std::int64_t block) {
    const MassRow row(a.mass, head, block, a.block_tokens);
    cpu::AttentionTile tile(kernels, static_cast<int>(width));
    std::uint64_t sampled_bits[kBlockTokens];
    float reference[kBlockTokens];
    const std::int64_t last = std::min((block + 1) * row.tiles_per_block, blocks_of(queries));
    for (std::int64_t m = block * row.tiles_per_block; m < last; ++m) {
      const int rows = tokens_in(m, queries);
      const std::int64_t offset = std::min<std::int64_t>(a.row_offset, rows - 1), first = m * kBlockTokens + offset;
      const int sampled = static_cast<int>((rows - offset + a.row_step - 1) / a.row_step);
      for (int r = 0; r < sampled; ++r) {
        const float lse = a.log_sum_exp.data[head * a.log_sum_exp.stride[0] + (first + r * a.row_step) * a.log_sum_exp.stride[1]];
        reference[r] = lse == -kInfinity ? kInfinity : lse * cpu::kLog2E;
      }
      tile.load_queries(cpu::rows_of(a.q, head, first, a.row_step), sampled, a.scale);
      for (std::int64_t i = 0, count = visits.count(head, m); i < count; ++i) {
        const std::int64_t n = visits.key_block(head, m, i);
        const std::uint64_t* bits = visits.bits(head, m, i);
        if (bits && a.row_step > 1) {
          for (int r = 0; r < sampled; ++r) sampled_bits[r] = bits[offset + r * a.row_step];
          bits = sampled_bits;
        }
        tile.multiply(packed.keys(head, n));
        row.add(n, tile.mass(bits, reference) * (static_cast<float>(rows) / static_cast<float>(sampled)));
      }
    }
  });
}

template <typename Element>
void block_search(const BlockSearchArguments<Element>& a, const Workers& workers) {
  expect_common(a);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  expect_view("v", a.v, {heads, keys, width}, a.out.data != nullptr);
  expect_view("out", a.out, {heads, queries, width}, false);

  const cpu::VectorKernels& kernels = cpu::choose_vectors(std::is_same_v<Element, Bfloat16Bits>);
  const cpu::Visits visits(a.mask, keys);
  cpu::PackedHeads<Element> packed(kernels, a.k, a.out.data ? a.v : HostView<const Element, 3>{});
  packed.for_each(a.mass.shape[1], workers, [&](std::int64_t head, std::int64_t block) {
    const MassRow mass_row(a.mass, head, block, a.block_tokens);
    cpu::AttentionTile tile(kernels, static_cast<int>(width));
    static thread_local cpu::Scratch memory;
    float shrink[kBlockTokens], share[kBlockTokens];
    const std::int64_t last = std::min((block + 1) * mass_row.tiles_per_block, blocks_of(queries));
    for (std::int64_t m = block * mass_row.tiles_per_block; m < last; ++m) {
      const int rows = tokens_in(m, queries);
      const std::int64_t count = visits.count(head, m);
      auto* sums = memory.reserve<float>(static_cast<std::size_t>(count * kBlockTokens));  // (visits, 64), on the running scale
      tile.load_queries(cpu::rows_of(a.q, head, m * kBlockTokens), rows, a.scale);
      tile.begin_softmax();
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t n = visits.key_block(head, m, i);
        tile.multiply(packed.keys(head, n));
        tile.add_block(a.out.data ? packed.values(head, n) : nullptr, visits.bits(head, m, i), sums + i * kBlockTokens, shrink);
        for (int r = 0; r < rows; ++r) {
          if (shrink[r] == 1) continue;  // rare: a maximum that grew takes the earlier sums of its row with it
          for (std::int64_t before = 0; before < i; ++before) sums[before * kBlockTokens + r] *= shrink[r];
        }
      }
      for (int r = 0; r < rows; ++r) {
        const std::int64_t query = m * kBlockTokens + r;
        const float total = tile.sum(r);
        share[r] = total == 0 ? 0.0f : 1 / total;
        if (a.out.data) tile.store(r, a.out.data + head * a.out.stride[0] + query * a.out.stride[1], a.out.stride[2]);
        if (a.log_sum_exp.data)
          a.log_sum_exp.data[head * a.log_sum_exp.stride[0] + query * a.log_sum_exp.stride[1]] = tile.log_sum_exp(r);
      }
      for (std::int64_t i = 0; i < count; ++i) {
        float total = 0;
        for (int r = 0; r < rows; ++r) total += sums[i * kBlockTokens + r] * share[r];
        mass_row.add(visits.key_block(head, m, i), total);
      }
    }
  });
}

template void block_mass(const BlockMassArguments<float>&, const Workers&);
template void block_mass(const BlockMassArguments<Bfloat16Bits>&, const Workers&);
template void block_search(const BlockSearchArguments<float>&, const Workers&);
template void block_search(const BlockSearchArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
