// The products of int8.h, written once over the operations of an instruction set; see vectors_kernel.h for why all of it is in an
// unnamed namespace and free of the standard library.
//
// An Isa has: I, V (vectors of int32 and float), kName, kWidth (numbers a vector), kRows x kVectors (accumulators),
// kBytes (words of 4 unsigned-by-signed bytes, else of 2 x 16 bits), and load, load_words, broadcast_word, dot_add, and
// store_scaled.
#pragma once
#include "kernels/cpu/int8.h"

namespace ditscope::cpu {
namespace {

template <class Isa>
struct Int8Algorithm {
  static constexpr int kWidth = Isa::kWidth, kChannels = Isa::kBytes ? 4 : 2;
  /// Bytes of rows are unsigned there: they carry 128 too much, which each column's start takes back.
  static constexpr int kOffset = Isa::kBytes ? 128 : 0;

  static constexpr int depth_of(int width) { return (width + kChannels - 1) / kChannels; }

  /// The words of one token; channels beyond `width` are 0.
  static inline void read_words(const std::int8_t* token, int width, std::uint32_t* words) {
    if (width % kChannels != 0) words[width / kChannels] = 0;
    if constexpr (Isa::kBytes) {
      __builtin_memcpy(words, token, width);
    } else {
      auto* halves = reinterpret_cast<unsigned char*>(words);
      for (int c = 0; c < width; ++c) {
        const std::int16_t half = token[c];
        __builtin_memcpy(halves + 2 * c, &half, sizeof half);
      }
    }
  }

  static void pack_rows(const std::int8_t* values, int width, int tokens, std::uint32_t* words) {
    const int depth = depth_of(width);
    for (int token = 0; token < tokens; ++token) read_words(values + token * width, width, words + token * depth);
    if (Isa::kBytes) {
      for (int i = 0; i < tokens * depth; ++i) words[i] ^= 0x80808080u;  // + kOffset, unsigned
    }
    __builtin_memset(words + tokens * depth, 0, sizeof(std::uint32_t) * (kBlockTokens - tokens) * depth);
  }

  static void pack_columns(const std::int8_t* values, int width, int tokens, std::uint32_t* words, std::int32_t* starts) {
    constexpr int kStrip = 16, kMostDepth = 128;  // 16 tokens at a time, so that whole cache lines are written
    const int depth = depth_of(width);
    std::uint32_t strip[kStrip * kMostDepth];
    for (int first = 0; first < kBlockTokens; first += kStrip) {
      for (int j = 0; j < kStrip; ++j) {
        starts[first + j] = 0;
        if (first + j >= tokens) {
          __builtin_memset(strip + j * depth, 0, sizeof(std::uint32_t) * depth);
          continue;
        }
        const std::int8_t* token = values + (first + j) * width;
        read_words(token, width, strip + j * depth);
        std::int32_t sum = 0;
        for (int c = 0; c < width; ++c) sum += token[c];
        starts[first + j] = -kOffset * sum;
      }
      for (int t = 0; t < depth; ++t) {
        for (int j = 0; j < kStrip; ++j) words[t * kBlockTokens + first + j] = strip[j * depth + t];
      }
    }
  }

  template <int R, int N>
  static inline void product(const std::uint32_t* rows, const std::uint32_t* columns, const std::int32_t* starts, int depth,
                             const float* row_scales, const float* column_scales, float* logits) {
    typename Isa::I sum[R][N];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[r][n] = Isa::load(starts + n * kWidth);
    }
    for (int t = 0; t < depth; ++t) {
      typename Isa::I right[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) right[n] = Isa::load_words(columns + t * kBlockTokens + n * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const typename Isa::I left = Isa::broadcast_word(rows + r * depth + t);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) sum[r][n] = Isa::dot_add(sum[r][n], left, right[n]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n)
        Isa::store_scaled(logits + r * kBlockTokens + n * kWidth, sum[r][n], row_scales[r], column_scales + n * kWidth);
    }
  }

  template <int R>
  static inline void strip(const std::uint32_t* rows, const std::uint32_t* columns, const std::int32_t* starts, int depth,
                           const float* row_scales, const float* column_scales, float* logits) {
    for (int v = 0; v < kBlockTokens; v += Isa::kVectors * kWidth)
      product<R, Isa::kVectors>(rows, columns + v, starts + v, depth, row_scales, column_scales + v, logits + v);
  }

  static void multiply(const std::uint32_t* rows, const std::uint32_t* columns, const std::int32_t* starts, int depth, int count,
                       const float* row_scales, const float* column_scales, float* logits) {
    constexpr int kRows = Isa::kRows, kRest = kBlockTokens % kRows;
    int row = 0;
    for (; row + kRows <= kBlockTokens && row < count; row += kRows)
      strip<kRows>(rows + row * depth, columns, starts, depth, row_scales + row, column_scales, logits + row * kBlockTokens);
    if constexpr (kRest != 0) {
      if (row < count)
        strip<kRest>(rows + row * depth, columns, starts, depth, row_scales + row, column_scales, logits + row * kBlockTokens);
    }
  }

  static constexpr Int8Kernels kernels() {
    return {Isa::kName, kChannels, pack_rows, pack_columns, multiply};
  }
};

}  // namespace
}  // namespace ditscope::cpu
