#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/cpu/clones.h"

namespace ditscope {

/// e^x within 2 units in the last place for |x| < 87, saturating beyond: 2^n e^r with |r| <= ln(2)/2.
inline __attribute__((always_inline)) float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounds to the nearest integer
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;    // ln 2 in two parts
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

/// An element of a loop as float32 and back: a float, or the bits of a bfloat16 (to nearest, ties to even; what is no number stays
/// none).
inline __attribute__((always_inline)) float load_element(const float* x) {
  return *x;
}
inline __attribute__((always_inline)) float load_element(const std::uint16_t* x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(*x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline __attribute__((always_inline)) void store_element(float* x, float value) {
  *x = value;
}
inline __attribute__((always_inline)) void store_element(std::uint16_t* x, float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  *x = static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

}  // namespace ditscope
