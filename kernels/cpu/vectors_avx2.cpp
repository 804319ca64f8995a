#include <immintrin.h>

#include "kernels/cpu/vectors_kernel.h"

namespace ditscope::cpu {
namespace {

struct Avx2 : Lanes<8> {
  static constexpr const char* kName = "avx2";
  static constexpr int kRows = 6, kVectors = 2;

  static V maximum(V a, V b) { return _mm256_max_ps(a, b); }
  static V minimum(V a, V b) { return _mm256_min_ps(a, b); }
  static float reduce_maximum(V v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
  }
};

}  // namespace

const VectorKernels kAvx2Vectors = VectorAlgorithm<Avx2>::kernels();

}  // namespace ditscope::cpu
