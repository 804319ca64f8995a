#include "kernels/cpu/avx512_operations.h"

namespace ditscope::cpu {
namespace {

struct Avx512Bf16 : Avx512Operations {
  using W = __m512i;
  static constexpr const char* kName = "avx512bf16";
  static constexpr bool kPairs = true;

  static W load_words(const std::uint32_t* from) { return _mm512_loadu_si512(from); }
  static W broadcast_word(const std::uint32_t* from) { return _mm512_set1_epi32(static_cast<int>(*from)); }
  static V multiply_add(V sum, W a, W b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
  static V exp2(V x) {
    const V whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const V f = _mm512_sub_ps(x, whole);
    V p = _mm512_set1_ps(kExp2Short[3]);
#pragma GCC unroll 3
    for (int i = 2; i >= 0; --i) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Short[i]));
    return _mm512_scalef_ps(p, whole);
  }
  /// to[c] = low[c] and, above it, high[c].
  static void interleave(const std::uint16_t* low, const std::uint16_t* high, int count, std::uint32_t* to) {
    for (int c = 0; c < count; c += 16) {
      const __mmask16 lanes = count - c >= 16 ? 0xffff : static_cast<__mmask16>((1u << (count - c)) - 1);
      const __m512i below = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, low + c));
      const __m512i above = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, high + c)), 16);
      _mm512_mask_storeu_epi32(to + c, lanes, _mm512_or_si512(below, above));
    }
  }
  static void store_probabilities(std::uint32_t* words, int v, V p) {
    const __m256bh rounded = _mm512_cvtneps_pbh(p);
    __builtin_memcpy(words + v * 8, &rounded, sizeof rounded);
  }
};

}  // namespace

const TileKernels kAvx512Bf16Kernels = TileAlgorithm<Avx512Bf16>::kernels();

}  // namespace ditscope::cpu
