#include <immintrin.h>

#include "kernels/cpu/int8_kernel.h"

namespace ditscope::cpu {
namespace {

struct Avx2 {
  using I = __m256i;
  static constexpr const char* kName = "avx2";
  static constexpr bool kBytes = false;
  static constexpr int kWidth = 8, kRows = 6, kVectors = 2;

  static I load(const std::int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static I load_words(const std::uint32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static I broadcast_word(const std::uint32_t* from) { return _mm256_set1_epi32(static_cast<int>(*from)); }
  static I dot_add(I sum, I a, I b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
  static void store_scaled(float* to, I sum, float row_scale, const float* column_scales) {
    _mm256_storeu_ps(
        to, _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(_mm256_loadu_ps(column_scales), _mm256_set1_ps(row_scale))));
  }
};

}  // namespace

const Int8Kernels kAvx2Int8 = Int8Algorithm<Avx2>::kernels();

}  // namespace ditscope::cpu
