// AVX-512 vector operations that tile_avx512.cpp and tile_avx512bf16.cpp share. Include tile_kernel.h after or before; compile
// with -mavx512f -mavx512bw -mavx512dq -mavx512vl.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/tile_kernel.h"

namespace ditscope::cpu {
namespace {

/// to[t][j] = from[j][t] for a 16 x 16 block of words, in registers; only the first `count` rows are written.
inline void transpose_16x16(const std::uint32_t* from, int from_stride, int count, std::uint32_t* to, int to_stride) {
  __m512i a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + i * from_stride);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  // a[4g+k] now holds, in 128-bit lane l, column 4l+k of rows 4g..4g+3.
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512i low01 = _mm512_shuffle_i32x4(a[k], a[4 + k], 0x88), high01 = _mm512_shuffle_i32x4(a[k], a[4 + k], 0xdd);
    const __m512i low23 = _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0x88),
                  high23 = _mm512_shuffle_i32x4(a[8 + k], a[12 + k], 0xdd);
    b[k] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    b[8 + k] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    b[4 + k] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    b[12 + k] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) {
    if (t < count) _mm512_storeu_si512(to + static_cast<std::ptrdiff_t>(t) * to_stride, b[t]);
  }
}

struct Avx512Operations {
  using V = __m512;
  static constexpr int kWidth = 16, kRows = 6, kVectors = 4;

  static V load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, V v) { _mm512_storeu_ps(to, v); }
  static V zero() { return _mm512_setzero_ps(); }
  static V splat(float value) { return _mm512_set1_ps(value); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V multiply(V a, V b) { return _mm512_mul_ps(a, b); }
  static V maximum(V a, V b) { return _mm512_max_ps(a, b); }
  static V scaled_minus(V s, V scale, V reference) { return _mm512_fmsub_ps(s, scale, reference); }
  static V keep(V v, std::uint64_t bits, V otherwise) { return _mm512_mask_mov_ps(otherwise, static_cast<__mmask16>(bits), v); }
  static float reduce_maximum(V v) { return _mm512_reduce_max_ps(v); }
  static void transpose(const std::uint32_t* from, int from_stride, int count, std::uint32_t* to, int to_stride) {
    transpose_16x16(from, from_stride, count, to, to_stride);
  }
};

}  // namespace
}  // namespace ditscope::cpu
