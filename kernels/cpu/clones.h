#pragma once
#include <bit>
#include <cstdint>

// Loops marked so are plain C++ that the compiler turns into vectors, once for each kind of processor; the loader picks one (too
// early for the thread sanitizer, which has not started by then).
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define DITSCOPE_VECTOR_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DITSCOPE_VECTOR_CLONES
#endif

namespace ditscope::cpu {

/// 2^x within 1e-7 of itself for x < 127; 0 below -126.
inline __attribute__((always_inline)) float exp2_of(float x) {
  const float bounded = x < -126.0f ? -126.0f : x;
  const float shifted = bounded + 12582912.0f, f = bounded - (shifted - 12582912.0f);  // rounds to the nearest whole number
  float p = 0.0013276472f;
  p = p * f + 0.00967554133f;
  p = p * f + 0.0555071327f;
  p = p * f + 0.240221197f;
  p = p * f + 0.693146967f;
  p = p * f + 1.00000007f;
  const float power = std::bit_cast<float>((std::bit_cast<std::int32_t>(shifted) - 0x4b400000 + 127) << 23);
  return x < -126.0f ? 0.0f : p * power;
}

}  // namespace ditscope::cpu
