#include "kernels/pooled_attention.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/clones.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

using cpu::blocks_of;
using cpu::tokens_in;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// Log2 logits plus log2 weights of a row to shares; returns their sum before sharing. Every 16th in a lane of its own, so that
/// the order of the sum is the same on every machine.
DITSCOPE_VECTOR_CLONES float exponentials(float* row, std::int64_t size) {
  constexpr int kLanes = 16;
  float top[kLanes], lanes[kLanes] = {};
  for (float& lane : top) lane = kMinusInfinity;
  for (std::int64_t i = 0; i < size; i += kLanes)  // rows are padded with -inf to a multiple of 16
    for (int j = 0; j < kLanes; ++j) top[j] = row[i + j] > top[j] ? row[i + j] : top[j];
  float maximum = kMinusInfinity;
  for (const float lane : top) maximum = lane > maximum ? lane : maximum;
  if (maximum == kMinusInfinity) maximum = 0;
  for (std::int64_t i = 0; i < size; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      row[i + j] = cpu::exp2_of(row[i + j] - maximum);
      lanes[j] += row[i + j];
    }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

DITSCOPE_VECTOR_CLONES void scale_and_add(const float* from, const float* bias, float scale, int count, float* to) {
  for (int j = 0; j < count; ++j) to[j] = from[j] * scale + (bias ? bias[j] : 0.0f);
}

template <typename Element>
void expect_arguments(const PooledAttentionArguments<Element>& a) {
  const std::int64_t heads = a.queries.shape[0], rows = a.queries.shape[1], width = a.queries.shape[2], blocks = a.keys.shape[1];
  expect_head_width(width);
  expect_scale(a.scale);
  expect_view("queries", a.queries, {heads, rows, width}, true);
  expect_view("keys", a.keys, {heads, blocks, width}, true);
  expect_view("weights", a.weights, {heads, blocks}, false);
  expect_view("extra_keys", a.extra_keys, {heads, a.extra_keys.shape[1], width}, false);
  expect_view("shares", a.shares, {heads, rows, blocks}, true);
  expect_view("extra_share", a.extra_share, {heads, rows}, false);
}

}  // namespace

template <typename Element>
void pooled_attention(const PooledAttentionArguments<Element>& a, const Workers& workers) {
  expect_arguments(a);
  const std::int64_t rows = a.queries.shape[1], blocks = a.keys.shape[1], extra = a.extra_keys.data ? a.extra_keys.shape[1] : 0;
  const int width = static_cast<int>(a.queries.shape[2]);
  const cpu::VectorKernels& kernels = cpu::choose_vectors(false);
  const std::int64_t block_tiles = blocks_of(blocks), extra_tiles = blocks_of(extra);
  const std::int64_t columns = (block_tiles + extra_tiles) * kBlockTokens;  // of one row: blocks, padding, extra keys, padding
  const std::size_t tile_words = static_cast<std::size_t>(width) * kBlockTokens;
  for (std::int64_t head = 0; head < a.queries.shape[0]; ++head) {
    static thread_local cpu::Scratch packed_memory, bias_memory;
    auto* packed = packed_memory.reserve<std::uint32_t>(static_cast<std::size_t>(block_tiles + extra_tiles) * tile_words);
    auto* bias = bias_memory.reserve<float>(static_cast<std::size_t>(columns));
    for (std::int64_t j = 0; j < columns; ++j) bias[j] = kMinusInfinity;
    for (std::int64_t j = 0; j < blocks; ++j)
      bias[j] = a.weights.data ? std::log2(a.weights.data[head * a.weights.stride[0] + j * a.weights.stride[1]]) : 0.0f;
    for (std::int64_t t = 0; t < extra; ++t) bias[block_tiles * kBlockTokens + t] = 0;
    cpu::parallel_for(workers, block_tiles + extra_tiles, [&](std::int64_t n) {
      std::uint32_t* to = packed + static_cast<std::size_t>(n) * tile_words;
      if (n < block_tiles)
        kernels.pack_columns(cpu::rows_of(a.keys, head, n * kBlockTokens), width, tokens_in(n, blocks), to);
      else
        kernels.pack_columns(cpu::rows_of(a.extra_keys, head, (n - block_tiles) * kBlockTokens), width,
                             tokens_in(n - block_tiles, extra), to);
    });
    cpu::parallel_for(workers, blocks_of(rows), [&](std::int64_t m) {
      static thread_local cpu::Scratch logits_memory;
      auto* logits = logits_memory.reserve<float>(static_cast<std::size_t>(kBlockTokens * columns));  // (64, columns)
      const int count = tokens_in(m, rows);
      cpu::AttentionTile tile(kernels, width);
      tile.load_queries(cpu::rows_of(a.queries, head, m * kBlockTokens), count, a.scale);
      for (std::int64_t n = 0; n < block_tiles + extra_tiles; ++n) {
        tile.multiply(packed + static_cast<std::size_t>(n) * tile_words);
        for (int r = 0; r < count; ++r)
          scale_and_add(tile.logits + r * kBlockTokens, bias + n * kBlockTokens, std::fabs(a.scale) * cpu::kLog2E, kBlockTokens,
                        logits + r * columns + n * kBlockTokens);
      }
      for (int r = 0; r < count; ++r) {
        float* row = logits + r * columns;
        const float sum = exponentials(row, columns), factor = sum == 0 ? 0.0f : 1 / sum;
        float* to = a.shares.data + head * a.shares.stride[0] + (m * kBlockTokens + r) * a.shares.stride[1];
        for (std::int64_t j = 0; j < blocks; ++j) to[j * a.shares.stride[2]] = row[j] * factor;
        if (a.extra_share.data == nullptr) continue;
        float apart = 0;
        for (std::int64_t t = 0; t < extra; ++t) apart += row[block_tiles * kBlockTokens + t];
        a.extra_share.data[head * a.extra_share.stride[0] + (m * kBlockTokens + r) * a.extra_share.stride[1]] = apart * factor;
      }
    });
  }
}

BlockSelection pooling_gain(const HostView<const float, 3>& queries, const HostView<const float, 3>& query_deviation,
                            const HostView<const float, 3>& keys, const HostView<const float, 3>& key_deviation,
                            const Workers& workers) {
  const std::int64_t heads = queries.shape[0], rows = queries.shape[1], blocks = keys.shape[1];
  const int width = static_cast<int>(queries.shape[2]);
  expect_head_width(width);
  expect_view("queries", queries, {heads, rows, width}, true);
  expect_view("query_deviation", query_deviation, {heads, rows, width}, true);
  expect_view("keys", keys, {heads, blocks, width}, true);
  expect_view("key_deviation", key_deviation, {heads, blocks, width}, true);
  BlockSelection gain(heads, rows, blocks);
  const cpu::VectorKernels& kernels = cpu::choose_vectors(false);
  const std::int64_t row_tiles = blocks_of(rows);
  cpu::parallel_for(workers, heads * row_tiles, [&](std::int64_t i) {
    const std::int64_t head = i / row_tiles, first = i % row_tiles * kBlockTokens;
    const int count = tokens_in(i % row_tiles, rows);
    constexpr std::size_t kSquare = kBlockTokens * kBlockTokens;
    static thread_local cpu::Scratch memory;
    const std::size_t words = static_cast<std::size_t>(width) * kBlockTokens;
    auto* next = memory.reserve<std::uint32_t>(4 * words + 3 * kSquare);
    std::uint32_t *q = next, *dq = q + words, *k = dq + words, *dk = k + words;
    auto* signal = reinterpret_cast<float*>(dk + words);
    float *query_loss = signal + kSquare, *key_loss = query_loss + kSquare;
    kernels.pack_rows(cpu::rows_of(queries, head, first), width, count, false, q);
    kernels.pack_rows(cpu::rows_of(query_deviation, head, first), width, count, false, dq);
    for (std::int64_t n = 0; n < blocks_of(blocks); ++n) {
      const int key_count = tokens_in(n, blocks);
      kernels.pack_columns(cpu::rows_of(keys, head, n * kBlockTokens), width, key_count, k);
      kernels.pack_columns(cpu::rows_of(key_deviation, head, n * kBlockTokens), width, key_count, dk);
      kernels.multiply(q, k, width, count, signal);
      kernels.multiply(dq, k, width, count, query_loss);
      kernels.multiply(q, dk, width, count, key_loss);
      for (int r = 0; r < count; ++r) {
        std::uint64_t bits = 0;
        for (int j = 0; j < key_count; ++j) {
          const int at = r * kBlockTokens + j;
          const bool gains = std::fabs(signal[at]) > std::fabs(query_loss[at]) + std::fabs(key_loss[at]);
          bits |= std::uint64_t{gains} << j;
        }
        gain.row(head, first + r)[n] = bits;
      }
    }
  });
  return gain;
}

void pooled_rest(const PooledRestArguments& a, const Workers& workers) {
  const std::int64_t heads = a.shares.shape[0], rows = a.shares.shape[1], blocks = a.shares.shape[2];
  const int width = static_cast<int>(a.values.shape[2]), padded = (width + 15) / 16 * 16;
  expect_head_width(width);
  expect_view("shares", a.shares, {heads, rows, blocks}, true);
  expect_view("extra_share", a.extra_share, {heads, rows}, false);
  expect_view("values", a.values, {heads, blocks, width}, true);
  expect(a.kept == nullptr || (a.kept->heads() == heads && a.kept->query_blocks() == rows && a.kept->key_blocks() == blocks),
         "expected a selection of " + shape_text(a.shares.shape) + ", got another; make it from these shares");
  expect_view("rest", a.rest, {heads, rows, width}, true);
  expect_view("kept_share", a.kept_share, {heads, rows}, false);

  const cpu::VectorKernels& kernels = cpu::choose_vectors(false);
  const std::int64_t row_tiles = blocks_of(rows);
  cpu::parallel_for(workers, heads * row_tiles, [&](std::int64_t i) {
    const std::int64_t head = i / row_tiles, first = i % row_tiles * kBlockTokens;
    const int count = tokens_in(i % row_tiles, rows);
    const std::size_t tile = static_cast<std::size_t>(kBlockTokens) * padded;
    static thread_local cpu::Scratch memory;
    auto* shares = memory.reserve<float>(kBlockTokens * kBlockTokens + 2 * tile);  // (64,64) those of blocks that are not kept
    auto* values = reinterpret_cast<std::uint32_t*>(shares + kBlockTokens * kBlockTokens);
    auto* sums = reinterpret_cast<float*>(values + tile);
    float kept_share[kBlockTokens];
    std::fill_n(sums, tile, 0.0f);
    for (int r = 0; r < count; ++r)
      kept_share[r] =
          a.extra_share.data ? a.extra_share.data[head * a.extra_share.stride[0] + (first + r) * a.extra_share.stride[1]] : 0.0f;
    for (std::int64_t n = 0; n < blocks_of(blocks); ++n) {
      const int key_count = tokens_in(n, blocks);
      kernels.pack_values(cpu::rows_of(a.values, head, n * kBlockTokens), width, key_count, values);
      std::fill_n(shares, kBlockTokens * kBlockTokens, 0.0f);
      for (int r = 0; r < count; ++r) {
        const float* from =
            a.shares.data + head * a.shares.stride[0] + (first + r) * a.shares.stride[1] + n * kBlockTokens * a.shares.stride[2];
        const std::uint64_t bits = a.kept ? a.kept->row(head, first + r)[n] : 0;
        for (int j = 0; j < key_count; ++j) {
          const float share = from[j * a.shares.stride[2]];
          if (bits >> j & 1)
            kept_share[r] += share;
          else
            shares[r * kBlockTokens + j] = share;
        }
      }
      kernels.accumulate(reinterpret_cast<const std::uint32_t*>(shares), values, padded, count, sums);
    }
    for (int r = 0; r < count; ++r) {
      cpu::store_row(sums + r * padded, width, 1, a.rest.data + head * a.rest.stride[0] + (first + r) * a.rest.stride[1],
                     a.rest.stride[2]);
      if (a.kept_share.data)
        a.kept_share.data[head * a.kept_share.stride[0] + (first + r) * a.kept_share.stride[1]] = kept_share[r];
    }
  });
}

template void pooled_attention(const PooledAttentionArguments<float>&, const Workers&);
template void pooled_attention(const PooledAttentionArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
