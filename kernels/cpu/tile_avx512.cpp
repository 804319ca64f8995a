#include "kernels/cpu/avx512_operations.h"

namespace ditscope::cpu {
namespace {

struct Avx512 : Avx512Operations {
  using W = __m512;
  static constexpr const char* kName = "avx512";
  static constexpr bool kPairs = false;

  static W load_words(const std::uint32_t* from) { return _mm512_loadu_ps(from); }
  static W broadcast_word(const std::uint32_t* from) { return _mm512_set1_ps(float_of(*from)); }
  static V multiply_add(V sum, W a, W b) { return _mm512_fmadd_ps(a, b, sum); }
  static V exp2(V x) {
    const V whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const V f = _mm512_sub_ps(x, whole);
    V p = _mm512_set1_ps(kExp2[5]);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; --i) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[i]));
    return _mm512_scalef_ps(p, whole);
  }
  static void store_probabilities(std::uint32_t* words, int v, V p) {
    _mm512_storeu_ps(words + v * 16, p);
  }
};

}  // namespace

const TileKernels kAvx512Kernels = TileAlgorithm<Avx512>::kernels();

}  // namespace ditscope::cpu
