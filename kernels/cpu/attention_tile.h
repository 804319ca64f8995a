#pragma once
#include <type_traits>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vectors.h"
#include "kernels/tensor_view.h"

namespace ditscope::cpu {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

inline std::int64_t blocks_of(std::int64_t tokens, std::int64_t block_tokens = kBlockTokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

/// Tokens of block number `block`: 64, or fewer at the end.
inline int tokens_in(std::int64_t block, std::int64_t tokens) {
  return static_cast<int>(tokens - block * kBlockTokens < kBlockTokens ? tokens - block * kBlockTokens : kBlockTokens);
}

template <typename Element>
TokenRows rows_of(const HostView<const Element, 3>& view, std::int64_t head, std::int64_t token, std::int64_t step = 1) {
  return {view.data + head * view.stride[0] + token * view.stride[1], static_cast<std::ptrdiff_t>(view.stride[1] * step),
          static_cast<std::ptrdiff_t>(view.stride[2]), std::is_same_v<Element, Bfloat16Bits>};
}

/// row[c] = in[c * stride], as floats.
void read_row(const float* in, std::ptrdiff_t stride, int width, float* row);
void read_row(const Bfloat16Bits* in, std::ptrdiff_t stride, int width, float* row);
/// out[c] = factor * row[c], rounded to nearest even in bfloat16.
void store_row(const float* row, int width, float factor, float* out, std::ptrdiff_t stride);
void store_row(const float* row, int width, float factor, Bfloat16Bits* out, std::ptrdiff_t stride);

/// Which key blocks a query block visits, and the kept bits of each: from a mask, or every key.
class Visits {
 public:
  Visits(const BlockMask* mask, std::int64_t keys);
  std::int64_t count(std::int64_t head, std::int64_t query_block) const;
  std::int64_t key_block(std::int64_t head, std::int64_t query_block, std::int64_t i) const;
  /// 64 words, one a query row; null where every row keeps 64 keys.
  const std::uint64_t* bits(std::int64_t head, std::int64_t query_block, std::int64_t i) const;

 private:
  const BlockMask* mask_;
  std::int64_t key_blocks_;
  std::uint64_t last_[kBlockTokens];  ///< bits of the last key block
  bool ragged_;
};

/// Keys, and values where there are any, of some heads at a time, packed.
template <typename Element>
class PackedHeads {
 public:
  PackedHeads(const VectorKernels& kernels, const HostView<const Element, 3>& k, const HostView<const Element, 3>& v);
  /// Packs a number of heads at a time and calls body(head, i) for i < count of each.
  template <typename Body>
  void for_each(std::int64_t count, const Workers& workers, const Body& body) {
    for (std::int64_t first = 0; first < k_.shape[0]; first += at_once_) {
      const std::int64_t heads = std::min(at_once_, k_.shape[0] - first);
      pack(first, heads, workers);
      parallel_for(workers, heads * count, [&](std::int64_t i) { body(first + i / count, i % count); });
    }
  }
  const std::uint32_t* keys(std::int64_t head, std::int64_t block) const {
    return packed_ + (head - first_) * head_words_ + block * key_words_;
  }
  const std::uint32_t* values(std::int64_t head, std::int64_t block) const {
    return packed_ + (head - first_) * head_words_ + blocks_ * key_words_ + block * value_words_;
  }

 private:
  void pack(std::int64_t first, std::int64_t heads, const Workers& workers);

  const VectorKernels& kernels_;
  HostView<const Element, 3> k_, v_;
  std::int64_t blocks_, key_words_, value_words_, head_words_, at_once_, first_ = 0;
  std::uint32_t* packed_;
};

/// Up to 64 queries on their way over key blocks: memory of the calling thread, one at a time.
class AttentionTile {
 public:
  AttentionTile(const VectorKernels& kernels, int width);
  /// Takes queries; `scale` is that of the logits, its sign goes into them.
  void load_queries(const TokenRows& from, int rows, float scale);
  /// Instead of queries: the caller will fill `logits` itself, with the sign of `scale` in them.
  void expect_logits(int rows, float scale);
  void multiply(const std::uint32_t* keys) { kernels_.multiply(queries_, keys, kernels_.depth(width_), rows_, logits); }
  /// logits (64,64) -> mass of the kept pairs, references as in VectorKernels::mass.
  float mass(const std::uint64_t* bits, const float* reference) const {
    return kernels_.mass(logits, bits, rows_, scale_, reference);
  }

  void begin_softmax();
  /// Whether any row has a kept logit that comes within `within` (powers of two) of the largest it has met so far.
  bool matters(const std::uint64_t* bits, float within) const;
  /// Logits meet the running softmax and, with `values`, the output. `block_sum` and `shrink` as in SoftenArguments.
  void add_block(const std::uint32_t* values, const std::uint64_t* bits, float* block_sum = nullptr, float* shrink = nullptr);
  float sum(int row) const;
  float maximum(int row) const { return state_.maximum[row]; }
  float log_sum_exp(int row) const;
  /// out = factor * output of a row, as probabilities were normalised; 0 for a row that kept nothing.
  template <typename Element>
  void store(int row, Element* out, std::ptrdiff_t stride) const {
    const float total = sum(row);
    store_row(state_.output + row * padded_width_, width_, total == 0 ? 0.0f : 1 / total, out, stride);
  }

  float* logits;  ///< (64,64), scale not yet applied

 private:
  const VectorKernels& kernels_;
  int width_, padded_width_, rows_ = 0;
  float scale_ = 1;
  std::uint32_t *queries_, *probabilities_;
  SoftmaxState state_;
};

}  // namespace ditscope::cpu
