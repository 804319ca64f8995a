#include "kernels/row_attention.h"

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/clones.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

using cpu::blocks_of;
using cpu::tokens_in;

template <typename Element>
void expect_arguments(const RowAttentionArguments<Element>& a) {
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  const std::int64_t rows = a.rows.shape[1];
  expect_head_width(width);
  expect_scale(a.scale);
  expect_view("q", a.q, {heads, queries, width}, true);
  expect_view("k", a.k, {heads, keys, width}, true);
  expect_view("v", a.v, {heads, keys, width}, a.out.data != nullptr);
  expect_view("rows", a.rows, {heads, rows}, true);
  expect_block_mask(a.mask, heads, queries, keys);
  expect_view("out", a.out, {heads, rows, width}, false);
  expect_view("log_sum_exp", a.log_sum_exp, {heads, rows}, false);
  expect_view("probabilities", a.probabilities, {heads, rows, keys}, false);
  for (std::int64_t head = 0; head < (a.rows.stride[0] == 0 ? std::min<std::int64_t>(heads, 1) : heads); ++head) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int32_t row = a.rows.data[head * a.rows.stride[0] + r * a.rows.stride[1]];
      expect(row >= 0 && row < queries,
             "expected rows 0.." + std::to_string(queries - 1) + ", got " + std::to_string(row) + "; name queries that exist");
    }
  }
}

/// Key blocks that any of a tile's rows keeps, each with the bits of its rows.
struct RowVisits {
  std::vector<std::int32_t> slot_of_block;  ///< -1: not visited
  std::vector<std::uint64_t> bits;          ///< (slots, 64)

  void collect(const BlockMask& mask, std::int64_t head, const std::int32_t* rows, int count) {
    slot_of_block.assign(static_cast<std::size_t>(mask.key_blocks()), -1);
    bits.clear();
    const int list = mask.list_of_head(head);
    for (int r = 0; r < count; ++r) {
      const int block = rows[r] / kBlockTokens, row = rows[r] % kBlockTokens;
      for (auto* visit = mask.visits_begin(list, block); visit != mask.visits_end(list, block); ++visit) {
        const std::uint64_t kept = visit->bits == BlockMask::kWhole ? ~std::uint64_t{0} : mask.row_bits(visit->bits)[row];
        if (kept == 0) continue;
        std::int32_t& slot = slot_of_block[static_cast<std::size_t>(visit->key_block)];
        if (slot < 0) {
          slot = static_cast<std::int32_t>(bits.size() / kBlockTokens);
          bits.resize(bits.size() + kBlockTokens, 0);
        }
        bits[static_cast<std::size_t>(slot) * kBlockTokens + r] = kept;
      }
    }
  }
};

/// The logits of one block go where the probabilities will be; -inf where the mask skips.
void keep_logits(const float* logits, const std::uint64_t* bits, int rows, int keys, float scale, float* to,
                 std::int64_t row_stride, std::int64_t key_stride) {
  for (int r = 0; r < rows; ++r) {
    const std::uint64_t kept = bits ? bits[r] : ~std::uint64_t{0};
    const float* from = logits + r * kBlockTokens;
    float* row = to + r * row_stride;
    if (~kept == 0 && key_stride == 1) {
      for (int j = 0; j < keys; ++j) row[j] = from[j] * scale;
    } else {
      for (int j = 0; j < keys; ++j)
        row[j * key_stride] = kept >> j & 1 ? from[j] * scale : -std::numeric_limits<float>::infinity();
    }
  }
}

/// Kept log2 logits of a row to probabilities.
DITSCOPE_VECTOR_CLONES void normalise(float* row, std::int64_t keys, std::int64_t stride, float reference, float share) {
  if (stride == 1) {
    for (std::int64_t j = 0; j < keys; ++j) row[j] = cpu::exp2_of(row[j] - reference) * share;
  } else {
    for (std::int64_t j = 0; j < keys; ++j) row[j * stride] = cpu::exp2_of(row[j * stride] - reference) * share;
  }
}

/// Rows first .. first+63 of a head. @param block_of  the packed keys and values of a block: key_block -> {keys, values}
template <typename Element, typename BlockOf>
void attend_tile(const RowAttentionArguments<Element>& a, const cpu::VectorKernels& kernels, std::int64_t head, std::int64_t first,
                 const BlockOf& block_of) {
  const std::int64_t keys = a.k.shape[1], width = a.q.shape[2];
  const int count = tokens_in(0, a.rows.shape[1] - first);
  static thread_local cpu::Scratch memory;
  auto* gathered = memory.reserve<Element>(static_cast<std::size_t>(count * width));  // (count, D)
  std::int32_t numbers[kBlockTokens];
  for (int r = 0; r < count; ++r) {
    numbers[r] = a.rows.data[head * a.rows.stride[0] + (first + r) * a.rows.stride[1]];
    const Element* from = a.q.data + head * a.q.stride[0] + numbers[r] * a.q.stride[1];
    for (std::int64_t c = 0; c < width; ++c) gathered[r * width + c] = from[c * a.q.stride[2]];
  }
  static thread_local RowVisits visits;
  if (a.mask) visits.collect(*a.mask, head, numbers, count);
  const cpu::Visits every(nullptr, keys);

  cpu::AttentionTile tile(kernels, static_cast<int>(width));
  tile.load_queries({gathered, static_cast<std::ptrdiff_t>(width), 1, std::is_same_v<Element, Bfloat16Bits>}, count, a.scale);
  tile.begin_softmax();
  const auto& to = a.probabilities;
  float* probabilities = to.data ? to.data + head * to.stride[0] + first * to.stride[1] : nullptr;
  const float log2_scale = std::fabs(a.scale) * cpu::kLog2E;
  for (std::int64_t n = 0; n < blocks_of(keys); ++n) {
    const std::int32_t slot = a.mask ? visits.slot_of_block[static_cast<std::size_t>(n)] : 0;
    const std::uint64_t nothing[kBlockTokens] = {};
    const std::uint64_t* bits = !a.mask     ? every.bits(head, 0, n)
                                : slot >= 0 ? visits.bits.data() + static_cast<std::size_t>(slot) * kBlockTokens
                                            : nothing;
    if (slot >= 0) {
      const auto [packed_keys, packed_values] = block_of(n);
      tile.multiply(packed_keys);
      tile.add_block(packed_values, bits);
    }
    if (probabilities)
      keep_logits(tile.logits, bits, count, tokens_in(n, keys), log2_scale, probabilities + n * kBlockTokens * to.stride[2],
                  to.stride[1], to.stride[2]);
  }
  for (int r = 0; r < count; ++r) {
    if (a.out.data) tile.store(r, a.out.data + head * a.out.stride[0] + (first + r) * a.out.stride[1], a.out.stride[2]);
    if (a.log_sum_exp.data)
      a.log_sum_exp.data[head * a.log_sum_exp.stride[0] + (first + r) * a.log_sum_exp.stride[1]] = tile.log_sum_exp(r);
    if (probabilities) {
      const float sum = tile.sum(r);
      normalise(probabilities + r * to.stride[1], keys, to.stride[2], sum == 0 ? 0.0f : tile.maximum(r), sum == 0 ? 0.0f : 1 / sum);
    }
  }
}

}  // namespace

template <typename Element>
void row_attention(const RowAttentionArguments<Element>& a, const Workers& workers) {
  expect_arguments(a);
  using Block = std::pair<const std::uint32_t*, const std::uint32_t*>;  // keys, values
  const cpu::VectorKernels& kernels = cpu::choose_vectors(std::is_same_v<Element, Bfloat16Bits>);
  const std::int64_t heads = a.q.shape[0], keys = a.k.shape[1], tiles = blocks_of(a.rows.shape[1]);
  const int width = static_cast<int>(a.q.shape[2]);
  const HostView<const Element, 3> v = a.out.data ? a.v : HostView<const Element, 3>{};
  if (tiles > 1) {
    cpu::PackedHeads<Element> packed(kernels, a.k, v);
    packed.for_each(tiles, workers, [&](std::int64_t head, std::int64_t tile) {
      attend_tile(a, kernels, head, tile * kBlockTokens,
                  [&](std::int64_t n) { return Block{packed.keys(head, n), v.data ? packed.values(head, n) : nullptr}; });
    });
    return;
  }
  // Nobody reads a head's keys a second time: they are packed into the same cache lines block by block.
  const std::size_t key_words = static_cast<std::size_t>(kernels.depth(width)) * kBlockTokens;
  const std::size_t value_words = static_cast<std::size_t>(kernels.key_steps()) * static_cast<std::size_t>((width + 15) / 16 * 16);
  cpu::parallel_for(workers, tiles * heads, [&](std::int64_t head) {
    static thread_local cpu::Scratch memory;
    auto* words = memory.reserve<std::uint32_t>(key_words + value_words);
    attend_tile(a, kernels, head, 0, [&](std::int64_t n) {
      const int tokens = tokens_in(n, keys);
      kernels.pack_columns(cpu::rows_of(a.k, head, n * kBlockTokens), width, tokens, words);
      if (v.data) kernels.pack_values(cpu::rows_of(v, head, n * kBlockTokens), width, tokens, words + key_words);
      return Block{words, v.data ? words + key_words : nullptr};
    });
  });
}

template void row_attention(const RowAttentionArguments<float>&, const Workers&);
template void row_attention(const RowAttentionArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
