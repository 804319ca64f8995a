#pragma once
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/canvas.h"

namespace ditscope::views {

/// Keeps what is drawn instead of drawing it. Each letter is half its size wide.
class RecordingCanvas final : public Canvas {
 public:
  struct Shape {
    Rect rect;
    Colour colour;
  };
  struct Line {
    std::vector<Point> points;
    Colour colour;
    Dash dash = Dash::Solid;
  };
  struct Text {
    Point at;
    std::string text;
    TextStyle style;
  };
  struct Image {
    std::shared_ptr<const Bitmap> bitmap;
    Rect target, source;
    bool smooth = false;
    float alpha = 1;
  };
  std::vector<Shape> fills, outlines;
  std::vector<Line> lines, polylines;
  std::vector<std::pair<std::vector<Point>, std::vector<Point>>> bands;
  std::vector<Text> texts;
  std::vector<Image> images;
  std::vector<Point> circles;
  std::vector<std::vector<Point>> triangles;
  int clips = 0;  ///< open ones

  bool has_text(const std::string& part) const {
    for (const Text& each : texts) {
      if (each.text.find(part) != std::string::npos) return true;
    }
    return false;
  }

  /// The colour that images alone give a point: of the last one over it.
  std::optional<Rgb> image_at(Point at) const {
    for (auto each = images.rbegin(); each != images.rend(); ++each) {
      if (!each->target.contains(at)) continue;
      const auto x = static_cast<std::size_t>(each->source.x + (at.x - each->target.x) / each->target.width * each->source.width);
      const auto y = static_cast<std::size_t>(each->source.y + (at.y - each->target.y) / each->target.height * each->source.height);
      const std::uint8_t* pixel = each->bitmap->rgba.data() + 4 * (y * static_cast<std::size_t>(each->bitmap->width) + x);
      return Rgb{pixel[0] / 255.0F, pixel[1] / 255.0F, pixel[2] / 255.0F};
    }
    return std::nullopt;
  }

  double unit() const override { return 1; }
  void fill(const Rect& rect, const Colour& colour, double = 0) override { fills.push_back({rect, colour}); }
  void outline(const Rect& rect, const Colour& colour, double = 1, Dash = Dash::Solid) override { outlines.push_back({rect, colour}); }
  void line(Point from, Point to, const Colour& colour, double = 1, Dash dash = Dash::Solid) override { lines.push_back({{from, to}, colour, dash}); }
  void polyline(const std::vector<Point>& points, const Colour& colour, double = 1, Dash dash = Dash::Solid) override {
    polylines.push_back({points, colour, dash});
  }
  void band(const std::vector<Point>& low, const std::vector<Point>& high, const Colour&) override { bands.emplace_back(low, high); }
  void triangle(Point a, Point b, Point c, const Colour&) override { triangles.push_back({a, b, c}); }
  void circle(Point centre, double, const Colour&, bool = true) override { circles.push_back(centre); }
  void image(const std::shared_ptr<const Bitmap>& bitmap, const Rect& target, const Rect& source, bool smooth = false, float alpha = 1) override {
    images.push_back({bitmap, target, source, smooth, alpha});
  }
  void text(Point at, std::string_view text, const TextStyle& style) override { texts.push_back({at, std::string(text), style}); }
  double text_width(std::string_view text, const TextStyle& style) const override { return 0.5 * style.size * static_cast<double>(text.size()); }
  void push_clip(const Rect&) override { ++clips; }
  void pop_clip() override { --clips; }
};

}  // namespace ditscope::views
