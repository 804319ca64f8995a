#pragma once
#include <optional>
#include <string>
#include <utility>

#include "views/inspect/colour_map.h"
#include "views/inspect/plot_paint.h"

namespace ditscope::views {

/// Rows and columns of equal cells.
struct GridLayout {
  Rect area;
  int rows = 1, columns = 1;
  Rect cell(int row, int column) const;
  std::optional<std::pair<int, int>> pick(Point at) const;  ///< row, column
};

/// A table as pixels, one a cell; clear where nothing was measured, green where infinite. Null for a table without cells.
std::shared_ptr<const Bitmap> grid_bitmap(const ValueGrid& grid, const ColourMap& map, const ValueScale& scale, const ValueRange& range);
/// Heat of a table on the ground of the view.
void paint_grid(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const ValueGrid& grid, const ColourMap& map,
                const ValueScale& scale, const ValueRange& range);
/// A bar in each cell, as high as its value over `most`: kept, recall and time are bars, never a map.
void paint_grid_bars(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const ValueGrid& grid, double most, const Colour& colour);
/// Row numbers at the left, with a prefix ("L"); the cursor's in strong ink. @param every  0: as many as fit
void paint_row_numbers(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const std::string& prefix, int cursor);
void paint_column_numbers(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const std::string& prefix, int cursor, bool below);
/// The colours from left to right with the values of both ends, in about 14 units of height.
void paint_colour_bar(Canvas& canvas, const ViewContext& context, const Rect& area, const ColourMap& map, const ValueScale& scale,
                      const ValueRange& range, const std::string& name);

}  // namespace ditscope::views
