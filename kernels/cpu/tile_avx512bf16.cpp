#include "kernels/cpu/avx512_operations.h"

namespace ditscope::cpu {
namespace {

/// Indices that lay two rows of bfloat16 beside each other, a0 b0 a1 b1 ..,
/// from element `first` of both, the second row beginning at element `second`.
struct Alternate {
  alignas(64) std::uint16_t of[32];
  constexpr Alternate(int first, int second) : of() {
    for (int i = 0; i < 16; ++i) {
      of[2 * i] = static_cast<std::uint16_t>(first + i);
      of[2 * i + 1] = static_cast<std::uint16_t>(second + first + i);
    }
  }
};

struct Avx512Bf16 : Avx512Operations {
  using W = __m512i;
  static constexpr const char* kName = "avx512bf16";
  static constexpr bool kPairs = true;

  static W load_words(const std::uint32_t* from) { return _mm512_loadu_si512(from); }
  static W broadcast_word(const std::uint32_t* from) { return _mm512_set1_epi32(static_cast<int>(word_from(from))); }
  static V multiply_add(V sum, W a, W b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
  static V exp2(V x) {
    const V whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const V f = _mm512_sub_ps(x, whole);
    V p = _mm512_set1_ps(kExp2Short[3]);
#pragma GCC unroll 3
    for (int i = 2; i >= 0; --i) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Short[i]));
    return _mm512_scalef_ps(p, whole);
  }
  static constexpr Alternate kLowHalves{0, 32}, kHighHalves{16, 32}, kWithin{0, 16};

  static void store_bfloat16(std::uint16_t* to, V v) {
    const __m256bh rounded = _mm512_cvtneps_pbh(v);
    __builtin_memcpy(to, &rounded, sizeof rounded);
  }
  /// to[c] = low[c] and, above it, high[c], for 32 channels.
  static void interleave(const std::uint16_t* low, const std::uint16_t* high, std::uint32_t* to) {
    const __m512i below = _mm512_loadu_si512(low), above = _mm512_loadu_si512(high);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(below, _mm512_load_si512(kLowHalves.of), above));
    _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi16(below, _mm512_load_si512(kHighHalves.of), above));
  }
  /// words[i] = low[i] and, above it, high[i], rounded to bfloat16.
  static void store_pair(std::uint32_t* words, V low, V high) {
    const __m512bh both = _mm512_cvtne2ps_pbh(high, low);  // low in the lower half
    __m512i bits;
    __builtin_memcpy(&bits, &both, sizeof bits);
    _mm512_storeu_si512(words, _mm512_permutexvar_epi16(_mm512_load_si512(kWithin.of), bits));
  }
};

}  // namespace

const TileKernels kAvx512Bf16Kernels = TileAlgorithm<Avx512Bf16>::kernels();

}  // namespace ditscope::cpu
