// The pieces of vectors.h, written once over the operations of an instruction set: each vectors_<isa>.cpp derives a struct from
// Lanes<width>, overrides what it has an instruction for, and instantiates VectorAlgorithm with it. Everything here is in an
// unnamed namespace and free of the standard library, so that code compiled for a wider instruction set never becomes the copy
// that the linker keeps for a narrower one.
#pragma once
#include "kernels/cpu/vectors.h"

namespace ditscope::cpu {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
/// A running maximum is renewed only when it grew by more than this (log2): rescaling is rare.
constexpr float kSlack = 8;
constexpr float kMostExponent = 80;
constexpr int kSumLanes = 16;

// 2^f on [-1/2, 1/2], minimax in relative error: 7.5e-8 with degree 5; 7.5e-5 with degree 3, a small part of a bfloat16 rounding.
constexpr float kExp2[6] = {1.00000007f, 0.693146967f, 0.240221197f, 0.0555071327f, 0.00967554133f, 0.0013276472f};
constexpr float kExp2Short[4] = {0.999928074f, 0.693260985f, 0.242611122f, 0.0551716691f};

template <int kLanes>
struct VectorTypes;
template <>
struct VectorTypes<4> {
  typedef float V __attribute__((vector_size(16)));
  typedef std::int32_t I __attribute__((vector_size(16)));
};
template <>
struct VectorTypes<8> {
  typedef float V __attribute__((vector_size(32)));
  typedef std::int32_t I __attribute__((vector_size(32)));
};
template <>
struct VectorTypes<16> {
  typedef float V __attribute__((vector_size(64)));
  typedef std::int32_t I __attribute__((vector_size(64)));
};

/// Float vectors in the compiler's own types.
template <int kLanes>
struct Lanes : VectorTypes<kLanes> {
  using typename VectorTypes<kLanes>::V;
  using typename VectorTypes<kLanes>::I;
  using W = V;
  static constexpr int kWidth = kLanes;
  static constexpr bool kPairs = false;

  static V load(const float* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  static void store(float* to, V v) { __builtin_memcpy(to, &v, sizeof v); }
  static V splat(float value) { return V{} + value; }
  static W load_words(const std::uint32_t* from) {
    W w;
    __builtin_memcpy(&w, from, sizeof w);
    return w;
  }
  static W broadcast_word(const std::uint32_t* from) {
    float value;
    __builtin_memcpy(&value, from, sizeof value);
    return splat(value);
  }
  static V multiply_add(V sum, W a, W b) { return sum + a * b; }
  static V maximum(V a, V b) { return a > b ? a : b; }
  static V minimum(V a, V b) { return a < b ? a : b; }
  static V keep(V v, std::uint64_t bits, V otherwise) {
    I lanes;
    for (int i = 0; i < kLanes; ++i) lanes[i] = 1 << i;
    return ((I{} + static_cast<std::int32_t>(bits & 0xffffu)) & lanes) != 0 ? v : otherwise;
  }
  static float reduce_maximum(V v) {
    float top = v[0];
    for (int i = 1; i < kLanes; ++i) top = v[i] > top ? v[i] : top;
    return top;
  }
  static float reduce_sum(V v) {
    float sum = v[0];
    for (int i = 1; i < kLanes; ++i) sum += v[i];
    return sum;
  }
  /// Below 2^-126 the result stays there; adding 1.5 * 2^23 rounds to the nearest whole number.
  static V exp2(V x) {
    x = maximum(x, splat(-126.0f));
    const V shifted = x + 12582912.0f, whole = shifted - 12582912.0f, f = x - whole;
    V p = splat(kExp2[5]);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; --i) p = p * f + kExp2[i];
    return p * (V)(((I)shifted - 0x4b400000 + 127) << 23);
  }
  static void store_probabilities(std::uint32_t* words, int v, V p) {
    __builtin_memcpy(words + v * kLanes, &p, sizeof p);
  }
};

inline std::uint32_t element(const TokenRows& from, std::ptrdiff_t token, std::ptrdiff_t channel) {
  const std::ptrdiff_t at = token * from.token_stride + channel * from.channel_stride;
  if (from.bfloat16) return std::uint32_t{static_cast<const std::uint16_t*>(from.data)[at]} << 16;
  return static_cast<const std::uint32_t*>(from.data)[at];
}

template <class Isa>
struct VectorAlgorithm {
  using V = typename Isa::V;
  static constexpr int kWidth = Isa::kWidth, kVectorsPerBlock = kBlockTokens / kWidth;
  static constexpr int kKeySteps = Isa::kPairs ? kBlockTokens / 2 : kBlockTokens;

  /// c (+)= a b: R rows of a, each `steps` words, against `steps` rows of N vectors.
  template <int R, int N, bool kAdd>
  static inline void product(const std::uint32_t* a, int lda, const std::uint32_t* b, int ldb, int steps, float* c, int ldc) {
    V sum[R][N];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[r][n] = kAdd ? Isa::load(c + r * ldc + n * kWidth) : V{};
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

  template <int R, bool kAdd>
  static inline void strip(const std::uint32_t* a, int lda, const std::uint32_t* b, int steps, float* c, int columns) {
    constexpr int kMost = Isa::kVectors;
    int v = 0;
    for (; v + kMost * kWidth <= columns; v += kMost * kWidth)
      product<R, kMost, kAdd>(a, lda, b + v, columns, steps, c + v, columns);
    for (; v < columns; v += kWidth) product<R, 1, kAdd>(a, lda, b + v, columns, steps, c + v, columns);
  }

  template <bool kAdd>
  static inline void products(const std::uint32_t* a, int lda, const std::uint32_t* b, int steps, int count, float* c,
                              int columns) {
    constexpr int kRows = Isa::kRows, kRest = kBlockTokens % kRows;
    int row = 0;
    for (; row + kRows <= kBlockTokens && row < count; row += kRows)
      strip<kRows, kAdd>(a + static_cast<std::ptrdiff_t>(row) * lda, lda, b, steps,
                         c + static_cast<std::ptrdiff_t>(row) * columns, columns);
    if constexpr (kRest != 0) {
      if (row < count)
        strip<kRest, kAdd>(a + static_cast<std::ptrdiff_t>(row) * lda, lda, b, steps,
                           c + static_cast<std::ptrdiff_t>(row) * columns, columns);
    }
  }

  static void multiply(const std::uint32_t* rows, const std::uint32_t* columns, int depth, int count, float* logits) {
    products<false>(rows, depth, columns, depth, count, logits, kBlockTokens);
  }

  static void accumulate(const std::uint32_t* probabilities, const std::uint32_t* values, int padded_width, int count,
                         float* output) {
    products<true>(probabilities, kKeySteps, values, kKeySteps, count, output, padded_width);
  }

  static inline void soften_row(const SoftenArguments& a, int row, bool partial, std::uint64_t bits) {
    const float* logits = a.logits + row * kBlockTokens;
    float* partial_sum = a.state.partial_sum + row * kSumLanes;
    float* maximum = a.state.maximum + row;
    V top = Isa::splat(kMinusInfinity);
#pragma GCC unroll 4
    for (int v = 0; v < kVectorsPerBlock; ++v) {
      V s = Isa::load(logits + v * kWidth);
      if (partial) s = Isa::keep(s, bits >> (v * kWidth), Isa::splat(kMinusInfinity));
      top = Isa::maximum(top, s);
    }
    const float candidate = Isa::reduce_maximum(top) * a.scale;
    V sum = Isa::load(partial_sum);
    float shrink = 1;
    if (candidate > *maximum + kSlack) {
      const V factor = *maximum == kMinusInfinity ? V{} : Isa::exp2(Isa::splat(*maximum - candidate));
      float* output = a.state.output + static_cast<std::ptrdiff_t>(row) * a.padded_width;
      for (int c = 0; c < a.padded_width; c += kWidth) Isa::store(output + c, Isa::load(output + c) * factor);
      sum = sum * factor;
      shrink = factor[0];
      *maximum = candidate;
    }
    const V scale = Isa::splat(a.scale), reference = Isa::splat(*maximum);
    V block = V{};
#pragma GCC unroll 4
    for (int v = 0; v < kVectorsPerBlock; ++v) {
      V p = Isa::exp2(Isa::load(logits + v * kWidth) * scale - reference);
      if (partial) p = Isa::keep(p, bits >> (v * kWidth), V{});
      block = block + p;
      Isa::store_probabilities(a.probabilities + row * kKeySteps, v, p);
    }
    Isa::store(partial_sum, sum + block);
    if (a.block_sum) a.block_sum[row] = Isa::reduce_sum(block);
    if (a.shrink) a.shrink[row] = shrink;
  }

  static void soften(const SoftenArguments& a) {
    for (int row = 0; row < a.rows; ++row) {
      if (a.bits == nullptr) {
        soften_row(a, row, false, 0);
      } else if (a.bits[row] != 0) {
        soften_row(a, row, true, a.bits[row]);
      } else {
        __builtin_memset(a.probabilities + row * kKeySteps, 0, sizeof(std::uint32_t) * kKeySteps);
        if (a.block_sum) a.block_sum[row] = 0;
        if (a.shrink) a.shrink[row] = 1;
      }
    }
  }

  static inline V mass_of_row(const float* logits, bool partial, std::uint64_t bits, float scale, float reference) {
    const V scales = Isa::splat(scale), references = Isa::splat(reference), most = Isa::splat(kMostExponent);
    V sum = V{};
#pragma GCC unroll 4
    for (int v = 0; v < kVectorsPerBlock; ++v) {
      V p = Isa::exp2(Isa::minimum(Isa::load(logits + v * kWidth) * scales - references, most));
      if (partial) p = Isa::keep(p, bits >> (v * kWidth), V{});
      sum = sum + p;
    }
    return sum;
  }

  static float mass(const float* logits, const std::uint64_t* bits, int rows, float scale, const float* reference) {
    V sum = V{};
    for (int row = 0; row < rows; ++row) {
      if (reference[row] == -kMinusInfinity) continue;
      const float* from = logits + row * kBlockTokens;
      sum = sum + (bits ? mass_of_row(from, true, bits[row], scale, reference[row])
                        : mass_of_row(from, false, 0, scale, reference[row]));
    }
    return Isa::reduce_sum(sum);
  }

  /// Words of one token.
  static inline void read_words(const TokenRows& from, int width, int token, std::uint32_t* words) {
    if constexpr (Isa::kPairs) {
      const auto* data = static_cast<const std::uint16_t*>(from.data) + token * from.token_stride;
      if (from.channel_stride == 1) {
        __builtin_memcpy(words, data, sizeof(std::uint16_t) * (width / 2 * 2));
      } else {
        for (int t = 0; t < width / 2; ++t)
          words[t] = data[2 * t * from.channel_stride] | std::uint32_t{data[(2 * t + 1) * from.channel_stride]} << 16;
      }
      if (width % 2 != 0) words[width / 2] = data[(width - 1) * from.channel_stride];
    } else if (from.channel_stride == 1 && !from.bfloat16) {
      __builtin_memcpy(words, static_cast<const std::uint32_t*>(from.data) + token * from.token_stride, sizeof(float) * width);
    } else {
      for (int c = 0; c < width; ++c) words[c] = element(from, token, c);
    }
  }

  static constexpr int depth_of(int width) {
    return Isa::kPairs ? (width + 1) / 2 : width;
  }

  static void pack_rows(const TokenRows& from, int width, int tokens, bool negate, std::uint32_t* words) {
    const int depth = depth_of(width);
    for (int token = 0; token < tokens; ++token) read_words(from, width, token, words + token * depth);
    if (negate) {
      for (int i = 0; i < tokens * depth; ++i) words[i] ^= Isa::kPairs ? 0x80008000u : 0x80000000u;
    }
    __builtin_memset(words + tokens * depth, 0, sizeof(std::uint32_t) * (kBlockTokens - tokens) * depth);
  }

  static void pack_columns(const TokenRows& from, int width, int tokens, std::uint32_t* words) {
    constexpr int kStrip = 16, kMostDepth = 256;  // 16 tokens at a time, so that whole cache lines are written
    const int depth = depth_of(width);
    std::uint32_t strip[kStrip * kMostDepth];
    for (int first = 0; first < kBlockTokens; first += kStrip) {
      for (int j = 0; j < kStrip; ++j) {
        if (first + j < tokens)
          read_words(from, width, first + j, strip + j * depth);
        else
          __builtin_memset(strip + j * depth, 0, sizeof(std::uint32_t) * depth);
      }
      for (int t = 0; t < depth; ++t) {
        for (int j = 0; j < kStrip; ++j) words[t * kBlockTokens + first + j] = strip[j * depth + t];
      }
    }
  }

  static void pack_values(const TokenRows& from, int width, int tokens, std::uint32_t* words) {
    const int padded = (width + 15) / 16 * 16;
    if (tokens < kBlockTokens || width < padded) __builtin_memset(words, 0, sizeof(std::uint32_t) * kKeySteps * padded);
    for (int token = 0; token < tokens; ++token) {
      if constexpr (Isa::kPairs) {
        if (token % 2 == 0)
          interleave(from, width, token, token + 1 < tokens, words + static_cast<std::ptrdiff_t>(token / 2) * padded);
      } else {
        read_words(from, width, token, words + static_cast<std::ptrdiff_t>(token) * padded);
      }
    }
  }

  /// Channels of a token, each with that of the next one, or with 0, above it.
  static inline void interleave(const TokenRows& from, int width, int token, bool with_next, std::uint32_t* words) {
    const auto* low = static_cast<const std::uint16_t*>(from.data) + token * from.token_stride;
    const std::uint16_t* high = with_next ? low + from.token_stride : low;
    const std::uint32_t keep = with_next ? 0xffff0000u : 0;
    if (from.channel_stride == 1) {
      for (int c = 0; c < width; ++c) words[c] = low[c] | (std::uint32_t{high[c]} << 16 & keep);
    } else {
      for (int c = 0; c < width; ++c)
        words[c] = low[c * from.channel_stride] | (std::uint32_t{high[c * from.channel_stride]} << 16 & keep);
    }
  }

  static constexpr VectorKernels kernels() {
    return {Isa::kName, Isa::kPairs, pack_rows, pack_columns, pack_values, multiply, soften, accumulate, mass};
  }
};

}  // namespace
}  // namespace ditscope::cpu
