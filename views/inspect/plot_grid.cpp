#include "views/inspect/plot_grid.h"

#include <algorithm>
#include <cmath>

#include "views/inspect/plot_bitmap.h"

namespace ditscope::views {
namespace {

void put(std::uint8_t* pixel, Rgb colour) {
  const float channels[3] = {colour.r, colour.g, colour.b};
  for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(std::lround(std::clamp(channels[c], 0.0F, 1.0F) * 255));
  pixel[3] = 255;
}

/// Every how many cells a number fits.
int stride_of(double cell, double room) {
  for (const int every : {1, 2, 5, 10, 20, 50, 100, 200}) {
    if (cell * every >= room) return every;
  }
  return 500;
}

}  // namespace

Rect GridLayout::cell(int row, int column) const {
  const double width = area.width / std::max(columns, 1), height = area.height / std::max(rows, 1);
  return {area.x + column * width, area.y + row * height, width, height};
}

std::optional<std::pair<int, int>> GridLayout::pick(Point at) const {
  if (!area.contains(at) || rows < 1 || columns < 1) return std::nullopt;
  return std::pair(std::min(rows - 1, static_cast<int>((at.y - area.y) / area.height * rows)),
                   std::min(columns - 1, static_cast<int>((at.x - area.x) / area.width * columns)));
}

std::shared_ptr<const Bitmap> grid_bitmap(const ValueGrid& grid, const ColourMap& map, const ValueScale& scale, const ValueRange& range) {
  if (grid.rows < 1 || grid.columns < 1) return nullptr;
  std::vector<std::uint8_t> pixels(std::size_t{4} * grid.rows * grid.columns, 0);
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    if (!std::isnan(grid.values[i])) put(pixels.data() + 4 * i, map.of(grid.values[i], scale, range));
  }
  return kept_bitmap(grid.columns, grid.rows, std::move(pixels));
}

void paint_grid(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const ValueGrid& grid, const ColourMap& map,
                const ValueScale& scale, const ValueRange& range) {
  canvas.fill(layout.area, context.theme.colour("view"));
  const auto bitmap = grid_bitmap(grid, map, scale, range);
  if (bitmap) canvas.image(bitmap, layout.area, {0, 0, double(grid.columns), double(grid.rows)});
}

void paint_grid_bars(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const ValueGrid& grid, double most, const Colour& colour) {
  canvas.fill(layout.area, context.theme.colour("view"));
  for (int row = 0; row < grid.rows; ++row) {
    for (int column = 0; column < grid.columns; ++column) {
      const double value = grid.at(row, column);
      if (std::isnan(value)) continue;
      const Rect cell = layout.cell(row, column);
      const double gap = std::min(1.5 * context.unit, cell.width * 0.15), full = cell.height - std::min(2 * context.unit, cell.height * 0.15);
      const double share = std::isinf(value) ? 1 : most > 0 ? std::clamp(value / most, 0.0, 1.0) : 0;
      canvas.fill({cell.x + gap, cell.bottom() - share * full, cell.width - 2 * gap, share * full}, std::isinf(value) ? inf_colour() : colour);
    }
  }
}

void paint_row_numbers(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const std::string& prefix, int cursor) {
  TextStyle style = tick_style(context);
  style.horizontal = Align::End;
  style.vertical = Align::Middle;
  const double height = layout.area.height / std::max(layout.rows, 1);
  const int every = stride_of(height, 13 * context.unit);
  for (int row = 0; row < layout.rows; ++row) {
    const bool here = row == cursor;
    if (!here && (row % every != 0 || (cursor >= 0 && std::abs(row - cursor) * height < 13 * context.unit))) continue;
    style.colour = context.theme.colour(here ? "text" : "text3");
    canvas.text({layout.area.x - 5 * context.unit, layout.cell(row, 0).y + height / 2}, prefix + std::to_string(row), style);
  }
}

void paint_column_numbers(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const std::string& prefix, int cursor, bool below) {
  TextStyle style = tick_style(context);
  style.horizontal = Align::Middle;
  style.vertical = below ? Align::Begin : Align::End;
  const double width = layout.area.width / std::max(layout.columns, 1);
  const double room = canvas.text_width(prefix + std::to_string(layout.columns), style) + 8 * context.unit;
  const int every = stride_of(width, room);
  const double y = below ? layout.area.bottom() + 3 * context.unit : layout.area.y - 3 * context.unit;
  for (int column = 0; column < layout.columns; ++column) {
    const bool here = column == cursor;
    if (!here && (column % every != 0 || (cursor >= 0 && std::abs(column - cursor) * width < room))) continue;
    style.colour = context.theme.colour(here ? "text" : "text3");
    canvas.text({layout.cell(0, column).x + width / 2, y}, prefix + std::to_string(column), style);
  }
}

void paint_colour_bar(Canvas& canvas, const ViewContext& context, const Rect& area, const ColourMap& map, const ValueScale& scale,
                      const ValueRange& range, const std::string& name) {
  std::vector<std::uint8_t> pixels(4 * 256);
  for (int i = 0; i < 256; ++i) put(pixels.data() + 4 * i, map.at(i / 255.0));
  TextStyle style = tick_style(context);
  style.vertical = Align::Middle;
  TextStyle words = label_style(context);
  words.size = 11;
  words.vertical = Align::Middle;
  const double u = context.unit, middle = area.y + area.height / 2;
  const std::string low = plot_number(scale.to_value(range.black)), high = plot_number(scale.to_value(range.white));
  const double ends = canvas.text_width(low, style) + canvas.text_width(high, style) + 12 * u;
  const std::string title = fit_text(canvas, name, words, std::max(0.0, area.width - ends - 60 * u));
  canvas.text({area.x, middle}, title, words);
  const double from = area.x + (title.empty() ? 0 : canvas.text_width(title, words) + 10 * u) + canvas.text_width(low, style) + 5 * u;
  const double width = std::min(area.right() - canvas.text_width(high, style) - 6 * u - from, 220 * u);
  if (width < 16 * u) return;
  style.horizontal = Align::End;
  canvas.text({from - 5 * u, middle}, low, style);
  canvas.image(kept_bitmap(256, 1, std::move(pixels)), {from, middle - 4 * u, width, 8 * u}, {0, 0, 256, 1}, true);
  style.horizontal = Align::Begin;
  canvas.text({from + width + 5 * u, middle}, high, style);
}

}  // namespace ditscope::views
