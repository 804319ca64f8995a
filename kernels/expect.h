#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/block_mask.h"
#include "kernels/error.h"
#include "kernels/tensor_view.h"

// How kernels refuse arguments: each message says what was expected, what came and what to do.
namespace ditscope {

template <std::size_t kRank>
std::string shape_text(const std::array<std::int64_t, kRank>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < kRank; ++i) {
    if (i > 0) text += ',';
    text += std::to_string(shape[i]);
  }
  return text += ')';
}

inline void expect(bool good, const std::string& message) {
  if (!good) throw Error(ErrorKind::InvalidArgument, message);
}

/// A view without data passes where it is optional or holds nothing.
template <typename T, int kRank>
void expect_view(const char* name, const HostView<T, kRank>& view,
                 const std::type_identity_t<std::array<std::int64_t, kRank>>& shape, bool required) {
  if (view.data == nullptr) {
    const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    expect(!required || empty, std::string("expected ") + name + " of " + shape_text(shape) + ", got no data; give it memory");
  } else {
    expect(view.shape == shape, std::string("expected ") + name + " of " + shape_text(shape) + ", got " + shape_text(view.shape) +
                                    "; make them agree");
  }
}

inline void expect_head_width(std::int64_t width) {
  expect(width >= 1 && width <= 256, "expected a head width of 1 to 256, got " + std::to_string(width) + "; split the heads");
}

inline void expect_scale(float scale) {
  expect(std::isfinite(scale), "expected a finite scale, got " + std::to_string(scale) + "; check the caller");
}

inline void expect_block_mask(const BlockMask* mask, std::int64_t heads, std::int64_t queries, std::int64_t keys) {
  if (mask == nullptr) return;
  expect(mask->queries() == queries && mask->keys() == keys && (mask->heads() == 0 || mask->heads() == heads),
         "expected a mask of " + std::to_string(queries) + " x " + std::to_string(keys) + " tokens for " + std::to_string(heads) +
             " heads, got " + std::to_string(mask->queries()) + " x " + std::to_string(mask->keys()) + " for " +
             (mask->heads() == 0 ? "any" : std::to_string(mask->heads())) + "; make the mask for this call");
}

}  // namespace ditscope
