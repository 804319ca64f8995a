#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/block_mask.h"

namespace ditscope::cpu {

/// How a block lies while it is worked on: as 32-bit words, one float or one
/// pair of bfloat16 each. The 64 queries of a block run along the lanes of
/// vectors, so both products of attention are one loop, `lanes +=
/// broadcast(word) * lanes of words`, and neither keys nor values are ever
/// transposed:
/// - queries       [depth][64]      word (t, i): channel t of query i, or
/// channels 2t and 2t+1 in pairs
/// - keys          [64][depth]      word (j, t): the same of key j
/// - logits        [64][64]         float (j, i): key j, query i
/// - probabilities [key steps][64]  word (t, i): of key t, or of keys 2t and
/// 2t+1, and query i
/// - values        [key steps][D]   word (t, c): channel c of key t, or of keys
/// 2t and 2t+1
/// - output        [D][64]          float (c, i)
struct PackedShape {
  int width = 0;      ///< D
  int depth = 0;      ///< words that span D: D, or ceil(D/2) in pairs
  int key_steps = 0;  ///< words that span 64 keys: 64, or 32 in pairs
  std::size_t key_words() const { return static_cast<std::size_t>(depth) * kBlockTokens; }  // of a query block too
  std::size_t value_words() const { return static_cast<std::size_t>(key_steps) * width; }
};

/// Tokens of one head: token stride and channel stride in elements.
struct Rows {
  void* data = nullptr;
  std::ptrdiff_t token_stride = 0, channel_stride = 1;
  const std::int32_t* tokens =
      nullptr;  ///< row i is token tokens[i]; below 0: any to read, none to write. Null: row i is token i
  std::ptrdiff_t token(std::ptrdiff_t row) const {
    if (tokens == nullptr) return row;
    return tokens[row] < 0 ? 0 : tokens[row];
  }
  bool written(std::ptrdiff_t row) const { return tokens == nullptr || tokens[row] >= 0; }
};

/// Running softmax of one query block: per query the sum over visited keys of
/// 2^(s - maximum), and of the same times v.
struct TileState {
  float* output = nullptr;    ///< (D, 64); only the lanes in `written` hold anything
  float* maximum = nullptr;   ///< (64) of scaled log2 logits, -inf before the first key
  float* sum = nullptr;       ///< (64)
  std::uint64_t written = 0;  ///< bit i: lane i of output
};

/// One of the two softmaxes that a visit may feed.
struct TileSide {
  TileState* state = nullptr;
  const std::uint64_t* bits = nullptr;  ///< 64 words, one a query; null: every pair
  float* block_sum = nullptr;           ///< (64), zeroed: what this block adds to the
                                        ///< sum, relative to block_maximum; may be null
  float* block_maximum = nullptr;       ///< (64)
};

/// One query block against one key block. With two sides the logits are
/// computed once for both.
struct TileVisit {
  PackedShape shape;
  const std::uint32_t* queries = nullptr;
  const std::uint32_t* keys = nullptr;
  const std::uint32_t* values = nullptr;
  std::ptrdiff_t key_stride = 0,
                 value_stride = 0;         ///< words from one row to the next: depth
                                           ///< and D where they are packed
  int query_count = 0, key_count = 0;      ///< 1..64
  float scale = 1;                         ///< |scale| * log2(e); its sign is in the queries
  float* logits = nullptr;                 ///< (64, 64) to work in
  std::uint32_t* probabilities = nullptr;  ///< (64, 64) to work in
  TileSide sides[2];                       ///< the second without a state: one side
  static constexpr int kAhead = 4;
  Rows ahead[kAhead];  ///< 64 tokens each that will be needed next: brought near
                       ///< meanwhile; may be null
};

/// What an instruction set provides. `bfloat16` says what the rows hold;
/// `pairs` says what the words hold.
struct TileKernels {
  const char* name;
  bool pairs;
  void (*pack_queries)(const PackedShape&, const Rows&, bool bfloat16, int count, bool negate, std::uint32_t* words);
  void (*pack_keys)(const PackedShape&, const Rows&, bool bfloat16, int count, std::uint32_t* words);
  void (*pack_values)(const PackedShape&, const Rows&, bool bfloat16, int count, std::uint32_t* words);
  void (*attend)(const TileVisit&);
  /// target[i][c] = factor[0][i] * states[0].output[c][i] (+ factor[1][i] *
  /// states[1].output[c][i]) + vector[c] + addend[i][c], rounded to nearest
  /// even in bfloat16. Addend and target have the same tokens.
  struct Finish {
    PackedShape shape;
    int count = 0;
    const TileState* states[2] = {nullptr, nullptr};  ///< the second may be null
    const float* factors[2] = {nullptr, nullptr};     ///< (64) each
    const float* vector = nullptr;                    ///< (D) or null
    Rows addend, target;                              ///< addend without data: none; it may be the target
    bool bfloat16 = false;
  };
  void (*finish)(const Finish&);
  /// Sum over `count` queries of sum[i] * 2^(maximum[i] - total[i]); a query
  /// with sum 0 adds nothing.
  float (*mass)(const float* sum, const float* maximum, const float* total, int count);
};

extern const TileKernels kPortableKernels;
#ifdef DITSCOPE_X86
extern const TileKernels kAvx2Kernels;
extern const TileKernels kAvx512Kernels;
extern const TileKernels kAvx512Bf16Kernels;  ///< bfloat16 rows only
#endif

/// The kernels to run for an element type: the widest that the machine and
/// DITSCOPE_ISA allow.
const TileKernels& choose_kernels(bool bfloat16);

}  // namespace ditscope::cpu
