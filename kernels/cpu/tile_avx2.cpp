#include <immintrin.h>

#include "kernels/cpu/tile_kernel.h"

namespace ditscope::cpu {
namespace {

struct Avx2 {
  using V = __m256;
  using W = __m256;
  static constexpr const char* kName = "avx2";
  static constexpr bool kPairs = false;
  static constexpr int kWidth = 8, kRows = 6, kVectors = 2;

  static V load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, V v) { _mm256_storeu_ps(to, v); }
  static V zero() { return _mm256_setzero_ps(); }
  static V splat(float value) { return _mm256_set1_ps(value); }
  static W load_words(const std::uint32_t* from) {
    return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static W broadcast_word(const std::uint32_t* from) { return _mm256_set1_ps(float_of(*from)); }
  static V multiply_add(V sum, W a, W b) { return _mm256_fmadd_ps(a, b, sum); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V multiply(V a, V b) { return _mm256_mul_ps(a, b); }
  static V maximum(V a, V b) { return _mm256_max_ps(a, b); }
  static V scaled_minus(V s, V scale, V reference) { return _mm256_fmsub_ps(s, scale, reference); }
  static V keep(V v, std::uint64_t bits, V otherwise) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i chosen = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits & 0xff)), lanes), lanes);
    return _mm256_blendv_ps(otherwise, v, _mm256_castsi256_ps(chosen));
  }
  static float reduce_maximum(V v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
  }
  /// Below 2^-126 the result stays there: a share that no sum of at least 2^-8 can feel.
  static V exp2(V x) {
    x = _mm256_max_ps(x, _mm256_set1_ps(-126.0f));
    const V whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const V f = _mm256_sub_ps(x, whole);
    V p = _mm256_set1_ps(kExp2[5]);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; --i) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[i]));
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
  }
  static void store_probabilities(std::uint32_t* words, int v, V p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + v * 8), _mm256_castps_si256(p));
  }
  static void transpose(const std::uint32_t* from, int from_stride, int count, std::uint32_t* to, int to_stride) {
    transpose_words(from, from_stride, count, to, to_stride);
  }
};

}  // namespace

const TileKernels kAvx2Kernels = TileAlgorithm<Avx2>::kernels();

}  // namespace ditscope::cpu
