#pragma once
#include <cstdint>

#include "kernels/block_mask.h"

namespace ditscope::cpu {

/// Products of int8 tokens in tiles of 64 x 64, for one instruction set. A word holds 4 neighbouring channels as bytes, or 2 as
/// 16-bit numbers where no instruction multiplies bytes.
struct Int8Kernels {
  const char* name;
  int channels_per_word;

  /// values (tokens, width) -> words (64, depth), zero beyond `tokens`.
  void (*pack_rows)(const std::int8_t* values, int width, int tokens, std::uint32_t* words);
  /// values (tokens, width) -> words (depth, 64) and what each column's sum starts with.
  void (*pack_columns)(const std::int8_t* values, int width, int tokens, std::uint32_t* words, std::int32_t* starts);
  /// logits (64,64) = row_scale * column_scale * (rows columns), the sum exact; the first `count` rows.
  void (*multiply)(const std::uint32_t* rows, const std::uint32_t* columns, const std::int32_t* starts, int depth, int count,
                   const float* row_scales, const float* column_scales, float* logits);

  int depth(int width) const { return (width + channels_per_word - 1) / channels_per_word; }
};

extern const Int8Kernels kPortableInt8;
#ifdef DITSCOPE_X86
extern const Int8Kernels kAvx2Int8;
extern const Int8Kernels kAvx512Int8;
extern const Int8Kernels kAvx512VnniInt8;
#endif

/// The widest that the machine and DITSCOPE_ISA allow.
const Int8Kernels& choose_int8();

}  // namespace ditscope::cpu
