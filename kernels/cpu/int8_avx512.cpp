#include "kernels/cpu/int8_avx512.h"

namespace ditscope::cpu {
namespace {

struct Avx512 : Avx512Int8Lanes {
  static constexpr const char* kName = "avx512";
  static constexpr bool kBytes = false;
  static I dot_add(I sum, I a, I b) { return sum + (I)_mm512_madd_epi16((__m512i)a, (__m512i)b); }
};

}  // namespace

const Int8Kernels kAvx512Int8 = Int8Algorithm<Avx512>::kernels();

}  // namespace ditscope::cpu
