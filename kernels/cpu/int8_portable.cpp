#include "kernels/cpu/int8_kernel.h"

namespace ditscope::cpu {
namespace {

struct Portable {
  typedef std::int32_t I __attribute__((vector_size(16)));
  typedef float V __attribute__((vector_size(16)));
  typedef std::int16_t S __attribute__((vector_size(16)));
  static constexpr const char* kName = "portable";
  static constexpr bool kBytes = false;
  static constexpr int kWidth = 4, kRows = 4, kVectors = 2;

  static I load(const std::int32_t* from) {
    I i;
    __builtin_memcpy(&i, from, sizeof i);
    return i;
  }
  static I load_words(const std::uint32_t* from) {
    I i;
    __builtin_memcpy(&i, from, sizeof i);
    return i;
  }
  static I broadcast_word(const std::uint32_t* from) { return I{} + static_cast<std::int32_t>(*from); }
  static I dot_add(I sum, I a, I b) {
#ifdef __SSE2__
    return sum + (I)__builtin_ia32_pmaddwd128((S)a, (S)b);
#else
    return sum + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
  }
  static void store_scaled(float* to, I sum, float row_scale, const float* column_scales) {
    V scales;
    __builtin_memcpy(&scales, column_scales, sizeof scales);
    const V logits = __builtin_convertvector(sum, V) * (scales * row_scale);
    __builtin_memcpy(to, &logits, sizeof logits);
  }
};

}  // namespace

const Int8Kernels kPortableInt8 = Int8Algorithm<Portable>::kernels();

}  // namespace ditscope::cpu
