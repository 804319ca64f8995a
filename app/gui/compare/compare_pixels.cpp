#include "app/gui/compare/compare_pixels.h"

#include <QPainter>
#include <algorithm>
#include <array>
#include <cmath>

#include "app/gui/style/style.h"

namespace ditscope::gui {
namespace {

using Sample = std::array<double, 3>;
using Content = views::Pane::Content;

/// Single pixels are squares from this many device px on, as in the shader.
constexpr double kSquares_px = 4;

Sample pixel(const Frames& clip, int frame, int x, int y) {
  const float* rgb = clip.frame(frame) + 3 * (static_cast<std::size_t>(std::clamp(y, 0, clip.height - 1)) * clip.width + std::clamp(x, 0, clip.width - 1));
  return {rgb[0], rgb[1], rgb[2]};
}

Sample between(const Frames& clip, int frame, double x, double y) {
  const double left = std::floor(x - 0.5), top = std::floor(y - 0.5), u = x - 0.5 - left, v = y - 0.5 - top;
  const int i = static_cast<int>(left), j = static_cast<int>(top);
  const Sample a = pixel(clip, frame, i, j), b = pixel(clip, frame, i + 1, j), c = pixel(clip, frame, i, j + 1), d = pixel(clip, frame, i + 1, j + 1);
  Sample mixed;
  for (std::size_t n = 0; n < 3; ++n) mixed[n] = (a[n] * (1 - u) + b[n] * u) * (1 - v) + (c[n] * (1 - u) + d[n] * u) * v;
  return mixed;
}

/// What a clip shows at a point of the image; the mean of a few places where many of its pixels fall on one of the screen.
Sample look(const views::CompareOverlay::Run& run, views::Point at, double device_scale) {
  if (device_scale >= kSquares_px) return pixel(*run.frames, run.frame, static_cast<int>(at.x), static_cast<int>(at.y));
  const int side = std::clamp(static_cast<int>(std::ceil(1 / device_scale)), 1, 4);
  Sample sum{};
  for (int j = 0; j < side; ++j) {
    for (int i = 0; i < side; ++i) {
      const double dx = ((i + 0.5) / side - 0.5) / device_scale, dy = ((j + 0.5) / side - 0.5) / device_scale;
      const Sample one = between(*run.frames, run.frame, at.x + dx, at.y + dy);
      for (std::size_t n = 0; n < 3; ++n) sum[n] += one[n] / (side * side);
    }
  }
  return sum;
}

Sample difference(const views::CompareState& state, const Sample& a, const Sample& b, double range, const views::Theme& theme) {
  if (state.difference != views::DifferenceMode::Signed) {
    Sample size;
    for (std::size_t n = 0; n < 3; ++n) size[n] = views::difference_value(state.difference, a[n], b[n], range);
    return size;
  }
  const double mean = views::difference_value(state.difference, (a[0] + a[1] + a[2]) / 3, (b[0] + b[1] + b[2]) / 3, range);
  const views::Rgb zero = theme.colour("zero"), end = theme.colour(mean < 0 ? "negative" : "positive");
  const double share = std::fabs(mean);
  return {zero.r + (end.r - zero.r) * share, zero.g + (end.g - zero.g) * share, zero.b + (end.b - zero.b) * share};
}

QRgb packed(const Sample& colour) {
  const auto byte = [](double value) { return static_cast<int>(std::lround(std::clamp(value, 0.0, 1.0) * 255)); };
  return qRgb(byte(colour[0]), byte(colour[1]), byte(colour[2]));
}

void draw_pane(QImage& image, double ratio, const views::CompareState& state, const views::Pane& pane, const views::Camera& camera,
               const views::CompareOverlay& overlay) {
  const views::Theme& theme = Style::current().theme();
  const views::Rgb ground = theme.colour("view");
  const QRgb background = packed({ground.r, ground.g, ground.b});
  const double range = views::difference_range(state, overlay.p99);
  const auto edge = [&](double value, int most) { return std::clamp(static_cast<int>(std::lround(value * ratio)), 0, most); };
  const int right = edge(pane.rect.right(), image.width()), bottom = edge(pane.rect.bottom(), image.height());
  for (int y = edge(pane.rect.y, image.height()); y < bottom; ++y) {
    auto* row = reinterpret_cast<QRgb*>(image.scanLine(y));
    for (int x = edge(pane.rect.x, image.width()); x < right; ++x) {
      const views::Point view{(x + 0.5) / ratio, (y + 0.5) / ratio};
      const bool second = pane.content == Content::Second || (pane.content == Content::Wipe && views::wipe_at(pane, view) >= state.wipe);
      const auto& shown = second ? overlay.second : overlay.first;
      const bool differs = pane.content == Content::Difference;
      row[x] = background;
      if (!shown.frames || (differs && !overlay.second.frames)) continue;
      const views::Point at = camera.to_image(view, pane.rect);
      if (at.x < 0 || at.y < 0 || at.x >= shown.frames->width || at.y >= shown.frames->height) continue;
      const Sample sample = look(shown, at, camera.scale * ratio);
      row[x] = packed(differs ? difference(state, sample, look(overlay.second, at, camera.scale * ratio), range, theme) : sample);
    }
  }
}

void draw_tag(QPainter& painter, const views::Pane& pane, const views::CompareOverlay::Run& run, bool at_right) {
  const Style& style = Style::current();
  painter.setFont(style.words(12));
  const QString text = QString("%1  %2  %3").arg(QChar(run.letter)).arg(QString::fromStdString(run.name), QString::fromStdString(run.seconds));
  const int width = std::min(painter.fontMetrics().horizontalAdvance(text) + style.px(16), static_cast<int>(pane.rect.width));
  const QRectF box(at_right ? pane.rect.right() - width : pane.rect.x, pane.rect.y, width, style.px(24));
  QColor ground = style.colour("view");
  ground.setAlphaF(0.86F);
  painter.fillRect(box, ground);
  painter.setPen(style.run_colour(run.index));
  painter.drawText(box, Qt::AlignCenter, painter.fontMetrics().elidedText(text, Qt::ElideRight, width - style.px(8)));
}

void draw_wipe(QPainter& painter, const views::Pane& pane, double wipe) {
  const views::Rect& r = pane.rect;
  const QLineF line = pane.horizontal ? QLineF(r.x, r.y + wipe * r.height, r.right(), r.y + wipe * r.height)
                                      : QLineF(r.x + wipe * r.width, r.y, r.x + wipe * r.width, r.bottom());
  for (const auto& [colour, width] : {std::pair(QColor(16, 16, 16), 4.0), std::pair(QColor(255, 255, 255), 2.0)}) {
    painter.setPen(QPen(colour, width));
    painter.drawLine(line);
  }
}

}  // namespace

QImage draw_compare_pixels(QSize size_px, double ratio, const views::CompareState& state, const std::vector<views::Pane>& panes,
                           const views::Camera& camera, const views::CompareOverlay& overlay) {
  const Style& style = Style::current();
  QImage image(size_px * ratio, QImage::Format_RGB32);
  image.fill(style.colour("window"));
  for (const views::Pane& pane : panes) draw_pane(image, ratio, state, pane, camera, overlay);
  image.setDevicePixelRatio(ratio);
  QPainter painter(&image);
  painter.setRenderHint(QPainter::Antialiasing);
  for (const views::Pane& pane : panes) {
    if (!overlay.first.frames && !overlay.second.frames) break;
    if (pane.content == Content::Wipe) {
      draw_wipe(painter, pane, state.wipe);
      draw_tag(painter, pane, overlay.first, false);
      draw_tag(painter, pane, overlay.second, true);
    } else if (pane.content == Content::Difference) {
      painter.setFont(style.numbers(12));
      painter.setPen(style.colour("text"));
      const QRectF box(pane.rect.x + style.px(8), pane.rect.y, pane.rect.width - style.px(16), pane.rect.height - style.px(8));
      painter.drawText(box, Qt::AlignLeft | Qt::AlignBottom,
                       QString::fromStdString(views::difference_legend(state, overlay.p99, overlay.first.letter, overlay.second.letter)));
    } else {
      draw_tag(painter, pane, pane.content == Content::Second || overlay.flickering ? overlay.second : overlay.first, false);
    }
  }
  if (overlay.focused) {
    painter.setPen(QPen(style.colour("accent"), 2));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(QRectF(QPointF(1, 1), QSizeF(size_px) - QSizeF(2, 2)));
  }
  return image;
}

}  // namespace ditscope::gui
