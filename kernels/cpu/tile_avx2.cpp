#include <immintrin.h>

#include "kernels/cpu/tile_kernel.h"

namespace ditscope::cpu {
namespace {

struct Avx2 {
  using V = __m256;
  using W = __m256;
  static constexpr const char* kName = "avx2";
  static constexpr bool kPairs = false;
  static constexpr int kWidth = 8, kVectors = 2;
  static constexpr int rows_for(int vectors) { return vectors == 2 ? 6 : 8; }

  static V load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, V v) { _mm256_storeu_ps(to, v); }
  static V zero() { return _mm256_setzero_ps(); }
  static V splat(float value) { return _mm256_set1_ps(value); }
  static W load_words(const std::uint32_t* from) {
    return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static W broadcast_word(const std::uint32_t* from) { return _mm256_set1_ps(float_at(from)); }
  static V multiply_add(V sum, W a, W b) { return _mm256_fmadd_ps(a, b, sum); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V multiply(V a, V b) { return _mm256_mul_ps(a, b); }
  static V maximum(V a, V b) { return _mm256_max_ps(a, b); }
  static V scaled_minus(V s, V scale, V reference) { return _mm256_fmsub_ps(s, scale, reference); }
  static bool any_above(V a, V b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0; }
  /// Lane i of v where words[i] has `bit`, of `otherwise` elsewhere.
  static V keep(V v, const std::uint32_t* words, std::uint32_t bit, V otherwise) {
    const __m256i asked = _mm256_set1_epi32(static_cast<int>(bit));
    const __m256i chosen =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(words)), asked), asked);
    return _mm256_blendv_ps(otherwise, v, _mm256_castsi256_ps(chosen));
  }
  /// Below 2^-126 the result stays there: a share that no sum of at least 2^-8
  /// can feel.
  static V exp2(V x) {
    x = _mm256_max_ps(_mm256_set1_ps(-126.0f), x);  // in this order a NaN stays
    const V whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const V f = _mm256_sub_ps(x, whole);
    V p = _mm256_set1_ps(kExp2[5]);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; --i) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[i]));
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
  }
  static V exact_exp2(V x) {
    return exp2(x);
  }
  static V load_bfloat16(const std::uint16_t* from) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static void store_bfloat16(std::uint16_t* to, V v) {
    alignas(32) float row[8];
    _mm256_store_ps(row, v);
    for (int i = 0; i < 8; ++i) to[i] = bfloat16_of(row[i]);
  }
  /// Rows become columns, in registers.
  static void transpose(V (&rows)[8]) {
    V a[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      a[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      a[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    V b[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
      b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
      b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
      b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    // b[4g+k] now holds, in 128-bit lane l, column 4l+k of rows 4g..4g+3.
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      rows[k] = _mm256_permute2f128_ps(b[k], b[4 + k], 0x20);
      rows[4 + k] = _mm256_permute2f128_ps(b[k], b[4 + k], 0x31);
    }
  }
};

}  // namespace

const TileKernels kAvx2Kernels = TileAlgorithm<Avx2>::kernels();

}  // namespace ditscope::cpu
