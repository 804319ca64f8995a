#pragma once
#include <cstdint>
#include <map>
#include <memory>

#include "views/gl/glyph_atlas.h"
#include "views/gl/imgui_qt.h"
#include "views/inspect/canvas.h"

struct ImDrawList;

namespace ditscope::gl {

/// Canvas of the window: an ImGui draw list and textures, in any context of OpenGL 3.3 or later. All calls with that context current.
class ImGuiCanvas final : public views::Canvas {
 public:
  ImGuiCanvas();
  ~ImGuiCanvas() override;
  /// @param width,height  view px  @param ratio  device px per view px  @param unit  text scale
  void begin(double width, double height, double ratio, double unit, const views::Theme& theme);
  /// Draws what was painted into the current framebuffer.
  void end();
  /// Frees what lives in the context.
  void release();
  std::size_t textures() const { return textures_.size(); }

  double unit() const override { return unit_; }
  void fill(const views::Rect& rect, const views::Colour& colour, double radius = 0) override;
  void outline(const views::Rect& rect, const views::Colour& colour, double width = 1, views::Dash dash = views::Dash::Solid) override;
  void line(views::Point from, views::Point to, const views::Colour& colour, double width = 1,
            views::Dash dash = views::Dash::Solid) override;
  void polyline(const std::vector<views::Point>& points, const views::Colour& colour, double width = 1,
                views::Dash dash = views::Dash::Solid) override;
  void band(const std::vector<views::Point>& low, const std::vector<views::Point>& high, const views::Colour& colour) override;
  void triangle(views::Point a, views::Point b, views::Point c, const views::Colour& colour) override;
  void circle(views::Point centre, double radius, const views::Colour& colour, bool filled = true) override;
  void image(const std::shared_ptr<const views::Bitmap>& bitmap, const views::Rect& target, const views::Rect& source, bool smooth = false,
             float alpha = 1) override;
  void text(views::Point at, std::string_view text, const views::TextStyle& style) override;
  double text_width(std::string_view text, const views::TextStyle& style) const override;
  void push_clip(const views::Rect& rect) override;
  void pop_clip() override;

 private:
  struct Kept {
    Texture texture;
    std::int64_t bytes = 0;
    std::uint64_t used = 0;  ///< frame in which it was drawn last
  };
  const Texture& texture_of(const views::Bitmap& bitmap, bool smooth);
  void evict();
  void glyphs(const std::vector<views::FontGlyph>& glyphs, double pen_px, double baseline_px, double size_px, views::Point origin_px,
              bool upwards, std::uint32_t colour);

  ImGuiQt imgui_;
  GlyphAtlas atlas_;
  ImDrawList* list_ = nullptr;
  double ratio_ = 1, unit_ = 1;
  views::Rgb background_;
  std::map<std::pair<std::uint64_t, bool>, Kept> textures_;
  std::int64_t bytes_ = 0;
  std::uint64_t frame_ = 0;
};

}  // namespace ditscope::gl
