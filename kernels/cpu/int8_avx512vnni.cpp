#include "kernels/cpu/int8_avx512.h"

namespace ditscope::cpu {
namespace {

struct Avx512Vnni : Avx512Int8Lanes {
  static constexpr const char* kName = "avx512vnni";
  static constexpr bool kBytes = true;
  static I dot_add(I sum, I a, I b) { return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b); }
};

}  // namespace

const Int8Kernels kAvx512VnniInt8 = Int8Algorithm<Avx512Vnni>::kernels();

}  // namespace ditscope::cpu
