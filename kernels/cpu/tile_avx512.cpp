#include "kernels/cpu/avx512_operations.h"

namespace ditscope::cpu {
namespace {

struct Avx512 : Avx512Operations {
  using W = __m512;
  static constexpr const char* kName = "avx512";
  static constexpr bool kPairs = false;

  static W load_words(const std::uint32_t* from) { return _mm512_loadu_ps(from); }
  static W broadcast_word(const std::uint32_t* from) { return _mm512_set1_ps(float_at(from)); }
  static V multiply_add(V sum, W a, W b) { return _mm512_fmadd_ps(a, b, sum); }
  static V exp2(V x) { return exact_exp2(x); }
};

}  // namespace

const TileKernels kAvx512Kernels = TileAlgorithm<Avx512>::kernels();

}  // namespace ditscope::cpu
