#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/block_mask.h"

namespace ditscope::cpu {

/// Tokens of one head as they lie in the caller's memory, strides in elements.
struct TokenRows {
  const void* data = nullptr;
  std::ptrdiff_t token_stride = 0, channel_stride = 1;
  bool bfloat16 = false;
};

/// Running softmax of up to 64 rows: sums over the keys seen so far of 2^(s - maximum), and of the same times v.
struct SoftmaxState {
  float* output = nullptr;       ///< (64, padded width)
  float* maximum = nullptr;      ///< (64) of scaled log2 logits, -inf before the first key
  float* partial_sum = nullptr;  ///< (64, 16) lanes of the sum
};

struct SoftenArguments {
  const float* logits = nullptr;        ///< (64,64)
  const std::uint64_t* bits = nullptr;  ///< (64) kept keys of each row; null: all 64
  int rows = 0;
  float scale = 1;  ///< >= 0, times log2(e)
  int padded_width = 0;
  SoftmaxState state;
  std::uint32_t* probabilities = nullptr;  ///< (64, key steps) words for `accumulate`
  float* block_sum = nullptr;              ///< (64) sum of 2^(s - maximum) over this block; null to skip
  float* shrink = nullptr;                 ///< (64) what earlier sums were multiplied with; null to skip
};

/// The pieces that kernels beside the sparse attention are made of, on tiles of 64 x 64, for one instruction set. A word is one
/// float or, with `pairs`, two neighbouring bfloat16.
struct VectorKernels {
  const char* name;
  bool pairs;  ///< words hold bfloat16 pairs: for bfloat16 rows only

  /// words (64, depth): a token a row, zero beyond `tokens`; `negate` flips signs.
  void (*pack_rows)(const TokenRows&, int width, int tokens, bool negate, std::uint32_t* words);
  /// words (depth, 64): a token a column, zero beyond `tokens`.
  void (*pack_columns)(const TokenRows&, int width, int tokens, std::uint32_t* words);
  /// words (key steps, padded width): channels of a key, or of two neighbouring keys, a row; zero beyond `tokens` and `width`.
  void (*pack_values)(const TokenRows&, int width, int tokens, std::uint32_t* words);

  /// logits (64,64) = rows (64, depth) columns (depth, 64), the first `count` rows.
  void (*multiply)(const std::uint32_t* rows, const std::uint32_t* columns, int depth, int count, float* logits);
  /// Logits to probabilities; keeps maximum, sum and output of every row in step.
  void (*soften)(const SoftenArguments&);
  /// output (64, padded width) += probabilities (64, key steps) values (key steps, padded width), the first `count` rows.
  void (*accumulate)(const std::uint32_t* probabilities, const std::uint32_t* values, int padded_width, int count, float* output);
  /// Sum over rows and kept keys of 2^(scale * logit - reference of the row), exponents up to 80; a reference of +inf leaves a
  /// row out. `bits` as above; scale times log2(e), references in log2.
  float (*mass)(const float* logits, const std::uint64_t* bits, int rows, float scale, const float* reference);

  int depth(int width) const { return pairs ? (width + 1) / 2 : width; }
  int key_steps() const { return pairs ? kBlockTokens / 2 : kBlockTokens; }
};

extern const VectorKernels kPortableVectors;
#ifdef DITSCOPE_X86
extern const VectorKernels kAvx2Vectors;
extern const VectorKernels kAvx512Vectors;
extern const VectorKernels kAvx512Bf16Vectors;
#endif

/// The widest that the machine and DITSCOPE_ISA allow.
const VectorKernels& choose_vectors(bool bfloat16);

}  // namespace ditscope::cpu
