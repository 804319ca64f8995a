#include <cstring>

#include "kernels/cpu/attention_tile.h"
#include "kernels/expect.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

template <typename Element>
void copy_token(const Element* from, std::int64_t from_stride, Element* to, std::int64_t to_stride, std::int64_t width) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, sizeof(Element) * static_cast<std::size_t>(width));
  } else {
    for (std::int64_t c = 0; c < width; ++c) to[c * to_stride] = from[c * from_stride];
  }
}

/// Source numbers lie below `tokens`.
void expect_sources(const HostView<const std::int32_t, 2>& source, std::int64_t tokens) {
  const std::int64_t heads = source.stride[0] == 0 ? std::min<std::int64_t>(source.shape[0], 1) : source.shape[0];
  for (std::int64_t h = 0; h < heads; ++h)
    for (std::int64_t p = 0; p < source.shape[1]; ++p) {
      const std::int32_t token = source.data[h * source.stride[0] + p * source.stride[1]];
      expect(token >= 0 && token < tokens, "expected token numbers 0.." + std::to_string(tokens - 1) + ", got " +
                                               std::to_string(token) + "; make the order for this sequence");
    }
}

/// Calls body(head, first place, last place) for pieces of a sequence.
template <typename Body>
void for_pieces(std::int64_t heads, std::int64_t places, const Workers& workers, const Body& body) {
  constexpr std::int64_t kPiece = 256;
  const std::int64_t pieces = cpu::blocks_of(places, kPiece);
  cpu::parallel_for(workers, heads * pieces, [&](std::int64_t i) {
    const std::int64_t first = i % pieces * kPiece;
    body(i / pieces, first, std::min(first + kPiece, places));
  });
}

}  // namespace

template <typename Element>
void gather_tokens(const HostView<const Element, 3>& in, const HostView<const std::int32_t, 2>& source,
                   const HostView<Element, 3>& out, const Workers& workers) {
  const std::int64_t heads = in.shape[0], width = in.shape[2], places = source.shape[1];
  expect_view("in", in, in.shape, true);
  expect_view("source", source, {heads, places}, true);
  expect_view("out", out, {heads, places, width}, true);
  expect_sources(source, in.shape[1]);
  for_pieces(heads, places, workers, [&](std::int64_t h, std::int64_t first, std::int64_t last) {
    for (std::int64_t p = first; p < last; ++p) {
      const std::int64_t token = source.data[h * source.stride[0] + p * source.stride[1]];
      copy_token(in.data + h * in.stride[0] + token * in.stride[1], in.stride[2],
                 out.data + h * out.stride[0] + p * out.stride[1], out.stride[2], width);
    }
  });
}

template <typename Element>
void scatter_tokens(const HostView<const Element, 3>& in, const HostView<const std::int32_t, 2>& source,
                    const HostView<Element, 3>& out, const Workers& workers) {
  const std::int64_t heads = in.shape[0], width = in.shape[2], places = source.shape[1];
  expect_view("in", in, {heads, places, width}, true);
  expect_view("source", source, {heads, places}, true);
  expect_view("out", out, {heads, out.shape[1], width}, true);
  expect_sources(source, out.shape[1]);
  for_pieces(heads, places, workers, [&](std::int64_t h, std::int64_t first, std::int64_t last) {
    for (std::int64_t p = first; p < last; ++p) {
      const std::int64_t token = source.data[h * source.stride[0] + p * source.stride[1]];
      copy_token(in.data + h * in.stride[0] + p * in.stride[1], in.stride[2],
                 out.data + h * out.stride[0] + token * out.stride[1], out.stride[2], width);
    }
  });
}

template void gather_tokens(const HostView<const float, 3>&, const HostView<const std::int32_t, 2>&, const HostView<float, 3>&,
                            const Workers&);
template void gather_tokens(const HostView<const Bfloat16Bits, 3>&, const HostView<const std::int32_t, 2>&,
                            const HostView<Bfloat16Bits, 3>&, const Workers&);
template void scatter_tokens(const HostView<const float, 3>&, const HostView<const std::int32_t, 2>&, const HostView<float, 3>&,
                             const Workers&);
template void scatter_tokens(const HostView<const Bfloat16Bits, 3>&, const HostView<const std::int32_t, 2>&,
                             const HostView<Bfloat16Bits, 3>&, const Workers&);

}  // namespace ditscope
