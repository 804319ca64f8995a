#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/block_mask.h"

namespace ditscope::cpu {

/// How tokens lie in packed blocks: as 32-bit words, one float or one pair of bfloat16 each.
///
/// A key block is [depth][64] words: word (t, j) holds channel t of key j, or channels 2t and 2t+1 in pairs. A value block is
/// [key steps][padded width]: word (t, c) holds channel c of key t, or of keys 2t and 2t+1. Tails are zero. So both products of
/// attention are the same loop over words, and one multiply-add instruction takes a word.
struct PackedShape {
  int width = 0;         ///< D
  int depth = 0;         ///< words that span D: D, or ceil(D/2) in pairs
  int padded_width = 0;  ///< D rounded up to 16
  int key_steps = 0;     ///< words that span 64 keys: 64 or 32
  std::size_t key_words() const { return static_cast<std::size_t>(depth) * kBlockTokens; }
  std::size_t value_words() const { return static_cast<std::size_t>(key_steps) * padded_width; }
};

/// Elements of one head: token stride and channel stride in elements.
struct Rows {
  const void* data = nullptr;
  std::ptrdiff_t token_stride = 0, channel_stride = 1;
};

/// Running softmax of one query block: sum over visited keys of 2^(s - maximum) and of the same times v.
struct TileState {
  float* output = nullptr;       ///< (64, padded width)
  float* maximum = nullptr;      ///< (64) of scaled log2 logits, -inf before the first key
  float* partial_sum = nullptr;  ///< (64, 16) lanes of the sum
};

/// One query block against the key blocks that it visits.
struct TileArguments {
  PackedShape shape;
  const std::uint32_t* queries = nullptr;  ///< (64, depth) packed words
  const std::uint32_t* keys = nullptr;     ///< packed key blocks of this head
  const std::uint32_t* values = nullptr;   ///< packed value blocks of this head
  int rows = 0;                            ///< 1..64
  float scale = 1;                         ///< |scale| * log2(e); its sign is in the queries
  const BlockMask* mask = nullptr;
  const BlockMask::Visit* visits_begin = nullptr;
  const BlockMask::Visit* visits_end = nullptr;
  TileState state;
};

/// What an instruction set provides. `bfloat16` in packing says what the rows hold; `pairs` says what the words hold.
struct TileKernels {
  const char* name;
  bool pairs;
  void (*pack_queries)(const PackedShape&, const Rows&, bool bfloat16, int rows, bool negate, std::uint32_t* words);
  void (*pack_keys)(const PackedShape&, const Rows&, bool bfloat16, int keys, std::uint32_t* words);
  void (*pack_values)(const PackedShape&, const Rows&, bool bfloat16, int keys, std::uint32_t* words);
  void (*attend)(const TileArguments&);
  /// row[c] = a * x[c] + b * y[c] for c < width, stored as float or bfloat16 (rounded to nearest even).
  void (*combine)(int width, float a, const float* x, float b, const float* y, bool bfloat16, void* row,
                  std::ptrdiff_t channel_stride);
};

extern const TileKernels kPortableKernels;
#ifdef DITSCOPE_X86
extern const TileKernels kAvx2Kernels;
extern const TileKernels kAvx512Kernels;
extern const TileKernels kAvx512Bf16Kernels;  ///< bfloat16 rows only
#endif

/// The kernels to run for an element type: the widest that the machine and DITSCOPE_ISA allow.
const TileKernels& choose_kernels(bool bfloat16);

}  // namespace ditscope::cpu
