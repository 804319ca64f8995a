#pragma once
#include <cstdint>

/// Loops over the channels of tokens: what a transformer does between its matrix products. Sums in float32; an Element is a float
/// or the bits of a bfloat16.
namespace ditscope {

constexpr std::int64_t kWidestHead = 512;  ///< channels of one head that split_heads can take

/// A layer norm whose gain and offset say everything that follows it: (x - mean) / sqrt(variance + eps) * gain + offset.
struct RowNorm {
  const float* gain = nullptr;    // (C)
  const float* offset = nullptr;  // (C)
  float eps = 1e-5f;
};

/// x += gate * y, then out = norm(x), row by row. A null `y` adds nothing, a null `out` norms nothing.
///
/// @param x  (rows,C)     @param y, out  (rows,C)     @param gate  (C)
void residual_norm(float* x, const float* y, const float* gate, const RowNorm& norm, float* out, std::int64_t rows,
                   std::int64_t width);
void residual_norm(float* x, const std::uint16_t* y, const float* gate, const RowNorm& norm, std::uint16_t* out, std::int64_t rows,
                   std::int64_t width);

/// The queries, keys and values of some tokens, normed and turned by their positions, head by head.
struct HeadSplit {
  std::int64_t heads = 0, head_dim = 0;  ///< head_dim even, at most kWidestHead
  std::int64_t head_stride = 0;          ///< values between the same token of two heads in q, k and v
  RowNorm query, key;
  const float* rotary = nullptr;  // (rows,D/2) pairs of cosine and sine; null: positions turn nothing
};
/// @param qkv  (rows,3*H*D)     @param q, k, v  where the first of the rows goes in head 0
void split_heads(const float* qkv, const HeadSplit& split, float* q, float* k, float* v, std::int64_t rows);
void split_heads(const std::uint16_t* qkv, const HeadSplit& split, std::uint16_t* q, std::uint16_t* k, std::uint16_t* v,
                 std::int64_t rows);

}  // namespace ditscope
