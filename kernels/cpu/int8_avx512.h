// Operations that int8_avx512.cpp and int8_avx512vnni.cpp share.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/int8_kernel.h"

namespace ditscope::cpu {
namespace {

struct Avx512Int8Lanes {
  typedef std::int32_t I __attribute__((vector_size(64)));  // not __m512i, whose arrays the compiler leaves in memory
  static constexpr int kWidth = 16, kRows = 6, kVectors = 4;

  static I load(const std::int32_t* from) { return (I)_mm512_loadu_si512(from); }
  static I load_words(const std::uint32_t* from) { return (I)_mm512_loadu_si512(from); }
  static I broadcast_word(const std::uint32_t* from) { return (I)_mm512_set1_epi32(static_cast<int>(*from)); }
  static void store_scaled(float* to, I sum, float row_scale, const float* column_scales) {
    _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_cvtepi32_ps((__m512i)sum),
                                       _mm512_mul_ps(_mm512_loadu_ps(column_scales), _mm512_set1_ps(row_scale))));
  }
};

}  // namespace
}  // namespace ditscope::cpu
