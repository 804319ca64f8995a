// Operations that vectors_avx512.cpp and vectors_avx512bf16.cpp share.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/vectors_kernel.h"

namespace ditscope::cpu {
namespace {

template <int kDegree>
struct Avx512Lanes : Lanes<16> {
  static constexpr int kRows = 6, kVectors = 4;

  static V maximum(V a, V b) { return _mm512_max_ps(a, b); }
  static V minimum(V a, V b) { return _mm512_min_ps(a, b); }
  static V keep(V v, std::uint64_t bits, V otherwise) { return _mm512_mask_mov_ps(otherwise, static_cast<__mmask16>(bits), v); }
  static float reduce_maximum(V v) { return _mm512_reduce_max_ps(v); }
  static float reduce_sum(V v) { return _mm512_reduce_add_ps(v); }
  static V exp2(V x) {
    constexpr const float* kTerms = kDegree == 5 ? kExp2 : kExp2Short;
    const V whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = x - whole;
    V p = splat(kTerms[kDegree]);
#pragma GCC unroll 5
    for (int i = kDegree - 1; i >= 0; --i) p = p * f + kTerms[i];
    return _mm512_scalef_ps(p, whole);
  }
};

}  // namespace
}  // namespace ditscope::cpu
