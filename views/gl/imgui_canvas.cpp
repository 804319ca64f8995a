#include "views/gl/imgui_canvas.h"

#include <imgui.h>

#include <algorithm>
#include <cmath>

#include "views/inspect/canvas_shapes.h"

namespace ditscope::gl {
namespace {

using views::Align;
using views::Colour;
using views::Dash;
using views::Point;
using views::Rect;

constexpr std::int64_t kTextureRoom_bytes = 96 << 20;

ImVec2 of(Point p) { return {static_cast<float>(p.x), static_cast<float>(p.y)}; }

std::uint32_t packed(const Colour& colour) {
  return ImGui::ColorConvertFloat4ToU32({colour.rgb.r, colour.rgb.g, colour.rgb.b, std::clamp(colour.alpha, 0.0F, 1.0F)});
}

bool finite(Point p) { return std::isfinite(p.x) && std::isfinite(p.y); }
bool has_area(const Rect& r) { return std::isfinite(r.x) && std::isfinite(r.y) && r.width > 0 && r.height > 0 && std::isfinite(r.width) && std::isfinite(r.height); }

/// The drawn parts of a path, dash by dash.
std::vector<std::vector<Point>> dashes(const std::vector<Point>& path, const std::vector<double>& pattern, double unit) {
  std::vector<std::vector<Point>> parts;
  std::size_t at = 0;
  double left = pattern[0] * unit;
  parts.push_back({path[0]});
  for (std::size_t i = 1; i < path.size(); ++i) {
    Point from = path[i - 1];
    double length = std::hypot(path[i].x - from.x, path[i].y - from.y);
    while (length > left) {
      const double share = left / length;
      from = {from.x + (path[i].x - from.x) * share, from.y + (path[i].y - from.y) * share};
      length -= left;
      if (at % 2 == 0) {
        parts.back().push_back(from);
      } else {
        parts.push_back({from});
      }
      at = (at + 1) % pattern.size();
      left = pattern[at] * unit;
    }
    left -= length;
    if (at % 2 == 0) parts.back().push_back(path[i]);
  }
  std::erase_if(parts, [](const std::vector<Point>& part) { return part.size() < 2; });
  return parts;
}

}  // namespace

ImGuiCanvas::ImGuiCanvas() = default;
ImGuiCanvas::~ImGuiCanvas() = default;

void ImGuiCanvas::begin(double width, double height, double ratio, double unit, const views::Theme& theme) {
  ++frame_;
  ratio_ = ratio;
  unit_ = unit;
  background_ = theme.colour("view");
  evict();
  imgui_.set_no_fonts();
  imgui_.begin(width, height, ratio, 1.0 / 60);
  atlas_.begin_frame();
  list_ = ImGui::GetBackgroundDrawList();
  list_->_FringeScale = static_cast<float>(1 / ratio);
}

void ImGuiCanvas::end() {
  list_ = nullptr;
  imgui_.end();
}

void ImGuiCanvas::release() {
  textures_.clear();
  bytes_ = 0;
  atlas_.release();
  imgui_.release();
}

void ImGuiCanvas::fill(const Rect& rect, const Colour& colour, double radius) {
  if (!has_area(rect)) return;
  const Rect r = views::snapped(rect, ratio_);
  list_->AddRectFilled(of({r.x, r.y}), of({r.right(), r.bottom()}), packed(colour), static_cast<float>(radius * unit_));
}

void ImGuiCanvas::outline(const Rect& rect, const Colour& colour, double width, Dash dash) {
  if (!has_area(rect)) return;
  const Rect r = views::snapped(rect, ratio_);
  const double stroke = views::line_px(width, unit_, ratio_) / ratio_;
  if (dash != Dash::Solid) {
    const double half = stroke / 2;
    const std::vector<Point> path{{r.x + half, r.y + half}, {r.right() - half, r.y + half}, {r.right() - half, r.bottom() - half},
                                  {r.x + half, r.bottom() - half}, {r.x + half, r.y + half}};
    return polyline(path, colour, width, dash);
  }
  const double inner = std::max(r.height - 2 * stroke, 0.0);
  fill({r.x, r.y, r.width, std::min(stroke, r.height)}, colour);
  fill({r.x, r.bottom() - stroke, r.width, stroke}, colour);
  fill({r.x, r.y + stroke, stroke, inner}, colour);
  fill({r.right() - stroke, r.y + stroke, stroke, inner}, colour);
}

void ImGuiCanvas::line(Point from, Point to, const Colour& colour, double width, Dash dash) {
  if (!finite(from) || !finite(to)) return;
  const double px = views::line_px(width, unit_, ratio_);
  views::snap_line(from, to, px, ratio_);
  const bool vertical = from.x == to.x, horizontal = from.y == to.y;
  if (dash != Dash::Solid || (!vertical && !horizontal)) return polyline({from, to}, colour, width, dash);
  const double half = px / ratio_ / 2;
  if (vertical) {
    fill({from.x - half, std::min(from.y, to.y), 2 * half, std::abs(to.y - from.y)}, colour);
  } else {
    fill({std::min(from.x, to.x), from.y - half, std::abs(to.x - from.x), 2 * half}, colour);
  }
}

void ImGuiCanvas::polyline(const std::vector<Point>& points, const Colour& colour, double width, Dash dash) {
  const std::vector<double> pattern = views::dash_pattern(dash);
  const auto thickness = static_cast<float>(views::line_px(width, unit_, ratio_) / ratio_);
  std::vector<ImVec2> path;
  const auto draw = [&](const std::vector<Point>& run) {
    path.clear();
    for (const Point& point : run) path.push_back(of(point));
    list_->AddPolyline(path.data(), static_cast<int>(path.size()), packed(colour), 0, thickness);
  };
  for (const std::vector<Point>& run : views::finite_runs(points)) {
    if (pattern.empty()) {
      draw(run);
    } else {
      for (const std::vector<Point>& part : dashes(run, pattern, unit_)) draw(part);
    }
  }
}

void ImGuiCanvas::band(const std::vector<Point>& low, const std::vector<Point>& high, const Colour& colour) {
  // Without soft edges the pieces meet without seams.
  const ImDrawListFlags flags = list_->Flags;
  list_->Flags &= ~ImDrawListFlags_AntiAliasedFill;
  for (std::size_t i = 0; i + 1 < std::min(low.size(), high.size()); ++i) {
    if (!finite(low[i]) || !finite(high[i]) || !finite(low[i + 1]) || !finite(high[i + 1])) continue;
    list_->AddQuadFilled(of(low[i]), of(low[i + 1]), of(high[i + 1]), of(high[i]), packed(colour));
  }
  list_->Flags = flags;
}

void ImGuiCanvas::triangle(Point a, Point b, Point c, const Colour& colour) {
  if (finite(a) && finite(b) && finite(c)) list_->AddTriangleFilled(of(a), of(b), of(c), packed(colour));
}

void ImGuiCanvas::circle(Point centre, double radius, const Colour& colour, bool filled) {
  if (!finite(centre) || !(radius > 0)) return;
  if (filled) {
    list_->AddCircleFilled(of(centre), static_cast<float>(radius), packed(colour));
  } else {
    list_->AddCircle(of(centre), static_cast<float>(radius), packed(colour), 0, static_cast<float>(views::line_px(1, unit_, ratio_) / ratio_));
  }
}

const Texture& ImGuiCanvas::texture_of(const views::Bitmap& bitmap, bool smooth) {
  Kept& kept = textures_[{bitmap.id, smooth}];
  kept.used = frame_;
  if (kept.texture) return kept.texture;
  kept.texture = Texture::create(Texture::Kind::Colours, bitmap.width, bitmap.height, smooth);
  const int width = kept.texture.width(), height = kept.texture.height();
  if (width == bitmap.width && height == bitmap.height) {
    kept.texture.upload(0, 0, width, height, bitmap.rgba.data());
  } else {
    // Larger than the driver takes: every n-th pixel.
    std::vector<std::uint8_t> fewer(std::size_t(4) * width * height);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const std::size_t from = std::size_t(std::int64_t{y} * bitmap.height / height) * bitmap.width + std::size_t(std::int64_t{x} * bitmap.width / width);
        std::copy_n(bitmap.rgba.data() + 4 * from, 4, fewer.data() + 4 * (std::size_t(y) * width + x));
      }
    }
    kept.texture.upload(0, 0, width, height, fewer.data());
  }
  if (smooth) kept.texture.make_mipmaps();
  kept.bytes = std::int64_t{4} * width * height;
  bytes_ += kept.bytes;
  return kept.texture;
}

void ImGuiCanvas::evict() {
  while (bytes_ > kTextureRoom_bytes) {
    const auto oldest = std::min_element(textures_.begin(), textures_.end(), [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    if (oldest == textures_.end() || oldest->second.used + 1 >= frame_) return;
    bytes_ -= oldest->second.bytes;
    textures_.erase(oldest);
  }
}

void ImGuiCanvas::image(const std::shared_ptr<const views::Bitmap>& bitmap, const Rect& target, const Rect& source, bool smooth, float alpha) {
  if (!bitmap || bitmap->width <= 0 || bitmap->height <= 0 || !has_area(target) || !has_area(source)) return;
  const Texture& texture = texture_of(*bitmap, smooth);
  const Rect t = views::snapped(target, ratio_);
  const double width = bitmap->width, height = bitmap->height;
  list_->AddImage(texture.imgui_id(), of({t.x, t.y}), of({t.right(), t.bottom()}), of({source.x / width, source.y / height}),
                  of({source.right() / width, source.bottom() / height}), packed({{1, 1, 1}, alpha}));
}

void ImGuiCanvas::glyphs(const std::vector<views::FontGlyph>& glyphs, double pen_px, double baseline_px, double size_px, Point origin_px,
                         bool upwards, std::uint32_t colour) {
  list_->PushTextureID(atlas_.imgui_id());
  const auto to_view = [&](double u, double v) {
    const double x = upwards ? origin_px.x + v : origin_px.x + u, y = upwards ? origin_px.y - u : origin_px.y + v;
    return of({x / ratio_, y / ratio_});
  };
  for (const views::FontGlyph& glyph : glyphs) {
    const GlyphAtlas::Place* place = atlas_.find(glyph, size_px);
    const double u = std::round(pen_px) + (place ? place->left : 0), v = baseline_px + (place ? place->top : 0);
    pen_px += glyph.advance_em * size_px;
    if (!place) continue;
    list_->PrimReserve(6, 4);
    list_->PrimQuadUV(to_view(u, v), to_view(u + place->width, v), to_view(u + place->width, v + place->height), to_view(u, v + place->height),
                      {place->u0, place->v0}, {place->u1, place->v0}, {place->u1, place->v1}, {place->u0, place->v1}, colour);
  }
  list_->PopTextureID();
}

void ImGuiCanvas::text(Point at, std::string_view text, const views::TextStyle& style) {
  if (!finite(at) || text.empty()) return;
  const double size_px = style.size * unit_ * ratio_;
  const std::vector<views::FontGlyph> shaped = views::shape_text(style.face, text);
  double width = 0;
  for (const views::FontGlyph& glyph : shaped) width += glyph.advance_em * size_px;
  const double pen = style.horizontal == Align::Middle ? -width / 2 : style.horizontal == Align::End ? -width : 0;
  const double baseline = std::round(views::baseline_em(style.vertical) * size_px);
  const Point origin{std::round(at.x * ratio_), std::round(at.y * ratio_)};
  if (style.halo) {
    const double reach = std::max(1.0, std::round(unit_ * ratio_));
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        if (dx || dy) glyphs(shaped, pen, baseline, size_px, {origin.x + dx * reach, origin.y + dy * reach}, style.upwards, packed({background_, style.colour.alpha}));
      }
    }
  }
  glyphs(shaped, pen, baseline, size_px, origin, style.upwards, packed(style.colour));
}

double ImGuiCanvas::text_width(std::string_view text, const views::TextStyle& style) const {
  return views::text_width_em(style.face, text) * style.size * unit_;
}

void ImGuiCanvas::push_clip(const Rect& rect) {
  const Rect r = has_area(rect) ? views::snapped(rect, ratio_) : Rect{rect.x, rect.y, 0, 0};
  list_->PushClipRect(of({r.x, r.y}), of({r.right(), r.bottom()}), true);
}

void ImGuiCanvas::pop_clip() { list_->PopClipRect(); }

}  // namespace ditscope::gl
