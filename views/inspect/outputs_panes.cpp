#include "views/inspect/outputs_panes.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "views/inspect/outputs_picking.h"
#include "views/inspect/plot_paint.h"

namespace ditscope::views {
namespace {

/// Over video the brush has one colour in both lights.
constexpr Rgb kBrush{0x2E / 255.0F, 0xE6 / 255.0F, 0xC5 / 255.0F};
constexpr Rgb kBlack{0.06F, 0.06F, 0.06F}, kWhite{1, 1, 1};

int byte_of(float value) { return std::isfinite(value) ? static_cast<int>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255)) : -1; }

std::string byte_text(float value) {
  if (std::isnan(value)) return "NaN";
  return std::isinf(value) ? "Inf" : std::to_string(byte_of(value));
}

}  // namespace

void paint_picture(Canvas& canvas, const Rect& pane, const Camera& camera, const std::shared_ptr<const Bitmap>& bitmap, double width, double height,
                   bool smooth, float alpha) {
  if (!bitmap || camera.scale <= 0) return;
  const Point corner = camera.to_view({0, 0}, pane);
  canvas.push_clip(pane);
  canvas.image(bitmap, {corner.x, corner.y, width * camera.scale, height * camera.scale}, {0, 0, double(bitmap->width), double(bitmap->height)}, smooth,
               alpha);
  canvas.pop_clip();
}

double paint_tag(Canvas& canvas, const ViewContext& context, const Rect& pane, int run, char letter, const std::string& name) {
  const double u = context.unit, side = 18 * u;
  const Rect badge{pane.x + 4 * u, pane.y + 4 * u, side, side};
  canvas.fill(badge, context.theme.run(run), 3 * u);
  TextStyle style = strong_style(context);
  style.colour = context.theme.colour("on_run");
  style.horizontal = style.vertical = Align::Middle;
  canvas.text({badge.x + side / 2, badge.y + side / 2}, std::string(1, letter), style);
  TextStyle words = label_style(context, "text");
  words.vertical = Align::Middle;
  const std::string shown = fit_text(canvas, name, words, pane.width - side - 20 * u);
  if (shown.empty() || pane.width <= 170 * u) return badge.right();
  return paint_plate(canvas, context, {badge.right() + 4 * u, badge.y + side / 2}, shown, words).right();
}

void paint_value(Canvas& canvas, const ViewContext& context, const Rect& pane, const std::string& text, double taken) {
  TextStyle style = number_style(context);
  style.size = 11;
  const double u = context.unit;
  // Below the names of the runs where it would lie over them.
  const bool below = pane.right() - canvas.text_width(text, style) - 16 * u < taken;
  paint_corner(canvas, context, {pane.x, pane.y + (below ? 22 * u : 0), pane.width, pane.height}, text, Align::End, Align::Begin);
}

void paint_corner(Canvas& canvas, const ViewContext& context, const Rect& pane, const std::string& text, Align horizontal, Align vertical) {
  TextStyle style = number_style(context);
  style.size = 11;
  style.horizontal = horizontal;
  style.vertical = vertical;
  const double pad = 4 * context.unit;
  const double x = horizontal == Align::Begin ? pane.x + pad : horizontal == Align::End ? pane.right() - pad : pane.x + pane.width / 2;
  const double y = vertical == Align::Begin ? pane.y + pad : vertical == Align::End ? pane.bottom() - pad : pane.y + pane.height / 2;
  paint_plate(canvas, context, {x, y}, fit_text(canvas, text, style, pane.width - 4 * pad), style);
}

void paint_token_box(Canvas& canvas, const ViewContext& context, const Rect& pane, const Camera& camera, const TokenPixels& pixels, bool of_this_frame,
                     bool crosshair) {
  const Point from = camera.to_view({pixels.area.x, pixels.area.y}, pane);
  const Rect box{from.x, from.y, pixels.area.width * camera.scale, pixels.area.height * camera.scale};
  const double u = context.unit;
  canvas.push_clip(pane);
  if (crosshair && of_this_frame) {
    const double x = box.x + box.width / 2, y = box.y + box.height / 2;
    for (const auto& [a, b] : {std::pair(Point{pane.x, y}, Point{box.x, y}), std::pair(Point{box.right(), y}, Point{pane.right(), y}),
                               std::pair(Point{x, pane.y}, Point{x, box.y}), std::pair(Point{x, box.bottom()}, Point{x, pane.bottom()})}) {
      canvas.line(a, b, Colour(kBrush, 0.6F), 1);
    }
  }
  const Dash dash = of_this_frame ? Dash::Solid : Dash::Dotted;
  canvas.outline({box.x - 1.5 * u, box.y - 1.5 * u, box.width + 3 * u, box.height + 3 * u}, Colour(kBlack, 0.9F), 1);
  canvas.outline(box, kBrush, 2, dash);
  canvas.pop_clip();
}

void paint_pixel_values(Canvas& canvas, const Rect& pane, const Rect& seen, const Camera& camera, int width, int height, const std::function<PixelLines(int, int)>& of) {
  const Point low = camera.to_image({seen.x, seen.y}, pane), high = camera.to_image({seen.right(), seen.bottom()}, pane);
  const int left = std::max(0, static_cast<int>(std::floor(low.x))), top = std::max(0, static_cast<int>(std::floor(low.y)));
  const int right = std::min(width - 1, static_cast<int>(std::floor(high.x))), bottom = std::min(height - 1, static_cast<int>(std::floor(high.y)));
  TextStyle style;
  style.face = Face::Numbers;
  style.size = 11;
  style.horizontal = style.vertical = Align::Middle;
  canvas.push_clip(seen);
  for (int y = top; y <= bottom; ++y) {
    for (int x = left; x <= right; ++x) {
      const PixelLines pixel = of(x, y);
      style.colour = pixel.bright ? kBlack : kWhite;
      // In the middle of what is seen of the pixel: it may be larger than the pane.
      const Point from = camera.to_view({double(x), double(y)}, pane), to = camera.to_view({x + 1.0, y + 1.0}, pane);
      const Point middle{(std::max(from.x, seen.x) + std::min(to.x, seen.right())) / 2, (std::max(from.y, seen.y) + std::min(to.y, seen.bottom())) / 2};
      if (std::min(to.x, seen.right()) - std::max(from.x, seen.x) < 24 * canvas.unit() || std::min(to.y, seen.bottom()) - std::max(from.y, seen.y) < 40 * canvas.unit()) continue;
      for (int c = 0; c < 3; ++c) canvas.text({middle.x, middle.y + (c - 1) * 14 * canvas.unit()}, pixel.lines[c], style);
    }
  }
  canvas.pop_clip();
}

PixelLines pixel_lines(const Frames& frames, int frame, int x, int y) {
  const float* rgb = frames.frame(frame) + std::size_t{3} * (static_cast<std::size_t>(y) * frames.width + x);
  return {{byte_text(rgb[0]), byte_text(rgb[1]), byte_text(rgb[2])}, 0.2126F * rgb[0] + 0.7152F * rgb[1] + 0.0722F * rgb[2] > 0.45F};
}

PixelLines pixel_lines(const Frames& first, int first_frame, const Frames& second, int second_frame, double share, int x, int y) {
  Frames mixed{1, 1, 1, 0, {}};
  const std::size_t at = std::size_t{3} * (static_cast<std::size_t>(y) * first.width + x);
  for (std::size_t c = 0; c < 3; ++c) {
    mixed.rgb.push_back(static_cast<float>((1 - share) * first.frame(first_frame)[at + c] + share * second.frame(second_frame)[at + c]));
  }
  return pixel_lines(mixed, 0, 0, 0);
}

Rect scope_area(const ViewContext& context, const Rect& pane) {
  const double u = context.unit, height = std::min(90 * u, pane.height * 0.4);
  return {pane.x + 6 * u, pane.bottom() - height - 6 * u, std::min(170 * u, pane.width * 0.55), height};
}

void paint_magnifier(Canvas& canvas, const ViewContext& context, const Rect& pane, const std::shared_ptr<const Bitmap>& bitmap, Point image,
                     double taken_px) {
  if (!bitmap) return;
  const double u = context.unit, side = std::min({112 * u, pane.width * 0.45, pane.height * 0.45});
  constexpr int kPixels = 14;
  // Above the scope where both do not fit side by side.
  const double foot = taken_px + side + 14 * u > pane.width ? scope_area(context, pane).y : pane.bottom();
  const Rect glass{pane.right() - side - 6 * u, std::max(foot - side - 6 * u, pane.y), side, side};
  const double x = std::floor(image.x) - kPixels / 2, y = std::floor(image.y) - kPixels / 2;
  canvas.fill({glass.x - 2 * u, glass.y - 2 * u, side + 4 * u, side + 4 * u}, kBlack, 3 * u);
  canvas.push_clip(glass);
  // The part of the patch that the picture has.
  const double from_x = std::max(x, 0.0), from_y = std::max(y, 0.0);
  const double to_x = std::min<double>(x + kPixels, bitmap->width), to_y = std::min<double>(y + kPixels, bitmap->height), scale = side / kPixels;
  if (to_x > from_x && to_y > from_y) {
    canvas.image(bitmap, {glass.x + (from_x - x) * scale, glass.y + (from_y - y) * scale, (to_x - from_x) * scale, (to_y - from_y) * scale},
                 {from_x, from_y, to_x - from_x, to_y - from_y});
  }
  const Rect here{glass.x + kPixels / 2 * scale, glass.y + kPixels / 2 * scale, scale, scale};
  canvas.outline(here, kBlack, 2);
  canvas.outline(here, kWhite, 1);
  canvas.pop_clip();
  canvas.outline(glass, kWhite, 1);
}

void paint_scope(Canvas& canvas, const ViewContext& context, const Rect& pane, const Frames& frames, int frame, const std::string& which,
                 const std::string& of) {
  const double u = context.unit;
  const Rect area = scope_area(context, pane);
  canvas.fill(area, Colour(kBlack, 0.8F), 3 * u);
  const Rect inner{area.x + 4 * u, area.y + 15 * u, area.width - 8 * u, area.height - 19 * u};
  TextStyle title;
  title.size = 11;
  title.colour = Colour(kWhite, 0.85F);
  canvas.text({inner.x, area.y + 2 * u}, fit_text(canvas, of + (which == "waveform" ? "luma 0-1, by column" : "R G B, 0-1"), title, inner.width), title);
  if (which == "waveform") {
    const auto bitmap = waveform_bitmap(frames, frame, kWhite);
    canvas.image(bitmap, inner, {0, 0, double(bitmap->width), double(bitmap->height)}, true);
    return;
  }
  const auto shares = channel_histograms(frames, frame);
  double most = 0;
  for (const auto& channel : shares) most = std::max(most, *std::max_element(channel.begin(), channel.end()));
  const Rgb inks[3] = {{1, 0.4F, 0.4F}, {0.4F, 1, 0.5F}, {0.5F, 0.65F, 1}};
  for (int c = 0; c < 3; ++c) {
    std::vector<Point> points;
    for (std::size_t i = 0; i < shares[c].size(); ++i) {
      // Root: a background of one colour would flatten everything else.
      const double height = most > 0 ? std::sqrt(shares[c][i] / most) : 0;
      points.push_back({inner.x + (static_cast<double>(i) + 0.5) / static_cast<double>(shares[c].size()) * inner.width, inner.bottom() - height * inner.height});
    }
    canvas.polyline(points, inks[c], 1.5);
  }
}

std::string pixel_text(const Frames& frames, int frame, Point image) {
  const double x = std::floor(image.x), y = std::floor(image.y);
  if (!(x >= 0 && y >= 0 && x < frames.width && y < frames.height)) return {};
  const float* rgb = frames.frame(frame) + 3 * (static_cast<std::size_t>(y) * frames.width + static_cast<std::size_t>(x));
  std::string text;
  for (int c = 0; c < 3; ++c) {
    const std::string value = byte_text(rgb[c]);
    text += (c ? " " : "") + std::string(3 - std::min<std::size_t>(3, value.size()), ' ') + value;
  }
  return text;
}

}  // namespace ditscope::views
