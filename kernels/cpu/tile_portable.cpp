#include "kernels/cpu/tile_kernel.h"

namespace ditscope::cpu {
namespace {

/// Four floats in the compiler's own vector type: SSE2 on any x86-64, NEON on
/// ARM, plain code elsewhere.
struct Portable {
  typedef float V __attribute__((vector_size(16)));
  typedef std::int32_t I __attribute__((vector_size(16)));
  using W = V;
  static constexpr const char* kName = "portable";
  static constexpr bool kPairs = false;
  static constexpr int kWidth = 4, kVectors = 2;
  static constexpr int rows_for(int vectors) { return vectors == 2 ? 6 : 8; }

  static V load(const float* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  static void store(float* to, V v) { __builtin_memcpy(to, &v, sizeof v); }
  static V zero() { return V{0, 0, 0, 0}; }
  static V splat(float value) { return V{value, value, value, value}; }
  static W load_words(const std::uint32_t* from) {
    W w;
    __builtin_memcpy(&w, from, sizeof w);
    return w;
  }
  static W broadcast_word(const std::uint32_t* from) { return splat(float_at(from)); }
  static V multiply_add(V sum, W a, W b) { return sum + a * b; }
  static V add(V a, V b) { return a + b; }
  static V multiply(V a, V b) { return a * b; }
  static V maximum(V a, V b) { return a > b ? a : b; }
  static V scaled_minus(V s, V scale, V reference) { return s * scale - reference; }
  static bool any_above(V a, V b) {
    const I above = a > b;
    return (above[0] | above[1] | above[2] | above[3]) != 0;
  }
  /// Lane i of v where words[i] has `bit`, of `otherwise` elsewhere.
  static V keep(V v, const std::uint32_t* words, std::uint32_t bit, V otherwise) {
    I held;
    __builtin_memcpy(&held, words, sizeof held);
    return (held & static_cast<std::int32_t>(bit)) != 0 ? v : otherwise;
  }
  /// As in tile_avx2.cpp; adding 1.5 * 2^23 rounds to the nearest whole number.
  static V exp2(V x) {
    const V lowest = splat(-126.0f), round = splat(12582912.0f);
    x = lowest > x ? lowest : x;  // in this order a NaN stays
    const V shifted = x + round, whole = shifted - round, f = x - whole;
    V p = splat(kExp2[5]);
    for (int i = 4; i >= 0; --i) p = p * f + splat(kExp2[i]);
    const I exponent = ((I)shifted - 0x4b400000 + 127) << 23;
    return p * (V)exponent;
  }
  static V exact_exp2(V x) { return exp2(x); }
  static V load_bfloat16(const std::uint16_t* from) {
    V v;
    for (int i = 0; i < 4; ++i) v[i] = float_of(std::uint32_t{from[i]} << 16);
    return v;
  }
  static void store_bfloat16(std::uint16_t* to, V v) {
    for (int i = 0; i < 4; ++i) to[i] = bfloat16_of(v[i]);
  }
  /// Rows become columns.
  static void transpose(V (&rows)[4]) {
    const V low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5),
            high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const V low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5),
            high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  }
};

}  // namespace

const TileKernels kPortableKernels = TileAlgorithm<Portable>::kernels();

}  // namespace ditscope::cpu
