// What goes in and out of a tile, over the vector operations of an instruction set; see tile_kernel.h, which includes this file.
#pragma once
#include "kernels/cpu/tile.h"

namespace ditscope::cpu {
namespace {

inline float float_of(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

/// A word read where floats or bfloat16 may lie.
inline std::uint32_t word_from(const std::uint32_t* from) {
  std::uint32_t word;
  __builtin_memcpy(&word, from, 4);
  return word;
}
inline float float_at(const std::uint32_t* from) {
  return float_of(word_from(from));
}

inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

/// Rounds to nearest even; a NaN stays one.
inline std::uint16_t bfloat16_of(float value) {
  const std::uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// 2^f, minimax in relative error: on [-1/2, 1/2] 7.5e-8 with degree 5; 7.5e-5
// with degree 3, a small part of a bfloat16 rounding.
constexpr float kExp2[6] = {1.00000007f, 0.693146967f, 0.240221197f, 0.0555071327f, 0.00967554133f, 0.0013276472f};
constexpr float kExp2Short[4] = {0.999928074f, 0.693260985f, 0.242611122f, 0.0551716691f};

/// Packs queries, keys and values into the words of PackedShape and writes finished outputs.
template <class Isa>
struct TilePacking {
  using V = typename Isa::V;
  static constexpr int kWidth = Isa::kWidth;
  static constexpr int kLanes = kBlockTokens;
  static constexpr int kKeysPerStep = Isa::kPairs ? 2 : 1;

  // ---- packing ----

  static const char* element(const Rows& from, bool bfloat16, std::ptrdiff_t row, std::ptrdiff_t channel) {
    return static_cast<const char*>(from.data) +
           (from.token(row) * from.token_stride + channel * from.channel_stride) * (bfloat16 ? 2 : 4);
  }

  /// Word t of a token: a float, a bfloat16 widened, or a pair as it lies; a
  /// channel beyond the last is 0.
  static inline std::uint32_t word_at(const PackedShape& shape, const Rows& from, bool bfloat16, int token, int t) {
    const auto half = [&](int channel) {
      std::uint16_t value;
      __builtin_memcpy(&value, element(from, true, token, channel), 2);
      return std::uint32_t{value};
    };
    if constexpr (Isa::kPairs) return half(2 * t) | (2 * t + 1 < shape.width ? half(2 * t + 1) << 16 : 0);
    if (bfloat16) return half(t) << 16;
    std::uint32_t word;
    __builtin_memcpy(&word, element(from, false, token, t), 4);
    return word;
  }

  /// kWidth words of a token from word t on, all of them within the token and
  /// its channels side by side.
  template <bool kBfloat16>
  static inline V words_at(const Rows& from, int token, int t) {
    if constexpr (Isa::kPairs)
      return Isa::load(reinterpret_cast<const float*>(element(from, true, token, 2 * t)));
    else if constexpr (kBfloat16)
      return Isa::load_bfloat16(reinterpret_cast<const std::uint16_t*>(element(from, true, token, t)));
    else
      return Isa::load(reinterpret_cast<const float*>(element(from, false, token, t)));
  }

  /// Steps through 0 .. count-1 in strides of kStep; the last stride begins
  /// earlier, over what was done, where it fits so.
  template <int kStep, class Body>
  static inline void over_strides(int count, const Body& body) {
    for (int at = 0; at < count; at += kStep) body(at + kStep <= count || count < kStep ? at : count - kStep);
  }

  template <bool kBfloat16>
  static void pack_queries_of(const PackedShape& shape, const Rows& from, int count, std::uint32_t* words) {
    const int whole_words = from.channel_stride == 1 ? (Isa::kPairs ? shape.width / 2 : shape.width) : 0;
    for (int first = 0; first < kLanes; first += kWidth) {
      over_strides<kWidth>(shape.depth, [&](int t) {
        V tile[kWidth];
        if (first + kWidth <= count && t + kWidth <= whole_words) {
#pragma GCC unroll 16
          for (int i = 0; i < kWidth; ++i) tile[i] = words_at<kBfloat16>(from, first + i, t);
          Isa::transpose(tile);
#pragma GCC unroll 16
          for (int x = 0; x < kWidth; ++x) Isa::store(reinterpret_cast<float*>(words + (t + x) * kLanes + first), tile[x]);
          return;
        }
        for (int x = 0; x < kWidth && t + x < shape.depth; ++x) {
          for (int i = first; i < first + kWidth; ++i)
            words[(t + x) * kLanes + i] = i < count ? word_at(shape, from, kBfloat16, i, t + x) : 0;
        }
      });
    }
  }

  static void pack_queries(const PackedShape& shape, const Rows& from, bool bfloat16, int count, bool negate,
                           std::uint32_t* words) {
    bfloat16 ? pack_queries_of<true>(shape, from, count, words) : pack_queries_of<false>(shape, from, count, words);
    if (negate) {
      const std::uint32_t signs = Isa::kPairs ? 0x80008000u : 0x80000000u;
      for (std::ptrdiff_t i = 0; i < std::ptrdiff_t{shape.depth} * kLanes; ++i) words[i] ^= signs;
    }
  }

  template <bool kBfloat16>
  static void pack_tokens(const PackedShape& shape, const Rows& from, int count, std::uint32_t* words) {
    const int whole_words = from.channel_stride == 1 ? (Isa::kPairs ? shape.width / 2 : shape.width) : 0;
    for (int token = 0; token < count; ++token, words += shape.depth) {
      int done = 0;
      if (whole_words >= kWidth) {
        over_strides<kWidth>(
            whole_words, [&](int t) { Isa::store(reinterpret_cast<float*>(words + t), words_at<kBfloat16>(from, token, t)); });
        done = whole_words;
      }
      for (int t = done; t < shape.depth; ++t) words[t] = word_at(shape, from, kBfloat16, token, t);
    }
    if (count % kKeysPerStep != 0) __builtin_memset(words, 0, sizeof(std::uint32_t) * shape.depth);
  }

  static void pack_keys(const PackedShape& shape, const Rows& from, bool bfloat16, int count, std::uint32_t* words) {
    bfloat16 ? pack_tokens<true>(shape, from, count, words) : pack_tokens<false>(shape, from, count, words);
  }

  static void pack_values(const PackedShape& shape, const Rows& from, bool bfloat16, int count, std::uint32_t* words) {
    if constexpr (!Isa::kPairs) {
      pack_keys(shape, from, bfloat16, count, words);
    } else {
      for (int token = 0; token < count; token += 2, words += shape.width) {
        if (from.channel_stride == 1 && token + 1 < count && shape.width >= 2 * kWidth) {
          const auto* low = reinterpret_cast<const std::uint16_t*>(element(from, true, token, 0));
          const auto* high = reinterpret_cast<const std::uint16_t*>(element(from, true, token + 1, 0));
          over_strides<2 * kWidth>(shape.width, [&](int c) { Isa::interleave(low + c, high + c, words + c); });
          continue;
        }
        const auto half = [&](int t, int channel) {
          std::uint16_t value = 0;
          if (t < count) __builtin_memcpy(&value, element(from, true, t, channel), 2);
          return std::uint32_t{value};
        };
        for (int c = 0; c < shape.width; ++c) words[c] = half(token, c) | half(token + 1, c) << 16;
      }
    }
  }

  // ---- epilogue ----

  /// One token's kWidth channels from c on, in registers, to the target.
  static inline void write_row(const TileKernels::Finish& a, int token, int c, V values) {
    const bool whole =
        c + kWidth <= a.shape.width && a.target.channel_stride == 1 && (a.addend.data == nullptr || a.addend.channel_stride == 1);
    auto* target = const_cast<char*>(element(a.target, a.bfloat16, token, c));
    if (whole) {
      if (a.vector) values = Isa::add(values, Isa::load(a.vector + c));
      if (a.addend.data) {
        const char* addend = element(a.addend, a.bfloat16, token, c);
        values = Isa::add(values, a.bfloat16 ? Isa::load_bfloat16(reinterpret_cast<const std::uint16_t*>(addend))
                                             : Isa::load(reinterpret_cast<const float*>(addend)));
      }
      if (a.bfloat16)
        Isa::store_bfloat16(reinterpret_cast<std::uint16_t*>(target), values);
      else
        Isa::store(reinterpret_cast<float*>(target), values);
      return;
    }
    alignas(64) float row[kWidth];
    Isa::store(row, values);
    for (int x = 0; x < kWidth && c + x < a.shape.width; ++x) {
      float value = row[x];
      if (a.vector) value += a.vector[c + x];
      if (a.addend.data) {
        const char* addend = element(a.addend, a.bfloat16, token, c + x);
        std::uint32_t word = 0;
        __builtin_memcpy(reinterpret_cast<char*>(&word) + (a.bfloat16 ? 2 : 0), addend, a.bfloat16 ? 2 : 4);
        value += float_of(word);
      }
      char* to = const_cast<char*>(element(a.target, a.bfloat16, token, c + x));
      if (a.bfloat16) {
        const std::uint16_t rounded = bfloat16_of(value);
        __builtin_memcpy(to, &rounded, 2);
      } else {
        __builtin_memcpy(to, &value, 4);
      }
    }
  }

  /// @tparam kPlain  whole vectors of channels side by side, nothing to add,
  /// one state
  template <bool kPlain, bool kBfloat16>
  static inline void finish_channels(const TileKernels::Finish& a, int first, int c, V factor, V other) {
    V tile[kWidth];
    const float* output = a.states[0]->output + static_cast<std::ptrdiff_t>(c) * kLanes + first;
#pragma GCC unroll 16
    for (int x = 0; x < kWidth; ++x) {
      if constexpr (kPlain) {
        tile[x] = Isa::multiply(Isa::load(output + x * kLanes), factor);
      } else {
        tile[x] = c + x < a.shape.width ? Isa::multiply(Isa::load(output + x * kLanes), factor) : Isa::zero();
        if (a.states[1] && c + x < a.shape.width) {
          const float* second = a.states[1]->output + static_cast<std::ptrdiff_t>(c + x) * kLanes + first;
          tile[x] = Isa::add(tile[x], Isa::multiply(Isa::load(second), other));
        }
      }
    }
    Isa::transpose(tile);
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if constexpr (!kPlain) {
        if (first + i < a.count && a.target.written(first + i)) write_row(a, first + i, c, tile[i]);
      } else if constexpr (kBfloat16) {
        Isa::store_bfloat16(static_cast<std::uint16_t*>(a.target.data) + (first + i) * a.target.token_stride + c, tile[i]);
      } else {
        Isa::store(static_cast<float*>(a.target.data) + (first + i) * a.target.token_stride + c, tile[i]);
      }
    }
  }

  static void finish(const TileKernels::Finish& a) {
    const bool plain = a.vector == nullptr && a.addend.data == nullptr && a.states[1] == nullptr &&
                       a.target.channel_stride == 1 && a.target.tokens == nullptr && a.shape.width >= kWidth;
    for (int first = 0; first < a.count; first += kWidth) {
      for (const TileState* state : a.states) {
        if (state) clear_unwritten(*state, a.shape.width, first, 1);
      }
      const V factor = Isa::load(a.factors[0] + first), other = a.states[1] ? Isa::load(a.factors[1] + first) : Isa::zero();
      const bool whole = first + kWidth <= a.count;
      if (plain && whole && a.bfloat16) {
        over_strides<kWidth>(a.shape.width, [&](int c) { finish_channels<true, true>(a, first, c, factor, other); });
      } else if (plain && whole) {
        over_strides<kWidth>(a.shape.width, [&](int c) { finish_channels<true, false>(a, first, c, factor, other); });
      } else if (a.addend.data != a.target.data) {
        over_strides<kWidth>(a.shape.width, [&](int c) { finish_channels<false, false>(a, first, c, factor, other); });
      } else {  // what was written must not be added again
        for (int c = 0; c < a.shape.width; c += kWidth) finish_channels<false, false>(a, first, c, factor, other);
      }
    }
  }

  static void clear_unwritten(const TileState& state, int width, int lane, int vectors) {
    for (int n = 0; n < vectors; ++n, lane += kWidth) {
      if (state.written >> lane & 1) continue;
      for (int c = 0; c < width; ++c) Isa::store(state.output + static_cast<std::ptrdiff_t>(c) * kLanes + lane, Isa::zero());
    }
  }
};

}  // namespace
}  // namespace ditscope::cpu
