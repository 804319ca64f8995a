// The tile algorithm, written once over the vector operations of an instruction set. Each tile_<isa>.cpp defines its operations
// as a struct, includes this file and instantiates TileAlgorithm with it. Everything here is in an unnamed namespace: code
// compiled for a wider instruction set must never be the copy that the linker keeps for a narrower one. For the same reason no
// function of the standard library is used.
//
// An Isa has: V, W (vectors of floats and of words), kName, kPairs, kWidth (floats a vector), kRows x kVectors (accumulators of a
// product), and load, store, zero, splat, load_words, broadcast_word, multiply_add, add, multiply, maximum, scaled_minus, keep,
// exp2, reduce_maximum, store_probabilities, transpose; with kPairs also interleave.
#pragma once
#include "kernels/cpu/tile.h"

namespace ditscope::cpu {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
/// A running maximum is renewed only when it grew by more than this (log2): sums stay far from overflow and rescaling is rare.
constexpr float kSlack = 8;
constexpr int kSumLanes = 16;

inline float float_of(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

/// Rounds to nearest even; a NaN stays one.
inline std::uint16_t bfloat16_of(float value) {
  const std::uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <bool kBfloat16>
inline std::uint32_t word_at(const Rows& rows, std::ptrdiff_t token, std::ptrdiff_t channel) {
  const std::ptrdiff_t at = token * rows.token_stride + channel * rows.channel_stride;
  if constexpr (kBfloat16)
    return std::uint32_t{static_cast<const std::uint16_t*>(rows.data)[at]} << 16;
  else
    return bits_of(static_cast<const float*>(rows.data)[at]);
}

/// Channels 2t and 2t+1 of a token as one word; the channel beyond the last is 0.
inline std::uint32_t pair_at(const Rows& rows, std::ptrdiff_t token, int t, int width) {
  const auto* data = static_cast<const std::uint16_t*>(rows.data) + token * rows.token_stride;
  const std::uint32_t high = 2 * t + 1 < width ? data[(2 * t + 1) * rows.channel_stride] : 0u;
  return std::uint32_t{data[2 * t * rows.channel_stride]} | (high << 16);
}

template <class Isa>
struct TileAlgorithm {
  using V = typename Isa::V;
  static constexpr int kWidth = Isa::kWidth;
  static constexpr int kKeySteps = Isa::kPairs ? kBlockTokens / 2 : kBlockTokens;
  static constexpr int kKeysPerStep = Isa::kPairs ? 2 : 1;

  /// c (+)= a b: R rows of a, each `steps` words, against `steps` rows of N vectors.
  template <int R, int N, bool kAccumulate>
  static inline void product(const std::uint32_t* a, int lda, const std::uint32_t* b, int ldb, int steps, float* c, int ldc) {
    V sum[R][N];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[r][n] = kAccumulate ? Isa::load(c + r * ldc + n * kWidth) : Isa::zero();
    }
    for (int t = 0; t < steps; ++t) {
      typename Isa::W right[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) right[n] = Isa::load_words(b + static_cast<std::ptrdiff_t>(t) * ldb + n * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const typename Isa::W left = Isa::broadcast_word(a + r * lda + t);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) sum[r][n] = Isa::multiply_add(sum[r][n], left, right[n]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) Isa::store(c + r * ldc + n * kWidth, sum[r][n]);
    }
  }

  /// The same for `vectors` columns of vectors, as many at a time as there are accumulators.
  template <int R, bool kAccumulate>
  static inline void products(const std::uint32_t* a, int lda, const std::uint32_t* b, int ldb, int steps, float* c, int ldc,
                              int vectors) {
    constexpr int kMost = Isa::kVectors;
    int v = 0;
    for (; v + kMost <= vectors; v += kMost)
      product<R, kMost, kAccumulate>(a, lda, b + v * kWidth, ldb, steps, c + v * kWidth, ldc);
    b += v * kWidth;
    c += v * kWidth;
    const int rest = vectors - v;
    if constexpr (kMost > 3) {
      if (rest == 3) product<R, 3, kAccumulate>(a, lda, b, ldb, steps, c, ldc);
    }
    if constexpr (kMost > 2) {
      if (rest == 2) product<R, 2, kAccumulate>(a, lda, b, ldb, steps, c, ldc);
    }
    if (rest == 1) product<R, 1, kAccumulate>(a, lda, b, ldb, steps, c, ldc);
  }

  /// Logits of one row to probabilities; keeps its maximum, its sum and, where the maximum grew, its output in step.
  static inline void softmax_row(const float* logits, std::uint32_t* probabilities, int first, int last, bool partial,
                                 std::uint64_t bits, float scale, float* maximum, float* partial_sum, float* output,
                                 int padded_width) {
    V top = Isa::splat(kMinusInfinity);
    for (int v = first; v < last; ++v) {
      V s = Isa::load(logits + v * kWidth);
      if (partial) s = Isa::keep(s, bits >> (v * kWidth), Isa::splat(kMinusInfinity));
      top = Isa::maximum(top, s);
    }
    const float candidate = Isa::reduce_maximum(top) * scale;
    V sum = Isa::load(partial_sum);
    if (candidate > *maximum + kSlack) {
      const V shrink = *maximum == kMinusInfinity ? Isa::zero() : Isa::exp2(Isa::splat(*maximum - candidate));
      sum = Isa::multiply(sum, shrink);
      for (int c = 0; c < padded_width; c += kWidth) Isa::store(output + c, Isa::multiply(Isa::load(output + c), shrink));
      *maximum = candidate;
    }
    const V scales = Isa::splat(scale), reference = Isa::splat(*maximum);
    for (int v = first; v < last; ++v) {
      V p = Isa::exp2(Isa::scaled_minus(Isa::load(logits + v * kWidth), scales, reference));
      if (partial) p = Isa::keep(p, bits >> (v * kWidth), Isa::zero());
      sum = Isa::add(sum, p);
      Isa::store_probabilities(probabilities, v, p);
    }
    Isa::store(partial_sum, sum);
  }

  /// R query rows against one key block; `bits` is null where every pair is kept.
  template <int R>
  static inline void row_group(const TileArguments& a, int row, const std::uint32_t* keys, const std::uint32_t* values,
                               const std::uint64_t* bits) {
    alignas(64) float logits[R * kBlockTokens];
    alignas(64) std::uint32_t probabilities[R * kKeySteps];
    int first = 0, last = kBlockTokens / kWidth;
    if (bits) {
      std::uint64_t any = 0;
      for (int r = 0; r < R; ++r) any |= bits[row + r];
      if (any == 0) return;
      first = __builtin_ctzll(any) / kWidth;
      last = (63 - __builtin_clzll(any)) / kWidth + 1;
    }
    const int depth = a.shape.depth, padded = a.shape.padded_width, begin = first * kWidth;
    float* output = a.state.output + static_cast<std::ptrdiff_t>(row) * padded;
    products<R, false>(a.queries + static_cast<std::ptrdiff_t>(row) * depth, depth, keys + begin, kBlockTokens, depth,
                       logits + begin, kBlockTokens, last - first);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      float* maximum = a.state.maximum + row + r;
      float* sum = a.state.partial_sum + (row + r) * kSumLanes;
      if (bits == nullptr) {
        softmax_row(logits + r * kBlockTokens, probabilities + r * kKeySteps, 0, kBlockTokens / kWidth, false, 0, a.scale,
                    maximum, sum, output + r * padded, padded);
      } else if (bits[row + r] != 0) {
        softmax_row(logits + r * kBlockTokens, probabilities + r * kKeySteps, first, last, true, bits[row + r], a.scale, maximum,
                    sum, output + r * padded, padded);
      } else {
        for (int v = first; v < last; ++v) Isa::store_probabilities(probabilities + r * kKeySteps, v, Isa::zero());
      }
    }
    const int step = begin / kKeysPerStep;
    products<R, true>(probabilities + step, kKeySteps, values + static_cast<std::ptrdiff_t>(step) * padded, padded,
                      (last - first) * kWidth / kKeysPerStep, output, padded, padded / kWidth);
  }

  static void attend(const TileArguments& a) {
    constexpr int kRows = Isa::kRows, kRest = kBlockTokens % kRows;
    for (int r = 0; r < kBlockTokens; ++r) a.state.maximum[r] = kMinusInfinity;
    __builtin_memset(a.state.partial_sum, 0, sizeof(float) * kBlockTokens * kSumLanes);
    __builtin_memset(a.state.output, 0, sizeof(float) * kBlockTokens * a.shape.padded_width);
    for (const BlockMask::Visit* visit = a.visits_begin; visit != a.visits_end; ++visit) {
      const std::uint32_t* keys = a.keys + static_cast<std::size_t>(visit->key_block) * a.shape.key_words();
      const std::uint32_t* values = a.values + static_cast<std::size_t>(visit->key_block) * a.shape.value_words();
      const std::uint64_t* bits = visit->bits == BlockMask::kWhole ? nullptr : a.mask->row_bits(visit->bits);
      int row = 0;
      for (; row + kRows <= kBlockTokens && row < a.rows; row += kRows) row_group<kRows>(a, row, keys, values, bits);
      if constexpr (kRest != 0) {
        if (row < a.rows) row_group<kRest>(a, row, keys, values, bits);
      }
    }
  }

  /// Tokens of a head lie apart in memory, too far for the machine to see them coming.
  static constexpr int kAhead = 12;
  static inline void prefetch(const PackedShape& shape, const Rows& from, bool bfloat16, int token, int tokens) {
    if (token >= tokens || from.channel_stride != 1) return;
    const std::ptrdiff_t bytes = bfloat16 ? 2 : 4;
    const char* row = static_cast<const char*>(from.data) + token * from.token_stride * bytes;
    for (std::ptrdiff_t at = 0; at < shape.width * bytes; at += 64) __builtin_prefetch(row + at);
  }

  static void pack_queries(const PackedShape& shape, const Rows& from, bool bfloat16, int rows, bool negate,
                           std::uint32_t* words) {
    for (int row = 0; row < rows; ++row) {
      prefetch(shape, from, bfloat16, row + kAhead, rows);
      read_words(shape, from, bfloat16, row, words + static_cast<std::ptrdiff_t>(row) * shape.depth);
    }
    const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(rows) * shape.depth;
    if (negate) {
      const std::uint32_t signs = Isa::kPairs ? 0x80008000u : 0x80000000u;
      for (std::ptrdiff_t i = 0; i < count; ++i) words[i] ^= signs;
    }
    __builtin_memset(words + count, 0, sizeof(std::uint32_t) * (kBlockTokens - rows) * shape.depth);
  }

  /// Words of one token: floats, bfloat16 widened, or pairs as they lie.
  static inline void read_words(const PackedShape& shape, const Rows& from, bool bfloat16, int token, std::uint32_t* words) {
    if constexpr (Isa::kPairs) {
      if (from.channel_stride == 1) {
        const auto* data = static_cast<const std::uint16_t*>(from.data) + token * from.token_stride;
        __builtin_memcpy(words, data, sizeof(std::uint16_t) * (shape.width / 2 * 2));
        if (shape.width % 2 != 0) words[shape.depth - 1] = data[shape.width - 1];
      } else {
        for (int t = 0; t < shape.depth; ++t) words[t] = pair_at(from, token, t, shape.width);
      }
    } else if (bfloat16) {
      for (int t = 0; t < shape.depth; ++t) words[t] = word_at<true>(from, token, t);
    } else if (from.channel_stride == 1) {
      __builtin_memcpy(words, static_cast<const float*>(from.data) + token * from.token_stride, sizeof(float) * shape.depth);
    } else {
      for (int t = 0; t < shape.depth; ++t) words[t] = word_at<false>(from, token, t);
    }
  }

  static void pack_keys(const PackedShape& shape, const Rows& from, bool bfloat16, int keys, std::uint32_t* words) {
    constexpr int kStrip = 16, kMostDepth = 256;  // 16 tokens at a time, transposed from a small buffer
    alignas(64) std::uint32_t strip[kStrip * kMostDepth];
    const int padded_depth = (shape.depth + kStrip - 1) / kStrip * kStrip;
    for (int first = 0; first < kBlockTokens; first += kStrip) {
      for (int j = 0; j < kStrip; ++j) {
        std::uint32_t* row = strip + j * padded_depth;
        prefetch(shape, from, bfloat16, first + j + kAhead, keys);
        if (first + j < keys)
          read_words(shape, from, bfloat16, first + j, row);
        else
          __builtin_memset(row, 0, sizeof(std::uint32_t) * shape.depth);
      }
      for (int t = 0; t < shape.depth; t += kStrip) {
        const int count = shape.depth - t < kStrip ? shape.depth - t : kStrip;
        Isa::transpose(strip + t, padded_depth, count, words + static_cast<std::ptrdiff_t>(t) * kBlockTokens + first,
                       kBlockTokens);
      }
    }
  }

  static void pack_values(const PackedShape& shape, const Rows& from, bool bfloat16, int keys, std::uint32_t* words) {
    const int padded = shape.padded_width;
    if (keys < kBlockTokens || shape.width < padded) __builtin_memset(words, 0, sizeof(std::uint32_t) * shape.value_words());
    for (int t = 0; t < keys; ++t) {
      prefetch(shape, from, bfloat16, t + kAhead, keys);
      if constexpr (Isa::kPairs) {
        if (t % 2 != 0) continue;
        const auto* low = static_cast<const std::uint16_t*>(from.data) + t * from.token_stride;
        std::uint32_t* to = words + static_cast<std::ptrdiff_t>(t / 2) * padded;
        const std::ptrdiff_t step = from.channel_stride;
        if (t + 1 == keys) {
          for (int c = 0; c < shape.width; ++c) to[c] = low[c * step];
        } else if (step == 1) {
          Isa::interleave(low, low + from.token_stride, shape.width, to);
        } else {
          const std::uint16_t* high = low + from.token_stride;
          for (int c = 0; c < shape.width; ++c) to[c] = std::uint32_t{low[c * step]} | (std::uint32_t{high[c * step]} << 16);
        }
      } else {
        read_words(shape, from, bfloat16, t, words + static_cast<std::ptrdiff_t>(t) * padded);
      }
    }
  }

  static void combine(int width, float a, const float* x, float b, const float* y, bool bfloat16, void* row,
                      std::ptrdiff_t stride) {
    const auto value = [&](int c) { return y ? a * x[c] + b * y[c] : a * x[c]; };
    if (bfloat16) {
      auto* out = static_cast<std::uint16_t*>(row);
      for (int c = 0; c < width; ++c) out[c * stride] = bfloat16_of(value(c));
    } else if (stride == 1) {
      auto* out = static_cast<float*>(row);
      for (int c = 0; c < width; ++c) out[c] = value(c);
    } else {
      auto* out = static_cast<float*>(row);
      for (int c = 0; c < width; ++c) out[c * stride] = value(c);
    }
  }

  static constexpr TileKernels kernels() {
    return {Isa::kName, Isa::kPairs, pack_queries, pack_keys, pack_values, attend, combine};
  }
};

/// to[t][j] = from[j][t] for 16 rows j and `count` columns t.
inline void transpose_words(const std::uint32_t* from, int from_stride, int count, std::uint32_t* to, int to_stride) {
  for (int t = 0; t < count; ++t) {
    for (int j = 0; j < 16; ++j) to[static_cast<std::ptrdiff_t>(t) * to_stride + j] = from[j * from_stride + t];
  }
}

// 2^f on [-1/2, 1/2], minimax in relative error: 7.5e-8 with degree 5; 7.5e-5 with degree 3, a small part of a bfloat16 rounding.
constexpr float kExp2[6] = {1.00000007f, 0.693146967f, 0.240221197f, 0.0555071327f, 0.00967554133f, 0.0013276472f};
constexpr float kExp2Short[4] = {0.999928074f, 0.693260985f, 0.242611122f, 0.0551716691f};

}  // namespace
}  // namespace ditscope::cpu
