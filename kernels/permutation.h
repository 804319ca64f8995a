#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Visual tokens of a clip: frames x rows x columns, in raster order (columns run fastest) unless permuted.
struct TokenGrid {
  std::int64_t frames = 1, rows = 1, columns = 1;
  std::int64_t tokens() const { return frames * rows * columns; }
};

/// Place p of the new order holds token permutation[p] of the old one. All makers below start from raster order.
using Permutation = std::vector<std::int32_t>;

enum class GridAxis { Frames, Rows, Columns };
using AxisOrder = std::array<GridAxis, 3>;

/// Tokens with axes[0] running slowest and axes[2] fastest: the six transposes of PAROAttention (arXiv:2506.16054, sec. 3.2).
Permutation axis_order(const TokenGrid& grid, const AxisOrder& axes);
/// Rows, columns, frames: all frames of a site side by side. A window repeated in every frame becomes one band
/// (Sparse VideoGen's temporal heads, arXiv:2502.01776, sec. 4.2).
Permutation position_major_order(const TokenGrid& grid);

/// What becomes of tokens that do not fill a tile.
enum class Remainder {
  SmallTiles,  ///< they form smaller tiles where they stand
  Last,        ///< they follow after all whole tiles, in raster order
};
struct TiledOrder {
  Permutation permutation;
  std::vector<std::int64_t> block_offsets;  ///< tile i is places block_offsets[i] .. block_offsets[i+1]-1; the remainder is one
};
/// Tiles of frames x rows x columns tokens one after another, raster order of tiles and inside them (Sliding Tile Attention,
/// arXiv:2502.04507; DraftAttention, arXiv:2505.14708: (1,8,16); RainFusion 2: (2,8,8) with the remainder last).
TiledOrder tile_order(const TokenGrid& grid, const TokenGrid& tile, Remainder remainder = Remainder::SmallTiles);

/// A generalised Hilbert curve through the whole grid, whatever its sizes ("Gilbert"; on a square of 2^n it is Hilbert's):
/// places next to each other are grid neighbours, but for single diagonal steps where a size is odd. axes[0] is the direction
/// that the curve crosses once.
/// @see Cerveny, https://github.com/jakubcerveny/gilbert (the algorithm); Rectified SpaAttn, arXiv:2511.19835, runs it on
/// (columns, rows, frames)
Permutation hilbert_order(const TokenGrid& grid, const AxisOrder& axes = {GridAxis::Columns, GridAxis::Rows, GridAxis::Frames});

/// @throws Error{InvalidArgument} if `permutation` is none
Permutation inverse(const Permutation& permutation);
/// The order that `first` and then `second` make.
Permutation compose(const Permutation& first, const Permutation& second);
/// The same for a sequence with text tokens before or after, which stay in place.
Permutation beside_text(const Permutation& visual, std::int64_t text_tokens, bool text_first);

/// out[h, p] = in[h, source[h, p]]: one order a head, or one for all with a stride of 0. `in` and `out` must not overlap.
/// Tokens may be left out or repeated. @throws Error{InvalidArgument} naming what disagrees; nothing is written then
template <typename Element>
void gather_tokens(const HostView<const Element, 3>& in, const HostView<const std::int32_t, 2>& source,
                   const HostView<Element, 3>& out, const Workers& workers = {});
/// out[h, source[h, p]] = in[h, p]: undoes gather_tokens with the same permutation.
template <typename Element>
void scatter_tokens(const HostView<const Element, 3>& in, const HostView<const std::int32_t, 2>& source,
                    const HostView<Element, 3>& out, const Workers& workers = {});

/// One permutation for `heads` heads, as gather_tokens takes it; the permutation must outlive the view.
inline HostView<const std::int32_t, 2> shared_by_heads(const Permutation& permutation, std::int64_t heads) {
  return {permutation.data(), {heads, static_cast<std::int64_t>(permutation.size())}, {0, 1}};
}

}  // namespace ditscope
