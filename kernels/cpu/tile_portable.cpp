#include "kernels/cpu/tile_kernel.h"

namespace ditscope::cpu {
namespace {

/// Four floats in the compiler's own vector type: SSE2 on any x86-64, NEON on ARM, plain code elsewhere.
struct Portable {
  typedef float V __attribute__((vector_size(16)));
  typedef std::int32_t I __attribute__((vector_size(16)));
  using W = V;
  static constexpr const char* kName = "portable";
  static constexpr bool kPairs = false;
  static constexpr int kWidth = 4, kRows = 4, kVectors = 2;

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
  static W broadcast_word(const std::uint32_t* from) { return splat(float_of(*from)); }
  static V multiply_add(V sum, W a, W b) { return sum + a * b; }
  static V add(V a, V b) { return a + b; }
  static V multiply(V a, V b) { return a * b; }
  static V maximum(V a, V b) { return a > b ? a : b; }
  static V scaled_minus(V s, V scale, V reference) { return s * scale - reference; }
  static V keep(V v, std::uint64_t bits, V otherwise) {
    const I lanes{1, 2, 4, 8}, word = I{} + static_cast<std::int32_t>(bits & 0xf);
    return (word & lanes) == lanes ? v : otherwise;
  }
  static float reduce_maximum(V v) {
    float top = v[0];
    for (int i = 1; i < 4; ++i) top = v[i] > top ? v[i] : top;
    return top;
  }
  /// As in tile_avx2.cpp; adding 1.5 * 2^23 rounds to the nearest whole number.
  static V exp2(V x) {
    const V lowest = splat(-126.0f), round = splat(12582912.0f);
    x = x > lowest ? x : lowest;
    const V shifted = x + round, whole = shifted - round, f = x - whole;
    V p = splat(kExp2[5]);
    for (int i = 4; i >= 0; --i) p = p * f + splat(kExp2[i]);
    const I exponent = ((I)shifted - 0x4b400000 + 127) << 23;
    return p * (V)exponent;
  }
  static void store_probabilities(std::uint32_t* words, int v, V p) { __builtin_memcpy(words + v * 4, &p, sizeof p); }
  static void transpose(const std::uint32_t* from, int from_stride, int count, std::uint32_t* to, int to_stride) {
    transpose_words(from, from_stride, count, to, to_stride);
  }
};

}  // namespace

const TileKernels kPortableKernels = TileAlgorithm<Portable>::kernels();

}  // namespace ditscope::cpu
