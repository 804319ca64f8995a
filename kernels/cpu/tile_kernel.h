// The tile algorithm, written once over the vector operations of an instruction
// set. Each tile_<isa>.cpp defines its operations as a struct, includes this
// file and instantiates TileAlgorithm with it. Everything here is in an unnamed
// namespace: code compiled for a wider instruction set must never be the copy
// that the linker keeps for a narrower one. For the same reason no function of
// the standard library is used.
//
// An Isa has: V, W (vectors of floats and of words), kName, kPairs, kWidth
// (floats a vector), kVectors (vectors of lanes that a product works on),
// rows_for(vectors) (rows of accumulators beside them), and load, store, zero,
// splat, load_words, broadcast_word, multiply_add, add, multiply, maximum,
// scaled_minus, keep, any_above, exp2, exact_exp2, transpose, load_bfloat16,
// store_bfloat16; with kPairs store_pair and interleave, else
// store_probabilities.
#pragma once
#include "kernels/cpu/tile.h"
#include "kernels/cpu/tile_packing.h"

namespace ditscope::cpu {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
/// A running maximum is renewed only when it grew by more than this (log2): sums stay far from overflow and rescaling is rare.
constexpr float kSlack = 8;

template <class Isa>
struct TileAlgorithm : TilePacking<Isa> {
  using V = typename Isa::V;
  using Packing = TilePacking<Isa>;
  static constexpr int kWidth = Isa::kWidth;
  static constexpr int kLanes = kBlockTokens;
  static constexpr int kKeysPerStep = Isa::kPairs ? 2 : 1;
  static constexpr int kBytes = Isa::kPairs ? 2 : 4;  ///< an element of the rows, unless they are bfloat16
                                                      ///< to be widened

  // ---- products ----

  /// The cache lines of the tokens that will be read next, one after the other.
  /// Asked for a line at a time between the steps of a product, they come near
  /// without delay; all at once, the machine would drop most of the requests.
  struct Ahead {
    const char *line, *row;  ///< with tokens, `row` is the first of all
    std::ptrdiff_t stride;
    const std::int32_t* tokens;
    int lines_left, lines, rows_left, period;
    const Rows *next, *end;

    Ahead(const TileVisit& a) : line(reinterpret_cast<const char*>(a.queries)), next(a.ahead), end(a.ahead + TileVisit::kAhead) {
      lines = (a.shape.width * kBytes + 63) / 64;
      int wanted = 0;
      for (const Rows& rows : a.ahead) wanted += rows.data ? lines * kLanes : 0;
      const int rows = Isa::rows_for(Isa::kVectors), steps = (kLanes + a.shape.width) / rows * a.shape.depth;
      period = wanted == 0 ? 1 << 30 : wanted * 2 > steps ? 1 : 2;
      next_rows();
    }
    void next_rows() {
      while (next != end && next->data == nullptr) ++next;
      row = line;
      stride = 0;
      tokens = nullptr;
      lines_left = 1;
      rows_left = 1 << 30;
      if (next == end) {  // any line that is near
        lines = 1;
        return;
      }
      row = line = static_cast<const char*>(next->data);
      stride = next->token_stride * kBytes;
      tokens = next->tokens;
      if (tokens) line += next->token(0) * stride;
      lines_left = lines;
      rows_left = kLanes;
      ++next;
    }
    void step() {
      __builtin_prefetch(line, 0, 2);
      line += stride == 0 ? 0 : 64;
      if (--lines_left != 0) return;
      lines_left = lines;
      if (--rows_left == 0) return next_rows();
      if (tokens) {
        const std::int32_t token = *++tokens;
        line = row + (token < 0 ? 0 : token) * stride;
      } else {
        row += stride;
        line = row;
      }
    }
  };

  /// R rows of lanes, c[r] (+)= sum over t of a(r, t) * b[t]. Rows of a follow
  /// each other (kAdjacent: a(r, t) = a[t * lda + r]) or lie lda apart. With
  /// kTop the results also meet top, per lane.
  template <int R, int N, bool kAdjacent, bool kAccumulate, bool kTop>
  static inline void product(const std::uint32_t* a, std::ptrdiff_t lda, const std::uint32_t* b, int steps, float* c, V* top,
                             Ahead& lines_ahead) {
    Ahead ahead = lines_ahead;
    V sum[R][N];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = kAccumulate ? Isa::load(c + r * kLanes + n * kWidth) : Isa::zero();
    }
    for (int t = 0; t < steps; ++t) {
      typename Isa::W right[N];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) right[n] = Isa::load_words(b + static_cast<std::ptrdiff_t>(t) * kLanes + n * kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const typename Isa::W left = Isa::broadcast_word(kAdjacent ? a + t * lda + r : a + r * lda + t);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) sum[r][n] = Isa::multiply_add(sum[r][n], left, right[n]);
      }
      if ((t & (ahead.period - 1)) == 0) ahead.step();
    }
    lines_ahead = ahead;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) Isa::store(c + r * kLanes + n * kWidth, sum[r][n]);
    }
    if constexpr (kTop) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        V highest = sum[0][n];
#pragma GCC unroll 16
        for (int r = 1; r < R; ++r) highest = Isa::maximum(highest, sum[r][n]);
        top[n] = Isa::maximum(top[n], highest);
      }
    }
  }

  /// The same for any number of rows.
  template <int N, bool kAdjacent, bool kAccumulate, bool kTop>
  static inline void products(int rows, const std::uint32_t* a, std::ptrdiff_t lda, const std::uint32_t* b, int steps, float* c,
                              V* top, Ahead& ahead) {
    constexpr int R = Isa::rows_for(N);
    int r = 0;
    const auto next = [&]<int kRows>() {
      product<kRows, N, kAdjacent, kAccumulate, kTop>(a + r * (kAdjacent ? 1 : lda), lda, b, steps, c + r * kLanes, top, ahead);
      r += kRows;
    };
    while (r + R <= rows) next.template operator()<R>();
    if constexpr (R > 8) {
      if (rows - r >= 8) next.template operator()<8>();
    }
    if constexpr (R > 4) {
      if (rows - r >= 4) next.template operator()<4>();
    }
    if (rows - r >= 2) next.template operator()<2>();
    if (rows - r >= 1) next.template operator()<1>();
  }

  // ---- softmax ----

  /// Which pairs of a visit count: per query the low and the high 32 keys of
  /// its word.
  struct LaneBits {
    alignas(64) std::uint32_t low[kLanes], high[kLanes];
    void set(const std::uint64_t* bits) {
      for (int i = 0; i < kLanes; ++i) {
        low[i] = static_cast<std::uint32_t>(bits[i]);
        high[i] = static_cast<std::uint32_t>(bits[i] >> 32);
      }
    }
    V keep(V v, int key, int lane, V otherwise) const {
      return Isa::keep(v, (key < 32 ? low : high) + lane, std::uint32_t{1} << (key & 31), otherwise);
    }
  };

  /// Brings maximum, sum and output of kWidth lanes to the maximum that a block
  /// has shown, where it grew by more than kSlack.
  static void renew(TileState& state, int width, int lane, V candidate) {
    if ((state.written >> lane & 1) == 0) return Isa::store(state.maximum + lane, candidate);
    alignas(64) float candidates[kWidth], shrink[kWidth];
    Isa::store(candidates, candidate);
    float* maximum = state.maximum + lane;
    for (int i = 0; i < kWidth; ++i) {
      const bool grew = candidates[i] > maximum[i] + kSlack;
      shrink[i] = grew ? maximum[i] - candidates[i] : 0.0f;
      shrink[i] = shrink[i] < -200.0f ? -200.0f : shrink[i];  // also from -inf
      if (grew) maximum[i] = candidates[i];
    }
    Isa::store(shrink, Isa::exact_exp2(Isa::load(shrink)));
    for (int i = 0; i < kWidth; ++i) shrink[i] = shrink[i] > 0.999f ? 1.0f : shrink[i];
    const V factor = Isa::load(shrink);
    Isa::store(state.sum + lane, Isa::multiply(Isa::load(state.sum + lane), factor));
    for (int c = 0; c < width; ++c) {
      float* output = state.output + static_cast<std::ptrdiff_t>(c) * kLanes + lane;
      Isa::store(output, Isa::multiply(Isa::load(output), factor));
    }
  }

  /// Logits of keys first .. last-1 to probabilities, N vectors of lanes from
  /// `lane` on. `top` holds their maxima unless kMasked.
  template <int N, bool kMasked>
  static inline void softmax(const TileVisit& a, const TileSide& side, const LaneBits& bits, int first, int last, int lane,
                             V* top, std::uint32_t* probabilities) {
    const float* logits = a.logits + lane;
    if constexpr (kMasked) {
      for (int n = 0; n < N; ++n) top[n] = Isa::splat(kMinusInfinity);
      for (int j = first; j < last; ++j) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          top[n] = Isa::maximum(
              top[n], bits.keep(Isa::load(logits + j * kLanes + n * kWidth), j, lane + n * kWidth, Isa::splat(kMinusInfinity)));
        }
      }
    }
    const V scale = Isa::splat(a.scale);
    V reference[N], sum[N];
    for (int n = 0; n < N; ++n) {
      float* maximum = side.state->maximum + lane + n * kWidth;
      const V candidate = Isa::multiply(top[n], scale);
      if (Isa::any_above(candidate, Isa::add(Isa::load(maximum), Isa::splat(kSlack))))
        renew(*side.state, a.shape.width, lane + n * kWidth, candidate);
      reference[n] = Isa::load(maximum);
      sum[n] = Isa::zero();
    }
    probabilities += first / kKeysPerStep * kLanes + lane;
    for (int j = first; j < last; j += kKeysPerStep, probabilities += kLanes) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        V p[kKeysPerStep];
#pragma GCC unroll 2
        for (int k = 0; k < kKeysPerStep; ++k) {
          p[k] = Isa::exp2(Isa::scaled_minus(Isa::load(logits + (j + k) * kLanes + n * kWidth), scale, reference[n]));
          if constexpr (kMasked) p[k] = bits.keep(p[k], j + k, lane + n * kWidth, Isa::zero());
          sum[n] = Isa::add(sum[n], p[k]);
        }
        if constexpr (Isa::kPairs)
          Isa::store_pair(probabilities + n * kWidth, p[0], p[1]);
        else
          Isa::store(reinterpret_cast<float*>(probabilities) + n * kWidth, p[0]);
      }
    }
    for (int n = 0; n < N; ++n) {
      float* total = side.state->sum + lane + n * kWidth;
      Isa::store(total, Isa::add(Isa::load(total), sum[n]));
      if (side.block_sum) {
        Isa::store(side.block_sum + lane + n * kWidth, sum[n]);
        Isa::store(side.block_maximum + lane + n * kWidth, reference[n]);
      }
    }
  }

  // ---- one visit ----

  /// Vectors begin .. end-1 of lanes that see keys first .. last-1 (whole
  /// steps).
  struct Group {
    int begin, end, first, last;
    bool masked;
  };

  /// Groups of lanes with the keys that any of them sees. @return how many
  static int group_lanes(const TileVisit& a, const std::uint64_t* bits, Group* groups) {
    const int vectors = (a.query_count + kWidth - 1) / kWidth;
    const int keys = (a.key_count + kKeysPerStep - 1) / kKeysPerStep * kKeysPerStep;
    if (bits == nullptr) {
      groups[0] = {0, vectors, 0, keys, false};
      return 1;
    }
    int count = 0;
    for (int v = 0; v < vectors; ++v) {
      std::uint64_t any = 0, all = ~std::uint64_t{0};
      for (int i = v * kWidth; i < (v + 1) * kWidth && i < a.query_count; ++i) {
        any |= bits[i];
        all &= bits[i];
      }
      if (any == 0) continue;
      const int first = __builtin_ctzll(any) / kKeysPerStep * kKeysPerStep;
      const int last = (64 - __builtin_clzll(any) + kKeysPerStep - 1) / kKeysPerStep * kKeysPerStep;
      const std::uint64_t range = (last == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << last) - 1) >> first << first;
      const bool masked = (range & ~all) != 0;
      if (count > 0 && groups[count - 1].end == v && groups[count - 1].first == first && groups[count - 1].last == last) {
        groups[count - 1].end = v + 1;
        groups[count - 1].masked |= masked;
      } else {
        groups[count++] = {v, v + 1, first, last, masked};
      }
    }
    return count;
  }

  template <int N>
  static inline void multiply_keys(const TileVisit& a, int first, int last, int lane, V* top, Ahead& ahead) {
    for (int n = 0; n < N; ++n) top[n] = Isa::splat(kMinusInfinity);
    products<N, false, false, true>(last - first, a.keys + first * a.key_stride, a.key_stride, a.queries + lane, a.shape.depth,
                                    a.logits + first * kLanes + lane, top, ahead);
  }

  /// Softmax and values of N vectors of lanes; `top` as in softmax().
  template <int N>
  static inline void absorb(const TileVisit& a, const TileSide& side, const Group& group, const LaneBits& bits, int vector,
                            V* top, std::uint32_t* probabilities, Ahead& ahead) {
    const int lane = vector * kWidth, width = a.shape.width;
    if (group.masked)
      softmax<N, true>(a, side, bits, group.first, group.last, lane, top, probabilities);
    else
      softmax<N, false>(a, side, bits, group.first, group.last, lane, top, probabilities);
    TileState& state = *side.state;
    const std::uint64_t lanes = (N * kWidth == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (N * kWidth)) - 1) << lane;
    const std::uint32_t* values = a.values + group.first / kKeysPerStep * a.value_stride;
    const std::uint32_t* seen = probabilities + group.first / kKeysPerStep * kLanes + lane;
    const int steps = (group.last - group.first) / kKeysPerStep;
    if ((state.written & lanes) == 0) {
      products<N, true, false, false>(width, values, a.value_stride, seen, steps, state.output + lane, nullptr, ahead);
    } else {
      Packing::clear_unwritten(state, width, lane, N);
      products<N, true, true, false>(width, values, a.value_stride, seen, steps, state.output + lane, nullptr, ahead);
    }
    state.written |= lanes;
  }

  /// Maxima of logits that another side has already had computed.
  template <int N>
  static inline void top_of(const TileVisit& a, int first, int last, int lane, V* top) {
    for (int n = 0; n < N; ++n) {
      top[n] = Isa::splat(kMinusInfinity);
      for (int j = first; j < last; ++j) top[n] = Isa::maximum(top[n], Isa::load(a.logits + j * kLanes + lane + n * kWidth));
    }
  }

  /// Calls body.template operator()<N>(vector) for the vectors of a group, as
  /// many at a time as there are accumulators.
  template <class Body>
  static inline void over_vectors(int begin, int end, const Body& body) {
    constexpr int kMost = Isa::kVectors;
    int v = begin;
    for (; v + kMost <= end; v += kMost) body.template operator()<kMost>(v);
    if constexpr (kMost > 3) {
      if (end - v == 3) body.template operator()<3>(v);
    }
    if constexpr (kMost > 2) {
      if (end - v == 2) body.template operator()<2>(v);
    }
    if (end - v == 1) body.template operator()<1>(v);
  }

  static void attend(const TileVisit& a) {
    Group groups[kLanes / kWidth];
    LaneBits bits;
    Ahead ahead(a);
    const bool both = a.sides[1].state != nullptr;
    if (both) {
      const int keys = (a.key_count + kKeysPerStep - 1) / kKeysPerStep * kKeysPerStep;
      over_vectors(0, (a.query_count + kWidth - 1) / kWidth, [&]<int N>(int v) {
        V top[N];
        multiply_keys<N>(a, 0, keys, v * kWidth, top, ahead);
      });
    }
    for (int s = 0; s < (both ? 2 : 1); ++s) {
      const TileSide& side = a.sides[s];
      const int count = group_lanes(a, side.bits, groups);
      if (side.bits) bits.set(side.bits);
      for (int g = 0; g < count; ++g) {
        const Group& group = groups[g];
        over_vectors(group.begin, group.end, [&]<int N>(int v) {
          V top[N];
          if (!both)
            multiply_keys<N>(a, group.first, group.last, v * kWidth, top, ahead);
          else if (!group.masked)
            top_of<N>(a, group.first, group.last, v * kWidth, top);
          // One side alone may overwrite its logits: word t of probabilities
          // comes after logits of keys >= t were read.
          absorb<N>(a, side, group, bits, v, top, both ? a.probabilities : reinterpret_cast<std::uint32_t*>(a.logits), ahead);
        });
      }
    }
  }

  static float mass(const float* sum, const float* maximum, const float* total, int count) {
    alignas(64) float exponents[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const float exponent = i < count && sum[i] > 0 ? maximum[i] - total[i] : -200.0f;
      exponents[i] = exponent < -200.0f ? -200.0f : exponent;
    }
    float mass = 0;
    for (int i = 0; i < kLanes; i += kWidth) Isa::store(exponents + i, Isa::exact_exp2(Isa::load(exponents + i)));
    for (int i = 0; i < count; ++i) mass += sum[i] > 0 ? sum[i] * exponents[i] : 0.0f;
    return mass;
  }

  static constexpr TileKernels kernels() {
    return {Isa::kName,           Isa::kPairs, Packing::pack_queries, Packing::pack_keys,
            Packing::pack_values, attend,      Packing::finish,       mass};
  }
};

}  // namespace
}  // namespace ditscope::cpu
