#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "views/inspect/cairo_canvas.h"

namespace ditscope::views {

/// Keeps where texts come to lie, in the widths that real letters have, to tell which of them are cut or lie over one another.
class LayoutCanvas final : public Canvas {
 public:
  struct Text {
    Rect rect, clip;
    std::string text;
  };
  LayoutCanvas(const Rect& area, double unit, const Theme& theme)
      : area_(area), metrics_(CairoCanvas::Format::Pixels, {static_cast<int>(area.width), static_cast<int>(area.height), 1, unit}, theme), clips_{area} {}

  double unit() const override { return metrics_.unit(); }
  /// What is opaque hides the texts under it: readouts.
  void fill(const Rect& rect, const Colour& colour, double = 0) override {
    if (colour.alpha < 0.7F) return;
    std::erase_if(texts, [&](const Text& each) { return shared(each.rect, rect).width >= each.rect.width - 1 && shared(each.rect, rect).height >= each.rect.height / 2; });
  }
  void outline(const Rect&, const Colour&, double, Dash) override {}
  void line(Point, Point, const Colour&, double, Dash) override {}
  void polyline(const std::vector<Point>&, const Colour&, double, Dash) override {}
  void band(const std::vector<Point>&, const std::vector<Point>&, const Colour&) override {}
  void triangle(Point, Point, Point, const Colour&) override {}
  void circle(Point, double, const Colour&, bool) override {}
  void image(const std::shared_ptr<const Bitmap>&, const Rect& target, const Rect&, bool, float alpha) override { fill(target, Colour(Rgb{}, alpha)); }
  void text(Point at, std::string_view text, const TextStyle& style) override {
    if (text.empty()) return;
    double width = metrics_.text_width(text, style), height = style.size * unit();
    if (style.upwards) std::swap(width, height);
    const auto begin = [](double at, double size, Align align) { return align == Align::Begin ? at : align == Align::Middle ? at - size / 2 : at - size; };
    // Turned by 90 degrees the text begins below.
    const Align across = style.upwards ? style.vertical : style.horizontal;
    const Align down = style.upwards ? (style.horizontal == Align::Begin ? Align::End : style.horizontal == Align::End ? Align::Begin : Align::Middle) : style.vertical;
    texts.push_back({{begin(at.x, width, across), begin(at.y, height, down), width, height}, clips_.back(), std::string(text)});
  }
  double text_width(std::string_view text, const TextStyle& style) const override { return metrics_.text_width(text, style); }
  void push_clip(const Rect& rect) override { clips_.push_back(shared(clips_.back(), rect)); }
  void pop_clip() override { clips_.pop_back(); }

  static Rect shared(const Rect& a, const Rect& b) {
    const double x = std::max(a.x, b.x), y = std::max(a.y, b.y);
    return {x, y, std::max(std::min(a.right(), b.right()) - x, 0.0), std::max(std::min(a.bottom(), b.bottom()) - y, 0.0)};
  }
  /// What a reader would stumble over, a line each.
  std::vector<std::string> faults() const {
    std::vector<std::string> found;
    const double slack = 1.5 * unit();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Text& a = texts[i];
      const Rect seen = shared(a.rect, a.clip);
      if (seen.width < 1 || seen.height < 1) continue;  // nothing of it is seen
      if (seen.width < a.rect.width - slack || seen.height < a.rect.height - slack - 2 * unit()) found.push_back("cut: " + a.text);
      for (std::size_t j = i + 1; j < texts.size(); ++j) {
        const Rect both = shared(seen, shared(texts[j].rect, texts[j].clip));
        if (both.width > slack && both.height > slack + 1 * unit() && texts[j].text != a.text && !blocks(a, texts[j])) found.push_back("over one another: " + a.text + " | " + texts[j].text);
      }
    }
    return found;
  }
  std::vector<Text> texts;

 private:
  /// Letters of blocks of a mask, which plates over them may hide.
  static bool blocks(const Text& a, const Text& b) { return a.text.size() == 1 || b.text.size() == 1; }
  Rect area_;
  CairoCanvas metrics_;
  std::vector<Rect> clips_;
};

}  // namespace ditscope::views
