#include "views/inspect/cairo_canvas.h"

#include <cairo-ft.h>
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>

#include "core/files/atomic_file.h"
#include "kernels/error.h"
#include "views/inspect/canvas_shapes.h"
#include "views/inspect/glyph_fonts.h"

namespace ditscope::views {
namespace {

constexpr double kTau = 6.283185307179586;

cairo_status_t append(void* to, const unsigned char* data, unsigned length) {
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(data), length);
  return CAIRO_STATUS_SUCCESS;
}

void expect_success(cairo_status_t status) {
  if (status == CAIRO_STATUS_SUCCESS) return;
  throw Error(status == CAIRO_STATUS_NO_MEMORY ? ErrorKind::OutOfMemory : ErrorKind::Device,
              std::string("the picture could not be made: ") + cairo_status_to_string(status) + "; try a smaller one");
}

/// Cairo's own faces: it locks them itself, and they live as long as the program because Cairo keeps fonts it has drawn with.
cairo_font_face_t* cairo_face(FontFile file) {
  static std::mutex mutex;
  static FT_Library library = nullptr;
  static std::array<cairo_font_face_t*, kFontFiles> faces{};
  const std::lock_guard lock(mutex);
  cairo_font_face_t*& face = faces[static_cast<int>(file)];
  if (!face) {
    FT_Face loaded = nullptr;
    const std::string_view data = font_file(file);
    if ((!library && FT_Init_FreeType(&library) != 0) ||
        FT_New_Memory_Face(library, reinterpret_cast<const FT_Byte*>(data.data()), static_cast<FT_Long>(data.size()), 0, &loaded) != 0) {
      throw Error(ErrorKind::Corrupt, "expected the built-in fonts to load, but FreeType refuses one; build the program again");
    }
    face = cairo_ft_font_face_create_for_ft_face(loaded, FT_LOAD_TARGET_LIGHT);
  }
  return face;
}

/// Resolution of a PNG as its chunk pHYs, put behind the header: viewers and print programs read it.
void state_resolution(std::string& png, double dpi) {
  const auto big_endian = [](std::uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift & 0xFF));
    return bytes;
  };
  const auto per_metre = static_cast<std::uint32_t>(std::lround(dpi / 0.0254));
  const std::string chunk = "pHYs" + big_endian(per_metre) + big_endian(per_metre) + '\x01';
  const auto sum = static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size())));
  constexpr std::size_t kSignatureAndHeader = 8 + 25;
  if (png.size() > kSignatureAndHeader) png.insert(kSignatureAndHeader, big_endian(9) + chunk + big_endian(sum));
}

}  // namespace

struct CairoCanvas::Impl {
  Format format = Format::Pixels;
  Sheet sheet;
  Rgb background;
  std::string bytes;
  cairo_surface_t* surface = nullptr;
  cairo_t* cr = nullptr;
  std::map<std::uint64_t, cairo_surface_t*> images;

  ~Impl() {
    for (const auto& [id, image] : images) cairo_surface_destroy(image);
    if (cr) cairo_destroy(cr);
    if (surface) cairo_surface_destroy(surface);
  }
  bool pixels() const { return format == Format::Pixels; }
  double ratio() const { return sheet.ratio; }

  void use(const Colour& colour) const { cairo_set_source_rgba(cr, colour.rgb.r, colour.rgb.g, colour.rgb.b, colour.alpha); }
  double width_of(double width) const { return pixels() ? line_px(width, sheet.unit, ratio()) / ratio() : width * sheet.unit; }
  void pen(const Colour& colour, double width, Dash dash) const {
    use(colour);
    cairo_set_line_width(cr, width_of(width));
    std::vector<double> pattern = dash_pattern(dash);
    for (double& length : pattern) length *= sheet.unit;
    cairo_set_dash(cr, pattern.data(), static_cast<int>(pattern.size()), 0);
  }
  void path(const std::vector<Point>& points) const {
    cairo_move_to(cr, points[0].x, points[0].y);
    for (std::size_t i = 1; i < points.size(); ++i) cairo_line_to(cr, points[i].x, points[i].y);
  }

  /// Cairo wants premultiplied pixels, native order. SVG viewers smooth what they enlarge, so there each pixel becomes a square
  /// of `repeat` pixels.
  int repeat_of(const Bitmap& bitmap, bool smooth) const {
    if (format != Format::Svg || smooth) return 1;
    return std::clamp(2048 / std::max({bitmap.width, bitmap.height, 1}), 1, 16);
  }
  cairo_surface_t* image_of(const Bitmap& bitmap, int repeat) {
    cairo_surface_t*& image = images[bitmap.id];
    if (image && cairo_image_surface_get_width(image) == bitmap.width * repeat) return image;
    if (image) cairo_surface_destroy(image);
    image = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, bitmap.width * repeat, bitmap.height * repeat);
    expect_success(cairo_surface_status(image));
    unsigned char* data = cairo_image_surface_get_data(image);
    const int stride = cairo_image_surface_get_stride(image);
    for (int y = 0; y < bitmap.height * repeat; ++y) {
      auto* row = reinterpret_cast<std::uint32_t*>(data + static_cast<std::ptrdiff_t>(y) * stride);
      const std::uint8_t* from = bitmap.rgba.data() + std::size_t(4) * bitmap.width * (y / repeat);
      for (int x = 0; x < bitmap.width * repeat; ++x) {
        const std::uint8_t* p = from + 4 * (x / repeat);
        const auto times = [a = std::uint32_t{p[3]}](std::uint32_t c) { return (c * a + 127) / 255; };
        row[x] = std::uint32_t{p[3]} << 24 | times(p[0]) << 16 | times(p[1]) << 8 | times(p[2]);
      }
    }
    cairo_surface_mark_dirty(image);
    return image;
  }
};

CairoCanvas::CairoCanvas(Format format, const Sheet& sheet, const Theme& theme) : impl_(std::make_unique<Impl>()) {
  const double width = sheet.width_px * sheet.ratio, height = sheet.height_px * sheet.ratio;
  if (!(width >= 1 && height >= 1 && width <= 32767 && height <= 32767)) {
    throw Error(ErrorKind::InvalidArgument, "expected a picture of 1 to 32,767 px a side, got " + std::to_string(std::lround(width)) + " x " +
                                                std::to_string(std::lround(height)));
  }
  Impl& d = *impl_;
  d.format = format;
  d.sheet = sheet;
  d.background = theme.colour("view");
  constexpr double kPointsPerPx = 72.0 / 96.0;
  if (format == Format::Pixels) {
    d.surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, static_cast<int>(std::lround(width)), static_cast<int>(std::lround(height)));
  } else if (format == Format::Svg) {
    d.surface = cairo_svg_surface_create_for_stream(append, &d.bytes, sheet.width_px, sheet.height_px);
    if (cairo_surface_status(d.surface) == CAIRO_STATUS_SUCCESS) cairo_svg_surface_set_document_unit(d.surface, CAIRO_SVG_UNIT_PX);
  } else {
    d.surface = cairo_pdf_surface_create_for_stream(append, &d.bytes, sheet.width_px * kPointsPerPx, sheet.height_px * kPointsPerPx);
  }
  expect_success(cairo_surface_status(d.surface));
  d.cr = cairo_create(d.surface);
  expect_success(cairo_status(d.cr));
  if (d.pixels()) cairo_scale(d.cr, sheet.ratio, sheet.ratio);
  if (format == Format::Pdf) cairo_scale(d.cr, kPointsPerPx, kPointsPerPx);
  cairo_set_line_join(d.cr, CAIRO_LINE_JOIN_ROUND);
  cairo_font_options_t* options = cairo_font_options_create();
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_font_options_set_hint_style(options, d.pixels() ? CAIRO_HINT_STYLE_SLIGHT : CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
  cairo_set_font_options(d.cr, options);
  cairo_font_options_destroy(options);
}

CairoCanvas::~CairoCanvas() = default;

double CairoCanvas::unit() const { return impl_->sheet.unit; }

void CairoCanvas::fill(const Rect& rect, const Colour& colour, double radius) {
  Impl& d = *impl_;
  if (!(rect.width > 0 && rect.height > 0)) return;
  const Rect r = d.pixels() ? snapped(rect, d.ratio()) : rect;
  const double round = std::min({radius * d.sheet.unit, r.width / 2, r.height / 2});
  d.use(colour);
  if (round <= 0) {
    cairo_rectangle(d.cr, r.x, r.y, r.width, r.height);
  } else {
    cairo_new_sub_path(d.cr);
    cairo_arc(d.cr, r.right() - round, r.y + round, round, -kTau / 4, 0);
    cairo_arc(d.cr, r.right() - round, r.bottom() - round, round, 0, kTau / 4);
    cairo_arc(d.cr, r.x + round, r.bottom() - round, round, kTau / 4, kTau / 2);
    cairo_arc(d.cr, r.x + round, r.y + round, round, kTau / 2, kTau * 3 / 4);
    cairo_close_path(d.cr);
  }
  cairo_fill(d.cr);
}

void CairoCanvas::outline(const Rect& rect, const Colour& colour, double width, Dash dash) {
  Impl& d = *impl_;
  const double stroke = d.width_of(width);
  const Rect r = d.pixels() ? snapped(rect, d.ratio()) : rect;
  d.pen(colour, width, dash);
  cairo_set_line_join(d.cr, CAIRO_LINE_JOIN_MITER);
  cairo_rectangle(d.cr, r.x + stroke / 2, r.y + stroke / 2, std::max(r.width - stroke, 0.0), std::max(r.height - stroke, 0.0));
  cairo_stroke(d.cr);
  cairo_set_line_join(d.cr, CAIRO_LINE_JOIN_ROUND);
}

void CairoCanvas::line(Point from, Point to, const Colour& colour, double width, Dash dash) {
  Impl& d = *impl_;
  if (d.pixels()) snap_line(from, to, line_px(width, d.sheet.unit, d.ratio()), d.ratio());
  polyline({from, to}, colour, width, dash);
}

void CairoCanvas::polyline(const std::vector<Point>& points, const Colour& colour, double width, Dash dash) {
  Impl& d = *impl_;
  d.pen(colour, width, dash);
  for (const std::vector<Point>& run : finite_runs(points)) d.path(run);
  cairo_stroke(d.cr);
}

void CairoCanvas::band(const std::vector<Point>& low, const std::vector<Point>& high, const Colour& colour) {
  Impl& d = *impl_;
  d.use(colour);
  for (const std::vector<Point>& outline : band_runs(low, high)) {
    d.path(outline);
    cairo_close_path(d.cr);
  }
  cairo_fill(d.cr);
}

void CairoCanvas::triangle(Point a, Point b, Point c, const Colour& colour) {
  Impl& d = *impl_;
  d.use(colour);
  d.path({a, b, c});
  cairo_close_path(d.cr);
  cairo_fill(d.cr);
}

void CairoCanvas::circle(Point centre, double radius, const Colour& colour, bool filled) {
  Impl& d = *impl_;
  d.pen(colour, 1, Dash::Solid);
  cairo_new_sub_path(d.cr);
  cairo_arc(d.cr, centre.x, centre.y, radius, 0, kTau);
  filled ? cairo_fill(d.cr) : cairo_stroke(d.cr);
}

void CairoCanvas::image(const std::shared_ptr<const Bitmap>& bitmap, const Rect& target, const Rect& source, bool smooth, float alpha) {
  Impl& d = *impl_;
  if (!bitmap || !(target.width > 0 && target.height > 0 && source.width > 0 && source.height > 0)) return;
  const int repeat = d.repeat_of(*bitmap, smooth);
  cairo_surface_t* image = d.image_of(*bitmap, repeat);
  const Rect t = d.pixels() ? snapped(target, d.ratio()) : target;
  cairo_save(d.cr);
  cairo_rectangle(d.cr, t.x, t.y, t.width, t.height);
  cairo_clip(d.cr);
  cairo_translate(d.cr, t.x, t.y);
  cairo_scale(d.cr, t.width / source.width, t.height / source.height);
  cairo_translate(d.cr, -source.x, -source.y);
  cairo_scale(d.cr, 1.0 / repeat, 1.0 / repeat);
  cairo_set_source_surface(d.cr, image, 0, 0);
  cairo_pattern_set_filter(cairo_get_source(d.cr), smooth ? CAIRO_FILTER_GOOD : CAIRO_FILTER_NEAREST);
  cairo_pattern_set_extend(cairo_get_source(d.cr), CAIRO_EXTEND_PAD);
  cairo_paint_with_alpha(d.cr, alpha);
  cairo_restore(d.cr);
}

void CairoCanvas::text(Point at, std::string_view text, const TextStyle& style) {
  Impl& d = *impl_;
  const double size = style.size * d.sheet.unit;
  const std::vector<FontGlyph> glyphs = shape_text(style.face, text);
  double width = 0;
  for (const FontGlyph& glyph : glyphs) width += glyph.advance_em * size;
  double x = style.horizontal == Align::Middle ? -width / 2 : style.horizontal == Align::End ? -width : 0;
  const double baseline = baseline_em(style.vertical) * size;
  cairo_save(d.cr);
  cairo_translate(d.cr, at.x, at.y);
  if (style.upwards) cairo_rotate(d.cr, -kTau / 4);
  cairo_set_font_size(d.cr, size);
  for (std::size_t begin = 0; begin < glyphs.size();) {
    std::vector<cairo_glyph_t> run;
    const FontFile file = glyphs[begin].file;
    for (; begin < glyphs.size() && glyphs[begin].file == file; ++begin) {
      run.push_back({glyphs[begin].index, x, baseline});
      x += glyphs[begin].advance_em * size;
    }
    cairo_set_font_face(d.cr, cairo_face(file));
    if (style.halo) {
      d.pen(Colour(d.background, style.colour.alpha), 2, Dash::Solid);
      cairo_glyph_path(d.cr, run.data(), static_cast<int>(run.size()));
      cairo_stroke(d.cr);
    }
    d.use(style.colour);
    cairo_show_glyphs(d.cr, run.data(), static_cast<int>(run.size()));
  }
  cairo_restore(d.cr);
}

double CairoCanvas::text_width(std::string_view text, const TextStyle& style) const {
  return text_width_em(style.face, text) * style.size * impl_->sheet.unit;
}

void CairoCanvas::push_clip(const Rect& rect) {
  Impl& d = *impl_;
  const Rect r = d.pixels() ? snapped(rect, d.ratio()) : rect;
  cairo_save(d.cr);
  cairo_rectangle(d.cr, r.x, r.y, std::max(r.width, 0.0), std::max(r.height, 0.0));
  cairo_clip(d.cr);
}

void CairoCanvas::pop_clip() { cairo_restore(impl_->cr); }

std::shared_ptr<const Bitmap> CairoCanvas::bitmap() const {
  const Impl& d = *impl_;
  cairo_surface_flush(d.surface);
  const int width = cairo_image_surface_get_width(d.surface), height = cairo_image_surface_get_height(d.surface);
  const int stride = cairo_image_surface_get_stride(d.surface);
  const unsigned char* data = cairo_image_surface_get_data(d.surface);
  std::vector<std::uint8_t> rgba(std::size_t(4) * width * height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::uint32_t pixel = 0;
      std::memcpy(&pixel, data + static_cast<std::ptrdiff_t>(y) * stride + 4 * x, 4);
      const std::uint32_t alpha = pixel >> 24;
      std::uint8_t* to = rgba.data() + 4 * (std::size_t(y) * width + x);
      for (int c = 0; c < 3; ++c) {
        const std::uint32_t value = pixel >> (16 - 8 * c) & 0xFF;
        to[c] = static_cast<std::uint8_t>(alpha == 0 ? 0 : std::min<std::uint32_t>(255, (value * 255 + alpha / 2) / alpha));
      }
      to[3] = static_cast<std::uint8_t>(alpha);
    }
  }
  return make_bitmap(width, height, std::move(rgba));
}

void CairoCanvas::copy_to(Frames& frames, int index) const {
  const std::shared_ptr<const Bitmap> from = bitmap();
  if (from->width != frames.width || from->height != frames.height) {
    throw Error(ErrorKind::InvalidArgument, "expected frames of " + std::to_string(from->width) + " x " + std::to_string(from->height) + " px");
  }
  float* to = frames.frame(index);
  for (std::size_t i = 0; i < std::size_t(from->width) * from->height; ++i) {
    for (std::size_t c = 0; c < 3; ++c) to[3 * i + c] = static_cast<float>(from->rgba[4 * i + c]) / 255.0F;
  }
}

std::string CairoCanvas::finish() {
  Impl& d = *impl_;
  expect_success(cairo_status(d.cr));
  if (d.pixels()) {
    cairo_surface_flush(d.surface);
    expect_success(cairo_surface_write_to_png_stream(d.surface, append, &d.bytes));
    state_resolution(d.bytes, 96 * d.sheet.ratio);
  } else {
    cairo_surface_finish(d.surface);
    expect_success(cairo_surface_status(d.surface));
  }
  return std::move(d.bytes);
}

void paint_view(Canvas& canvas, InspectView& view, Inspection& inspection, const InspectCursor& cursor, const Theme& theme,
                const Sheet& sheet) {
  ViewContext context{inspection, cursor, theme, {0, 0, double(sheet.width_px), double(sheet.height_px)}};
  context.unit = sheet.unit;
  context.ratio = sheet.ratio;
  canvas.fill(context.area, theme.colour("panel"));
  view.paint(canvas, context);
}

void export_view(InspectView& view, Inspection& inspection, const InspectCursor& cursor, const Theme& theme, const Sheet& sheet,
                 const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  if (ending != ".png" && ending != ".svg" && ending != ".pdf") {
    throw Error(ErrorKind::InvalidArgument, "expected a name that ends in .png, .svg or .pdf, got " + file.string());
  }
  const auto format = ending == ".png" ? CairoCanvas::Format::Pixels : ending == ".svg" ? CairoCanvas::Format::Svg : CairoCanvas::Format::Pdf;
  CairoCanvas canvas(format, sheet, theme);
  paint_view(canvas, view, inspection, cursor, theme, sheet);
  write_file(file, canvas.finish());
}

}  // namespace ditscope::views
