#pragma once
#include <cstdint>

#include "kernels/block_mask.h"
#include "kernels/permutation.h"

namespace ditscope {

/// What a window does where it would reach over the edge of the grid.
enum class WindowEdge {
  Cut,      ///< it ends there: queries near the edge see fewer keys
  Shifted,  ///< it moves inwards: every query sees as many (neighbourhood attention, Hassani 2023, arXiv:2204.07143)
};

/// A box of keys around each query: those at most so many frames, rows and columns away.
struct GridWindow {
  std::int64_t frames = 0, rows = 0, columns = 0;
  WindowEdge edge = WindowEdge::Cut;
};

/// The mask of a 3-D window as spans: for every query an interval per line of its box, lines that meet joined. Tokens lie with
/// axes[0] running slowest and axes[2] fastest, text before or after them; text sees everything and is seen by everything.
/// Which pairs are kept does not depend on the order of the axes; how many blocks they fill does.
///
/// BlockMask(grid_window(...)) is ready to be walked; key-padding and block lists may be added before.
/// @throws Error{InvalidArgument} for a negative window or text, or a grid of more than 2^31 tokens
MaskDescription grid_window(const TokenGrid& grid, const GridWindow& window,
                            const AxisOrder& axes = {GridAxis::Frames, GridAxis::Rows, GridAxis::Columns},
                            std::int64_t text_tokens = 0, bool text_first = true);

}  // namespace ditscope
