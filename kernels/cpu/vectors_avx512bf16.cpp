#include "kernels/cpu/vectors_avx512.h"

namespace ditscope::cpu {
namespace {

/// Words are pairs of bfloat16: one instruction multiplies and adds two.
struct Avx512Bf16 : Avx512Lanes<3> {
  using W = __m512i;
  static constexpr const char* kName = "avx512bf16";
  static constexpr bool kPairs = true;

  static W load_words(const std::uint32_t* from) { return _mm512_loadu_si512(from); }
  static W broadcast_word(const std::uint32_t* from) { return _mm512_set1_epi32(static_cast<int>(*from)); }
  static V multiply_add(V sum, W a, W b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
  static void store_probabilities(std::uint32_t* words, int v, V p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + v * 8), (__m256i)_mm512_cvtneps_pbh(p));
  }
};

}  // namespace

const VectorKernels kAvx512Bf16Vectors = VectorAlgorithm<Avx512Bf16>::kernels();

}  // namespace ditscope::cpu
