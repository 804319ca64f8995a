#include "views/inspect/outputs_picking.h"

#include <algorithm>
#include <cmath>

#include "views/inspect/plot_bitmap.h"

namespace ditscope::views {
namespace {

constexpr int kLevels = 64;

int level_of(float value) { return std::isfinite(value) ? std::clamp(static_cast<int>(value * kLevels), 0, kLevels - 1) : -1; }

}  // namespace

bool inside_outline(const std::vector<Point>& outline, Point at) {
  bool inside = false;
  for (std::size_t i = 0, j = outline.size() - 1; i < outline.size(); j = i++) {
    const Point &a = outline[i], &b = outline[j];
    if ((a.y > at.y) != (b.y > at.y) && at.x < (b.x - a.x) * (at.y - a.y) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside;
}

std::vector<std::int64_t> lasso_tokens(const TokenGeometry& geometry, int video_frame, const std::vector<Point>& outline) {
  std::vector<std::int64_t> tokens;
  if (outline.size() < 3) return tokens;
  const int frame = geometry.frames() == 1 ? 0 : geometry.grid_frame(video_frame);
  for (int row = 0; row < geometry.rows(); ++row) {
    for (int column = 0; column < geometry.columns(); ++column) {
      const std::int64_t token = geometry.token(frame, row, column);
      const Rect area = geometry.pixels(token).area;
      if (inside_outline(outline, {area.x + area.width / 2, area.y + area.height / 2})) tokens.push_back(token);
    }
  }
  return tokens;
}

std::shared_ptr<const Bitmap> waveform_bitmap(const Frames& frames, int frame, Rgb ink) {
  const int width = frames.width;
  std::vector<int> counts(static_cast<std::size_t>(width) * kLevels, 0);
  for (int y = 0; y < frames.height; ++y) {
    const float* row = frames.frame(frame) + std::size_t{3} * y * width;
    for (int x = 0; x < width; ++x) {
      const int level = level_of(0.2126F * row[3 * x] + 0.7152F * row[3 * x + 1] + 0.0722F * row[3 * x + 2]);
      if (level >= 0) ++counts[static_cast<std::size_t>(kLevels - 1 - level) * width + x];
    }
  }
  std::vector<std::uint8_t> rgba(4 * counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    rgba[4 * i] = static_cast<std::uint8_t>(ink.r * 255);
    rgba[4 * i + 1] = static_cast<std::uint8_t>(ink.g * 255);
    rgba[4 * i + 2] = static_cast<std::uint8_t>(ink.b * 255);
    // A twelfth of the column in one level is opaque; one pixel shows.
    const double share = static_cast<double>(counts[i]) / frames.height;
    rgba[4 * i + 3] = counts[i] == 0 ? 0 : static_cast<std::uint8_t>(std::clamp(60 + share * 12 * 195, 0.0, 255.0));
  }
  return kept_bitmap(width, kLevels, std::move(rgba));
}

std::vector<std::vector<double>> channel_histograms(const Frames& frames, int frame) {
  std::vector<std::vector<double>> shares(3, std::vector<double>(kLevels, 0));
  const std::size_t pixels = static_cast<std::size_t>(frames.width) * frames.height;
  for (std::size_t i = 0; i < pixels; ++i) {
    for (int c = 0; c < 3; ++c) {
      const int level = level_of(frames.frame(frame)[3 * i + c]);
      if (level >= 0) shares[c][level] += 1.0 / static_cast<double>(pixels);
    }
  }
  return shares;
}

std::vector<Rect> tile_panes(const Rect& area, int count, double picture_ratio, double gap) {
  int best = 1;
  double largest = -1;
  for (int columns = count; columns >= 1; --columns) {
    const int rows = (count + columns - 1) / columns;
    const double width = (area.width - gap * (columns - 1)) / columns, height = (area.height - gap * (rows - 1)) / rows;
    const double picture = std::min(width, height * picture_ratio);
    if (picture > 1.25 * largest) {
      largest = picture;
      best = columns;
    }
  }
  const int rows = (count + best - 1) / std::max(best, 1);
  const double width = std::max(1.0, (area.width - gap * (best - 1)) / best), height = std::max(1.0, (area.height - gap * (rows - 1)) / std::max(rows, 1));
  std::vector<Rect> panes;
  for (int i = 0; i < count; ++i) panes.push_back({area.x + (i % best) * (width + gap), area.y + (i / best) * (height + gap), width, height});
  return panes;
}

}  // namespace ditscope::views
