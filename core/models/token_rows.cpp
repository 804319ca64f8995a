#include "core/models/token_rows.h"

#include <cmath>
#include <cstring>

#include "core/bridge/vector_math.h"

// Each loop is written once, in an inline body, and compiled for every type of element and kind of processor.
#define DITSCOPE_INLINE inline __attribute__((always_inline))

namespace ditscope {
namespace {

constexpr std::int64_t kLanes = 16;  // partial sums that stay in registers

/// Halves onto halves: one after the other, sixteen additions would wait for each other.
DITSCOPE_INLINE float total(float* lanes) {
  for (std::int64_t i = 0; i < 8; ++i) lanes[i] += lanes[i + 8];
  for (std::int64_t i = 0; i < 4; ++i) lanes[i] += lanes[i + 4];
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

struct Moments {
  float mean, inverse_deviation;
};

/// In two passes, so that a large mean does not drown a small variance.
DITSCOPE_INLINE Moments moments(const float* __restrict x, std::int64_t width, float eps) {
  float lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes)
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j];
  for (; i < width; ++i) lanes[0] += x[i];
  const float mean = total(lanes) / static_cast<float>(width);
  float squares[kLanes] = {};
  for (i = 0; i + kLanes <= width; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) {
      const float d = x[i + j] - mean;
      squares[j] += d * d;
    }
  }
  for (; i < width; ++i) squares[0] += (x[i] - mean) * (x[i] - mean);
  return {mean, 1.0f / std::sqrt(total(squares) / static_cast<float>(width) + eps)};
}

template <typename Element>
DITSCOPE_INLINE void residual_norm_body(float* __restrict x, const Element* __restrict y, const float* __restrict gate,
                                        const RowNorm& norm, Element* __restrict out, std::int64_t rows, std::int64_t width) {
  const float *__restrict gain = norm.gain, *__restrict offset = norm.offset;
  for (std::int64_t row = 0; row < rows; ++row, x += width) {
    if (y) {
      for (std::int64_t i = 0; i < width; ++i) x[i] += gate[i] * load_element(y + i);
      y += width;
    }
    if (!out) continue;
    const Moments m = moments(x, width, norm.eps);
    for (std::int64_t i = 0; i < width; ++i) store_element(out + i, (x[i] - m.mean) * m.inverse_deviation * gain[i] + offset[i]);
    out += width;
  }
}

template <typename Element>
DITSCOPE_INLINE void norm_and_turn(const Element* __restrict in, const RowNorm& norm, const float* __restrict rotary,
                                   std::int64_t head_dim, Element* __restrict out) {
  float x[kWidestHead];
  for (std::int64_t i = 0; i < head_dim; ++i) x[i] = load_element(in + i);
  const Moments m = moments(x, head_dim, norm.eps);
  for (std::int64_t i = 0; i < head_dim; ++i) x[i] = (x[i] - m.mean) * m.inverse_deviation * norm.gain[i] + norm.offset[i];
  if (!rotary) {
    for (std::int64_t i = 0; i < head_dim; ++i) store_element(out + i, x[i]);
    return;
  }
  for (std::int64_t i = 0; i < head_dim / 2; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], cosine = rotary[2 * i], sine = rotary[2 * i + 1];
    store_element(out + 2 * i, a * cosine - b * sine);
    store_element(out + 2 * i + 1, a * sine + b * cosine);
  }
}

template <typename Element>
DITSCOPE_INLINE void split_heads_body(const Element* qkv, const HeadSplit& s, Element* q, Element* k, Element* v,
                                      std::int64_t rows) {
  const std::int64_t width = s.heads * s.head_dim;
  for (std::int64_t row = 0; row < rows; ++row, qkv += 3 * width) {
    const float* rotary = s.rotary ? s.rotary + row * s.head_dim : nullptr;
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const Element* in = qkv + h * s.head_dim;
      const std::int64_t at = h * s.head_stride + row * s.head_dim;
      norm_and_turn(in, s.query, rotary, s.head_dim, q + at);
      norm_and_turn(in + width, s.key, rotary, s.head_dim, k + at);
      std::memcpy(v + at, in + 2 * width, static_cast<std::size_t>(s.head_dim) * sizeof(Element));
    }
  }
}

}  // namespace

DITSCOPE_VECTOR_CLONES
void residual_norm(float* x, const float* y, const float* gate, const RowNorm& norm, float* out, std::int64_t rows,
                   std::int64_t width) {
  residual_norm_body(x, y, gate, norm, out, rows, width);
}

DITSCOPE_VECTOR_CLONES
void residual_norm(float* x, const std::uint16_t* y, const float* gate, const RowNorm& norm, std::uint16_t* out, std::int64_t rows,
                   std::int64_t width) {
  residual_norm_body(x, y, gate, norm, out, rows, width);
}

DITSCOPE_VECTOR_CLONES
void split_heads(const float* qkv, const HeadSplit& split, float* q, float* k, float* v, std::int64_t rows) {
  split_heads_body(qkv, split, q, k, v, rows);
}

DITSCOPE_VECTOR_CLONES
void split_heads(const std::uint16_t* qkv, const HeadSplit& split, std::uint16_t* q, std::uint16_t* k, std::uint16_t* v,
                 std::int64_t rows) {
  split_heads_body(qkv, split, q, k, v, rows);
}

}  // namespace ditscope
