#include "kernels/int8_attention.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/int8.h"
#include "kernels/expect.h"
#include "kernels/pooling.h"

namespace ditscope {
namespace {

using cpu::blocks_of;
using cpu::tokens_in;

constexpr std::int64_t kBytesAtOnce = std::int64_t{64} << 20;

template <typename Element>
void expect_arguments(const AttentionArguments<Element>& a, const Int8Options& options) {
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  expect_head_width(width);
  expect_scale(a.scale);
  expect_view("q", a.q, {heads, queries, width}, true);
  expect_view("k", a.k, {heads, keys, width}, true);
  expect_view("v", a.v, {heads, keys, width}, true);
  expect_view("out", a.out, {heads, queries, width}, true);
  expect_view("log_sum_exp", a.log_sum_exp, {heads, queries}, false);
  expect_view("row_scale", a.row_scale, {heads, queries}, false);
  expect_view("block_scale", a.block_scale, {heads, blocks_of(queries)}, false);
  expect_view("block_vector", a.block_vector, {heads, blocks_of(queries), width}, false);
  expect_view("residual", a.residual, {heads, queries, width}, false);
  expect_block_mask(a.mask, heads, queries, keys);
  expect(!a.query_tokens.data && !a.key_tokens.data,
         "expected tokens as they come, got an order of places; gather the tokens before (kernels/permutation.h)");
  expect_view("pv_skip", options.pv_skip, {heads}, false);
  expect_view("left_out_pairs", options.left_out_pairs, {heads}, false);
  expect(options.query_group_tokens >= 1 && options.key_group_tokens >= 1,
         "expected groups of 1 or more tokens, got " + std::to_string(options.query_group_tokens) + " queries and " +
             std::to_string(options.key_group_tokens) + " keys; take 1, 64 or 128");
}

template <typename Element>
HostView<const Element, 3> heads_of(HostView<const Element, 3> view, std::int64_t first, std::int64_t count) {
  view.data += first * view.stride[0];
  view.shape[0] = count;
  return view;
}

/// The tokens of some heads in int8, and their scales.
struct Int8Heads {
  cpu::Scratch value_memory, scale_memory;
  std::int8_t* values = nullptr;  // (H,T,D)
  float* scales = nullptr;        // (H, groups)
  std::int64_t tokens = 0, width = 0, groups = 0, group_tokens = 1;

  template <typename Element>
  void quantise(const HostView<const Element, 3>& x, const HostView<const float, 2>& mean, std::int64_t group,
                const Workers& workers) {
    tokens = x.shape[1];
    width = x.shape[2];
    group_tokens = group;
    groups = blocks_of(tokens, group);
    values = value_memory.reserve<std::int8_t>(static_cast<std::size_t>(x.shape[0] * tokens * width));
    scales = scale_memory.reserve<float>(static_cast<std::size_t>(x.shape[0] * groups));
    quantise_tokens<Element>(
        {x, mean, group, {values, x.shape, {tokens * width, width, 1}}, {scales, {x.shape[0], groups}, {groups, 1}}}, workers);
  }
  const std::int8_t* token(std::int64_t head, std::int64_t t) const { return values + (head * tokens + t) * width; }
  float scale(std::int64_t head, std::int64_t t) const { return scales[head * groups + t / group_tokens]; }
};

/// Keys and values of some heads, packed.
template <typename Element>
class Int8PackedHeads {
 public:
  Int8PackedHeads(const cpu::Int8Kernels& products, const cpu::VectorKernels& vectors, std::int64_t keys, int width)
      : products_(products),
        vectors_(vectors),
        keys_(keys),
        blocks_(blocks_of(keys)),
        width_(width),
        key_words_(std::int64_t{products.depth(width)} * kBlockTokens),
        value_words_(std::int64_t{vectors.key_steps()} * ((width + 15) / 16 * 16)) {}

  std::int64_t bytes_of_head() const { return blocks_ * (key_words_ + value_words_ + 2 * kBlockTokens) * 4; }

  void pack(const Int8Heads& keys, const HostView<const Element, 3>& v, const Workers& workers) {
    const std::int64_t heads = v.shape[0];
    static thread_local cpu::Scratch memory;
    const std::int64_t blocks = heads * blocks_;
    keys_packed_ =
        memory.reserve<std::uint32_t>(static_cast<std::size_t>(blocks * (key_words_ + value_words_ + 2 * kBlockTokens)));
    values_packed_ = keys_packed_ + blocks * key_words_;
    starts_ = reinterpret_cast<std::int32_t*>(values_packed_ + blocks * value_words_);
    scales_ = reinterpret_cast<float*>(starts_ + blocks * kBlockTokens);
    cpu::parallel_for(workers, heads * blocks_, [&](std::int64_t i) {
      const std::int64_t head = i / blocks_, first = i % blocks_ * kBlockTokens;
      const int tokens = tokens_in(i % blocks_, keys_);
      products_.pack_columns(keys.token(head, first), width_, tokens, keys_packed_ + i * key_words_, starts_ + i * kBlockTokens);
      for (int t = 0; t < kBlockTokens; ++t) scales_[i * kBlockTokens + t] = t < tokens ? keys.scale(head, first + t) : 0.0f;
      vectors_.pack_values(cpu::rows_of(v, head, first), width_, tokens, values_packed_ + i * value_words_);
    });
  }
  /// The logits of packed queries against one key block.
  void multiply(std::int64_t head, std::int64_t block, const std::uint32_t* queries, const float* query_scales, int rows,
                float* logits) const {
    const std::int64_t i = head * blocks_ + block;
    products_.multiply(queries, keys_packed_ + i * key_words_, starts_ + i * kBlockTokens, products_.depth(width_), rows,
                       query_scales, scales_ + i * kBlockTokens, logits);
  }
  const std::uint32_t* values(std::int64_t head, std::int64_t block) const {
    return values_packed_ + (head * blocks_ + block) * value_words_;
  }

 private:
  const cpu::Int8Kernels& products_;
  const cpu::VectorKernels& vectors_;
  std::int64_t keys_, blocks_;
  int width_;
  std::int64_t key_words_, value_words_;
  std::uint32_t *keys_packed_ = nullptr, *values_packed_ = nullptr;
  std::int32_t* starts_ = nullptr;  ///< (blocks, 64)
  float* scales_ = nullptr;         ///< (blocks, 64)
};

/// Query blocks of a head, those with most key blocks first, so that no thread ends long after the others.
std::vector<std::int64_t> heaviest_first(const cpu::Visits& visits, std::int64_t head, std::int64_t query_blocks) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(query_blocks));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return visits.count(head, a) > visits.count(head, b); });
  return order;
}

/// One row of the result, with what the epilogue does to it. `key_mean` is null without smoothing.
template <typename Element>
void finish_row(const AttentionArguments<Element>& a, const cpu::AttentionTile& tile, int row, std::int64_t head,
                std::int64_t query, const float* key_mean) {
  const int width = static_cast<int>(a.q.shape[2]);
  float row_values[256];
  if (a.log_sum_exp.data) {
    float shift = 0;
    cpu::read_row(a.q.data + head * a.q.stride[0] + query * a.q.stride[1], static_cast<std::ptrdiff_t>(a.q.stride[2]), width,
                  row_values);
    for (int c = 0; c < width && key_mean; ++c) shift += row_values[c] * key_mean[c];
    a.log_sum_exp.data[head * a.log_sum_exp.stride[0] + query * a.log_sum_exp.stride[1]] =
        tile.log_sum_exp(row) + a.scale * shift;
  }
  float result[256];
  tile.store(row, result, 1);
  const std::int64_t block = query / kBlockTokens;
  float factor = 1;
  if (a.row_scale.data) factor *= a.row_scale.data[head * a.row_scale.stride[0] + query * a.row_scale.stride[1]];
  if (a.block_scale.data) factor *= a.block_scale.data[head * a.block_scale.stride[0] + block * a.block_scale.stride[1]];
  for (int c = 0; c < width; ++c) result[c] *= factor;
  if (a.block_vector.data) {
    cpu::read_row(a.block_vector.data + head * a.block_vector.stride[0] + block * a.block_vector.stride[1],
                  static_cast<std::ptrdiff_t>(a.block_vector.stride[2]), width, row_values);
    for (int c = 0; c < width; ++c) result[c] += row_values[c];
  }
  if (a.residual.data) {
    cpu::read_row(a.residual.data + head * a.residual.stride[0] + query * a.residual.stride[1],
                  static_cast<std::ptrdiff_t>(a.residual.stride[2]), width, row_values);
    for (int c = 0; c < width; ++c) result[c] += row_values[c];
  }
  cpu::store_row(result, width, 1, a.out.data + head * a.out.stride[0] + query * a.out.stride[1], a.out.stride[2]);
}

/// Pairs of a visited block. @param bits (64) kept keys of each row; null: all
std::int64_t pairs_of(const std::uint64_t* bits, int rows, int keys) {
  if (bits == nullptr) return std::int64_t{rows} * keys;
  std::int64_t pairs = 0;
  for (int r = 0; r < rows; ++r) pairs += std::popcount(bits[r]);
  return pairs;
}

}  // namespace

template <typename Element>
void int8_attention(const AttentionArguments<Element>& a, const Int8Options& options, const Workers& workers) {
  expect_arguments(a, options);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], query_blocks = blocks_of(queries);
  const int width = static_cast<int>(a.q.shape[2]);
  if (heads == 0 || queries == 0) return;

  std::vector<float> mean(static_cast<std::size_t>(heads * width), 0.0f);
  if (options.smooth_keys) {
    const std::int64_t ends[] = {0, keys};
    pool_blocks<Element>({a.k, {ends, {2}, {1}}, {mean.data(), {heads, 1, width}, {width, width, 1}}, {}, {}}, workers);
  }
  const cpu::Int8Kernels& products = cpu::choose_int8();
  const cpu::VectorKernels& vectors = cpu::choose_vectors(std::is_same_v<Element, Bfloat16Bits>);
  const cpu::Visits visits(a.mask, keys);
  Int8PackedHeads<Element> packed(products, vectors, keys, width);
  static thread_local Int8Heads query_memory, key_memory;  // stays with the calling thread
  Int8Heads &int8_queries = query_memory, &int8_keys = key_memory;
  const std::int64_t at_once =
      std::clamp<std::int64_t>(kBytesAtOnce / std::max<std::int64_t>(packed.bytes_of_head(), 1), 1, heads);
  for (std::int64_t first = 0; first < heads; first += at_once) {
    const std::int64_t count = std::min(at_once, heads - first);
    int8_keys.quantise(heads_of(a.k, first, count), {mean.data() + first * width, {count, width}, {width, 1}},
                       options.key_group_tokens, workers);
    int8_queries.quantise(heads_of(a.q, first, count), {}, options.query_group_tokens, workers);
    packed.pack(int8_keys, heads_of(a.v, first, count), workers);
    std::vector<std::vector<std::int64_t>> orders;
    for (std::int64_t head = 0; head < count; ++head) orders.push_back(heaviest_first(visits, first + head, query_blocks));

    cpu::parallel_for(workers, count * query_blocks, [&](std::int64_t task) {
      const std::int64_t local = task / query_blocks, head = first + local, m = orders[local][task % query_blocks];
      const std::int64_t query = m * kBlockTokens;
      const int rows = tokens_in(m, queries);
      std::uint32_t words[kBlockTokens * 128];  // (64, depth)
      float query_scales[kBlockTokens] = {};
      products.pack_rows(int8_queries.token(local, query), width, rows, words);
      for (int r = 0; r < rows; ++r) query_scales[r] = std::copysign(1.0f, a.scale) * int8_queries.scale(local, query + r);
      cpu::AttentionTile tile(vectors, width);
      tile.expect_logits(rows, a.scale);
      tile.begin_softmax();
      const float within = options.pv_skip.data ? options.pv_skip.data[head * options.pv_skip.stride[0]] : 0.0f;
      std::int64_t left_out = 0;
      for (std::int64_t i = 0, last = visits.count(head, m); i < last; ++i) {
        const std::int64_t n = visits.key_block(head, m, i);
        packed.multiply(local, n, words, query_scales, rows, tile.logits);
        if (within > 0 && !tile.matters(visits.bits(head, m, i), within)) {
          left_out += pairs_of(visits.bits(head, m, i), rows, tokens_in(n, keys));
          continue;
        }
        tile.add_block(packed.values(local, n), visits.bits(head, m, i));
      }
      for (int r = 0; r < rows; ++r)
        finish_row(a, tile, r, head, query + r, options.smooth_keys ? mean.data() + head * width : nullptr);
      if (options.left_out_pairs.data && left_out > 0)
        std::atomic_ref(options.left_out_pairs.data[head * options.left_out_pairs.stride[0]]) += left_out;
    });
  }
}

template void int8_attention(const AttentionArguments<float>&, const Int8Options&, const Workers&);
template void int8_attention(const AttentionArguments<Bfloat16Bits>&, const Int8Options&, const Workers&);

}  // namespace ditscope
