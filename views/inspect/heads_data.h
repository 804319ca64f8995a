#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "views/inspect/map_data.h"
#include "views/inspect/view.h"

namespace ditscope::views {

/// A quantity of all layers and heads at one step and branch.
struct HeadTable {
  int layers = 0, heads = 0;
  std::vector<double> values;  // (L,H), NaN: not measured
  double at(int layer, int head) const { return values[static_cast<std::size_t>(layer) * heads + head]; }
  double mean_of_layer(int layer) const;  ///< of what is measured; NaN: nothing
};
HeadTable head_table(const std::vector<CaptureReader::HeadValue>& values, int layers, int heads, int step, int branch);

/// Cells of a grid of rows x columns in an area: as large as they go, at most `most` px, square.
struct CellLayout {
  int rows = 0, columns = 0;
  double x = 0, y = 0, cell = 0, gap = 0;  ///< pitch is `cell` (gap included)
  Rect rect(int row, int column) const { return {x + column * cell, y + row * cell, cell - gap, cell - gap}; }
  /// Row-major number of the cell under a point; -1: none.
  int pick(Point at) const;
};
CellLayout cell_layout(const Rect& area, int rows, int columns, double most, double unit);

/// Order of L x H cells by a quantity, highest or lowest first, what is not measured last; ties by layer, then head.
std::vector<int> sorted_cells(const std::vector<double>& values, bool lowest_first = false);

/// Thumbnails of the heads of one layer, (H, n, n), each the map or the mask by n x n equal parts of the tokens.
struct Thumbnails {
  int side = 0;
  std::vector<float> values;
};
inline constexpr int kThumbnail = 32;
Thumbnails map_thumbnails(const std::vector<std::int64_t>& edges, const std::vector<float>& shares, int heads, int side);
Datum<Thumbnails> layer_thumbnails(Inspection& inspection, const InspectCursor& at, bool masks);

/// Share of a token's softmax that the mask of each head of a layer keeps, from its map: (H), 1 where attention is full.
Datum<std::vector<double>> layer_row_recall(Inspection& inspection, const InspectCursor& at, std::int64_t token);

/// One picture of all thumbnails, `columns` of them side by side; thumbnail i of layer l and head h is l * heads + h.
struct Atlas {
  std::shared_ptr<const Bitmap> bitmap;
  int columns = 1, side = 1;
  Rect source(int index) const { return {double(index % columns) * side, double(index / columns) * side, double(side), double(side)}; }
};

}  // namespace ditscope::views
