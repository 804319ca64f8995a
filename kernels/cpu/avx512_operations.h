// AVX-512 vector operations that tile_avx512.cpp and tile_avx512bf16.cpp share.
// Compile with -mavx512f -mavx512bw -mavx512dq -mavx512vl.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/tile_kernel.h"

namespace ditscope::cpu {
namespace {

struct Avx512Operations {
  using V = __m512;
  static constexpr int kWidth = 16, kVectors = 4;
  static constexpr int rows_for(int vectors) { return vectors == 4 ? 6 : vectors == 3 ? 8 : vectors == 2 ? 12 : 16; }

  static V load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, V v) { _mm512_storeu_ps(to, v); }
  static V zero() { return _mm512_setzero_ps(); }
  static V splat(float value) { return _mm512_set1_ps(value); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V multiply(V a, V b) { return _mm512_mul_ps(a, b); }
  static V maximum(V a, V b) { return _mm512_max_ps(a, b); }
  static V scaled_minus(V s, V scale, V reference) { return _mm512_fmsub_ps(s, scale, reference); }
  static bool any_above(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
  /// Lane i of v where words[i] has `bit`, of `otherwise` elsewhere.
  static V keep(V v, const std::uint32_t* words, std::uint32_t bit, V otherwise) {
    return _mm512_mask_mov_ps(otherwise,
                              _mm512_test_epi32_mask(_mm512_load_si512(words), _mm512_set1_epi32(static_cast<int>(bit))), v);
  }
  static V exact_exp2(V x) {
    const V whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const V f = _mm512_sub_ps(x, whole);
    V p = _mm512_set1_ps(kExp2[5]);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; --i) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[i]));
    return _mm512_scalef_ps(p, whole);
  }
  static V load_bfloat16(const std::uint16_t* from) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))), 16));
  }
  /// Rounds to nearest even; a NaN stays one.
  static void store_bfloat16(std::uint16_t* to, V v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i kept = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
  }
  /// Rows become columns, in registers.
  static void transpose(V (&rows)[16]) {
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) a[i] = _mm512_castps_si512(rows[i]);
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
      rows[k] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(low01, low23, 0x88));
      rows[8 + k] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(low01, low23, 0xdd));
      rows[4 + k] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(high01, high23, 0x88));
      rows[12 + k] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(high01, high23, 0xdd));
    }
  }
};

}  // namespace
}  // namespace ditscope::cpu
