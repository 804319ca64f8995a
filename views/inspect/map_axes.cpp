#include "views/inspect/map_axes.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ditscope::views {

std::vector<AxisRun> axis_runs(const std::vector<std::int64_t>& edges) {
  std::vector<AxisRun> runs;
  for (std::size_t cell = 0; cell + 1 < edges.size(); ++cell) {
    const std::int64_t length = edges[cell + 1] - edges[cell];
    const auto number = static_cast<int>(cell);
    if (!runs.empty() && runs.back().end - runs.back().begin == length * (runs.back().cell_end - runs.back().cell_begin)) {
      runs.back().cell_end = number + 1;
      runs.back().end = edges[cell + 1];
    } else {
      runs.push_back({number, number + 1, edges[cell], edges[cell + 1]});
    }
  }
  return runs;
}

const std::vector<std::string>& quadrant_names() {
  static const std::vector<std::string> kNames{"all", "T->T", "T->V", "V->T", "V->V"};
  return kNames;
}

Quadrant parse_quadrant(const std::string& name) {
  const auto it = std::find(quadrant_names().begin(), quadrant_names().end(), name);
  if (it == quadrant_names().end()) throw Error{ErrorKind::InvalidArgument, "expected a quadrant all, T->T, T->V, V->T or V->V, got '" + name + "'"};
  return static_cast<Quadrant>(it - quadrant_names().begin());
}

void MapAxes::lay_out(const TokenGeometry& geometry, const Rect& plot, Quadrant quadrant, bool raster) {
  const bool other = geometry_ == nullptr || kept_.tokens() != geometry.tokens() || kept_.text_tokens() != geometry.text_tokens() ||
                     kept_.frames() != geometry.frames() || kept_.rows() != geometry.rows() || kept_.text_first() != geometry.text_first();
  if (other || quadrant != quadrant_) camera = Camera{};
  const bool again = other || quadrant != quadrant_ || raster != raster_ || kept_.position_major() != geometry.position_major();
  plot_ = plot;
  if (again) {
    kept_ = geometry;
    geometry_ = &kept_;
    quadrant_ = quadrant;
    raster_ = raster;
    const AxisRun text{0, 0, geometry.text_first() ? 0 : geometry.visual_tokens(), geometry.text_first() ? geometry.text_tokens() : geometry.tokens()};
    const AxisRun video{0, 0, geometry.visual_begin(), geometry.visual_begin() + geometry.visual_tokens()};
    const AxisRun all{0, 0, 0, geometry.tokens()};
    const bool from_text = quadrant == Quadrant::TextToText || quadrant == Quadrant::TextToVideo;
    const bool to_text = quadrant == Quadrant::TextToText || quadrant == Quadrant::VideoToText;
    queries_ = quadrant == Quadrant::All ? all : from_text ? text : video;
    keys_ = quadrant == Quadrant::All ? all : to_text ? text : video;
    marks_.clear();
    if (geometry.text_tokens() > 0) marks_.push_back({text.begin, text.end, "T", true, -1});
    const bool by_frame = raster || !geometry.position_major();
    const std::int64_t parts = by_frame ? geometry.frames() : geometry.rows(), length = geometry.visual_tokens() / std::max<std::int64_t>(parts, 1);
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t begin = geometry.visual_begin() + part * length;
      marks_.push_back({begin, begin + length, std::to_string(part), false, by_frame ? static_cast<int>(part) : -1});
    }
  }
  camera = follow(camera, plot_, kImage, kImage);
}

void MapAxes::fit() { camera = views::fit(plot_, kImage, kImage); }

std::int64_t MapAxes::token_of(std::int64_t place) const { return raster_ ? place : kept_.from_call(place); }
std::int64_t MapAxes::place_of(std::int64_t token) const { return raster_ ? token : kept_.to_call(token); }

namespace {
double image_of(double place, const AxisRun& run) { return (place - static_cast<double>(run.begin)) * MapAxes::kImage / std::max<double>(static_cast<double>(run.end - run.begin), 1); }
double place_of_image(double image, const AxisRun& run) { return static_cast<double>(run.begin) + image * static_cast<double>(run.end - run.begin) / MapAxes::kImage; }
}  // namespace

double MapAxes::x_of(double place) const { return camera.to_view({image_of(place, keys_), 0}, plot_).x; }
double MapAxes::y_of(double place) const { return camera.to_view({0, image_of(place, queries_)}, plot_).y; }
double MapAxes::place_at_x(double x) const { return place_of_image(camera.to_image({x, 0}, plot_).x, keys_); }
double MapAxes::place_at_y(double y) const { return place_of_image(camera.to_image({0, y}, plot_).y, queries_); }
double MapAxes::key_px() const { return camera.scale * kImage / std::max<double>(static_cast<double>(keys_.end - keys_.begin), 1); }
double MapAxes::query_px() const { return camera.scale * kImage / std::max<double>(static_cast<double>(queries_.end - queries_.begin), 1); }

std::optional<MapAxes::Pair> MapAxes::pick(Point at) const {
  if (!plot_.contains(at) || camera.scale <= 0) return std::nullopt;
  const double query = std::floor(place_at_y(at.y)), key = std::floor(place_at_x(at.x));
  if (query < static_cast<double>(queries_.begin) || query >= static_cast<double>(queries_.end) || key < static_cast<double>(keys_.begin) ||
      key >= static_cast<double>(keys_.end)) {
    return std::nullopt;
  }
  return Pair{token_of(static_cast<std::int64_t>(query)), token_of(static_cast<std::int64_t>(key))};
}

Rect MapAxes::query_line(std::int64_t token) const {
  const double place = static_cast<double>(place_of(token)), top = y_of(place);
  return {plot_.x, top, plot_.width, std::max(y_of(place + 1) - top, 1.0)};
}

Rect MapAxes::key_line(std::int64_t token) const {
  const double place = static_cast<double>(place_of(token)), left = x_of(place);
  return {left, plot_.y, std::max(x_of(place + 1) - left, 1.0), plot_.height};
}

namespace {
AxisRun clipped(double from, double to, const AxisRun& run) {
  AxisRun visible;
  visible.begin = std::clamp(static_cast<std::int64_t>(std::floor(from)), run.begin, run.end);
  visible.end = std::clamp(static_cast<std::int64_t>(std::ceil(to)), visible.begin, run.end);
  return visible;
}
}  // namespace

AxisRun MapAxes::visible_queries() const { return clipped(place_at_y(plot_.y), place_at_y(plot_.bottom()), queries_); }
AxisRun MapAxes::visible_keys() const { return clipped(place_at_x(plot_.x), place_at_x(plot_.right()), keys_); }

bool MapAxes::pointer(const PointerEvent& event, double unit, bool* clicked) {
  *clicked = false;
  switch (event.kind) {
    case PointerEvent::Kind::Wheel:
      if (!plot_.contains(event.at)) return false;
      camera = zoom_about(camera, plot_, event.at, event.notches * (event.shift ? 0.125 : event.control ? 8 : 1));
      return true;
    case PointerEvent::Kind::Press:
      if (!event.left || !plot_.contains(event.at)) return false;
      pressed_ = true;
      moved_ = false;
      pressed_at_ = last_ = event.at;
      return false;
    case PointerEvent::Kind::Move: {
      if (!pressed_) return false;
      if (!moved_ && std::hypot(event.at.x - pressed_at_.x, event.at.y - pressed_at_.y) < 4 * unit) return false;
      moved_ = true;
      camera = pan(camera, plot_, {event.at.x - last_.x, event.at.y - last_.y}, kImage, kImage);
      last_ = event.at;
      return true;
    }
    case PointerEvent::Kind::Release:
      *clicked = pressed_ && !moved_;
      pressed_ = moved_ = false;
      return false;
    default: return false;
  }
}

namespace {

void paint_labels(Canvas& canvas, const ViewContext& context, const MapAxes& axes, double labels_px, bool keys) {
  const Rect& plot = axes.plot();
  const std::vector<std::int64_t>& locked = context.inspection.locked();
  const InspectHover& hover = context.inspection.hover();
  double last_end = -1e30;
  TextStyle style;
  style.face = Face::Numbers;
  style.size = 11;
  style.vertical = Align::Middle;
  style.horizontal = keys ? Align::Middle : Align::End;
  const bool frames = !axes.marks().empty() && axes.marks().back().frame >= 0;
  for (const MapAxes::Mark& mark : axes.marks()) {
    const AxisRun range = keys ? axes.keys() : axes.queries();
    if (mark.end <= range.begin || mark.begin >= range.end) continue;
    const double from = keys ? axes.x_of(static_cast<double>(mark.begin)) : axes.y_of(static_cast<double>(mark.begin));
    const double to = keys ? axes.x_of(static_cast<double>(mark.end)) : axes.y_of(static_cast<double>(mark.end));
    const double low = keys ? plot.x : plot.y, high = keys ? plot.right() : plot.bottom();
    if (to <= low || from >= high) continue;
    const double middle = (std::max(from, low) + std::min(to, high)) / 2;
    std::string label = mark.label;
    if (keys && !mark.text && mark.begin == std::max(range.begin, axes.marks()[axes.marks().front().text ? 1 : 0].begin)) {
      const std::string named = (frames ? "frame " : "row ") + label;
      if (canvas.text_width(named, style) < to - from) label = named;
    }
    const double half = keys ? canvas.text_width(label, style) / 2 : 6 * context.unit;
    if (middle - half < last_end + 2 * context.unit) continue;
    last_end = middle + half;
    const auto inside = [&](std::int64_t token) {
      if (token < 0) return false;
      const std::int64_t place = axes.place_of(token);
      return place >= mark.begin && place < mark.end;
    };
    style.colour = context.theme.colour("text2");
    style.face = Face::Numbers;
    if (inside(keys ? hover.key : hover.query)) {
      style.colour = context.theme.colour("text");
      style.face = Face::WordsStrong;
    }
    if (!keys && std::any_of(locked.begin(), locked.end(), inside)) style.colour = context.theme.colour("brush");
    if (keys) {
      canvas.text({middle, plot.y - labels_px / 2}, label, style);
    } else {
      canvas.text({plot.x - 9 * context.unit, middle}, label, style);
    }
  }
}

struct QuadrantName {
  Rect area;
  std::string name;
  bool right, bottom;  ///< the corner that it stands in
};

/// In its corner; a quadrant as narrow as text has its name beside it, at the end of a line.
void paint_quadrant_name(Canvas& canvas, const ViewContext& context, const QuadrantName& of, const Rect& plot) {
  TextStyle style;
  style.size = 11;
  style.colour = context.theme.colour("text");
  const double u = context.unit, width = canvas.text_width(of.name, style) + 8 * u, height = 16 * u;
  if (of.area.width <= 0 || of.area.height <= 0) return;
  const bool thin = of.area.width < width + 8 * u, flat = of.area.height < height + 8 * u;
  Rect box{of.right ? of.area.right() - width - 4 * u : of.area.x + 4 * u, of.bottom ? of.area.bottom() - height - 4 * u : of.area.y + 4 * u, width, height};
  if ((thin && flat) || plot.width < 3 * width || plot.height < 6 * height) {
    if (thin || flat) return;
  } else if (thin) {
    const double middle = of.area.x + of.area.width / 2, way = middle < plot.x + plot.width / 2 ? 1 : -1;
    box.x = way > 0 ? of.area.right() + 8 * u : of.area.x - 8 * u - width;
    canvas.line({middle, box.y + height / 2}, {way > 0 ? box.x : box.right(), box.y + height / 2}, Rgb{1, 1, 1}, 1);
  } else if (flat) {
    const double middle = of.area.y + of.area.height / 2, way = middle < plot.y + plot.height / 2 ? 1 : -1;
    box.x = of.area.x + of.area.width / 2 - width / 2;
    box.y = way > 0 ? of.area.bottom() + 8 * u : of.area.y - 8 * u - height;
    canvas.line({box.x + width / 2, middle}, {box.x + width / 2, way > 0 ? box.y : box.bottom()}, Rgb{1, 1, 1}, 1);
  }
  canvas.fill(box, Colour(context.theme.colour("view"), 0.8F), 2);
  style.vertical = Align::Middle;
  style.horizontal = Align::Middle;
  canvas.text({box.x + box.width / 2, box.y + box.height / 2}, of.name, style);
}

Rect cut(const Rect& a, const Rect& b) {
  const double x = std::max(a.x, b.x), y = std::max(a.y, b.y);
  return {x, y, std::max(std::min(a.right(), b.right()) - x, 0.0), std::max(std::min(a.bottom(), b.bottom()) - y, 0.0)};
}

}  // namespace

void paint_axes(Canvas& canvas, const ViewContext& context, const MapAxes& axes, double labels_px) {
  const Rect& plot = axes.plot();
  const Colour grid(Rgb{1, 1, 1}, 0.32F), border(Rgb{1, 1, 1}, 0.8F);
  canvas.push_clip(plot);
  const AxisRun queries = axes.queries(), keys = axes.keys();
  const double left = std::max(axes.x_of(static_cast<double>(keys.begin)), plot.x), right = std::min(axes.x_of(static_cast<double>(keys.end)), plot.right());
  const double top = std::max(axes.y_of(static_cast<double>(queries.begin)), plot.y), bottom = std::min(axes.y_of(static_cast<double>(queries.end)), plot.bottom());
  const double nearest = 6 * context.unit;
  for (std::size_t i = 0; i < axes.marks().size(); ++i) {
    const MapAxes::Mark& mark = axes.marks()[i];
    const bool edge = mark.text || (i > 0 && axes.marks()[i - 1].text);  // where text meets video
    for (const std::int64_t place : {mark.begin, mark.end}) {
      const bool text_edge = mark.text;
      if (!text_edge && (place != mark.begin || edge)) continue;
      const double length_x = axes.x_of(static_cast<double>(mark.end)) - axes.x_of(static_cast<double>(mark.begin));
      const double length_y = axes.y_of(static_cast<double>(mark.end)) - axes.y_of(static_cast<double>(mark.begin));
      const double x = axes.x_of(static_cast<double>(place)), y = axes.y_of(static_cast<double>(place));
      if (place > keys.begin && place < keys.end && (text_edge || length_x >= nearest)) canvas.line({x, top}, {x, bottom}, text_edge ? border : grid);
      if (place > queries.begin && place < queries.end && (text_edge || length_y >= nearest)) canvas.line({left, y}, {right, y}, text_edge ? border : grid);
    }
  }
  canvas.pop_clip();
  paint_labels(canvas, context, axes, labels_px, true);
  paint_labels(canvas, context, axes, labels_px, false);
}

void paint_quadrants(Canvas& canvas, const ViewContext& context, const MapAxes& axes, const QuadrantNotes& notes) {
  if (axes.marks().empty() || !axes.marks().front().text) return;
  const Rect& plot = axes.plot();
  const MapAxes::Mark& text = axes.marks().front();
  const bool text_first = text.begin == 0;
  const AxisRun whole{0, 0, 0, std::max(text.end, axes.marks().back().end)};
  const AxisRun video{0, 0, text_first ? text.end : 0, text_first ? whole.end : text.begin}, words{0, 0, text.begin, text.end};
  const auto area = [&](const AxisRun& q, const AxisRun& k) {
    const double x = axes.x_of(static_cast<double>(k.begin)), y = axes.y_of(static_cast<double>(q.begin));
    return cut({x, y, axes.x_of(static_cast<double>(k.end)) - x, axes.y_of(static_cast<double>(q.end)) - y}, plot);
  };
  for (const QuadrantName& each : {QuadrantName{area(video, video), "V\u2192V" + notes.video_to_video, true, false},
                                   QuadrantName{area(video, words), "V\u2192T" + notes.video_to_text, false, true},
                                   QuadrantName{area(words, video), "T\u2192V" + notes.text_to_video, true, false},
                                   QuadrantName{area(words, words), "T\u2192T" + notes.text_to_text, false, false}}) {
    paint_quadrant_name(canvas, context, each, plot);
  }
}

void paint_brush(Canvas& canvas, const ViewContext& context, const MapAxes& axes) {
  const double u = context.unit;
  const Rect& plot = axes.plot();
  const auto in_queries = [&](std::int64_t token) { return axes.place_of(token) >= axes.queries().begin && axes.place_of(token) < axes.queries().end; };
  const auto in_keys = [&](std::int64_t token) { return axes.place_of(token) >= axes.keys().begin && axes.place_of(token) < axes.keys().end; };
  const Colour brush = context.theme.colour("brush_over"), halo(Rgb{0, 0, 0}, 0.7F);
  // The same tokens as keys: finer, and under the rows.
  canvas.push_clip({plot.x, plot.y - 10 * u, plot.width, plot.height + 10 * u});
  for (const std::int64_t token : context.inspection.locked()) {
    if (!in_keys(token)) continue;
    const Rect column = axes.key_line(token);
    const double x = column.x + column.width / 2;
    canvas.line({x, plot.y}, {x, plot.bottom()}, halo, 2);
    canvas.line({x, plot.y}, {x, plot.bottom()}, brush, 1, Dash::Dotted);
    canvas.triangle({x - 4 * u, plot.y - 7 * u}, {x + 4 * u, plot.y - 7 * u}, {x, plot.y - 1 * u}, context.theme.colour("brush"));
  }
  canvas.pop_clip();
  canvas.push_clip({plot.x - 10 * u, plot.y, plot.width + 10 * u, plot.height});
  for (const std::int64_t token : context.inspection.locked()) {
    if (!in_queries(token)) continue;
    const Rect row = axes.query_line(token);
    const double y = row.y + row.height / 2;
    if (row.height > 3 * u) {
      canvas.outline({plot.x, row.y, plot.width, row.height}, brush);
    } else {
      canvas.line({plot.x, y - u}, {plot.right(), y - u}, halo);
      canvas.line({plot.x, y + u}, {plot.right(), y + u}, halo);
      canvas.line({plot.x, y}, {plot.right(), y}, brush);
    }
    canvas.triangle({plot.x - 7 * u, y - 4 * u}, {plot.x - 7 * u, y + 4 * u}, {plot.x - 1 * u, y}, context.theme.colour("brush"));
  }
  canvas.pop_clip();
  const InspectHover& hover = context.inspection.hover();
  const Colour dash = context.theme.dark ? Rgb{1, 1, 1} : Rgb{0, 0, 0}, under = context.theme.dark ? Rgb{0, 0, 0} : Rgb{1, 1, 1};
  canvas.push_clip(plot);
  const auto dashed = [&](Point a, Point b) {
    canvas.line(a, b, Colour(under.rgb, 0.5F), 3);
    canvas.line(a, b, dash, 1, Dash::Dashed);
  };
  const bool query = hover.query >= 0 && in_queries(hover.query), key = hover.key >= 0 && in_keys(hover.key);
  const Rect row = query ? axes.query_line(hover.query) : Rect{}, column = key ? axes.key_line(hover.key) : Rect{};
  const double y = row.y + row.height / 2, x = column.x + column.width / 2;
  if (query) dashed({plot.x, y}, {plot.right(), y});
  if (key) dashed({x, plot.y}, {x, plot.bottom()});
  if (query && key) {
    const double side = std::max({8 * u, std::min(row.height, column.width) + 2 * u});
    canvas.outline({x - side / 2 - 1, y - side / 2 - 1, side + 2, side + 2}, under);
    canvas.outline({x - side / 2, y - side / 2, side, side}, dash, 1.5);
  }
  canvas.pop_clip();
}

void paint_cells(Canvas& canvas, const MapAxes& axes, const std::shared_ptr<const Bitmap>& bitmap, const std::vector<std::int64_t>& edges, float alpha) {
  const std::vector<AxisRun> runs = axis_runs(edges);
  canvas.push_clip(axes.plot());
  const auto within = [](const AxisRun& run, const AxisRun& range) { return run.end > range.begin && run.begin < range.end; };
  for (const AxisRun& rows : runs) {
    if (!within(rows, axes.visible_queries())) continue;
    for (const AxisRun& columns : runs) {
      if (!within(columns, axes.visible_keys())) continue;
      const double x = axes.x_of(static_cast<double>(columns.begin)), y = axes.y_of(static_cast<double>(rows.begin));
      canvas.image(bitmap, {x, y, axes.x_of(static_cast<double>(columns.end)) - x, axes.y_of(static_cast<double>(rows.end)) - y},
                   {static_cast<double>(columns.cell_begin), static_cast<double>(rows.cell_begin), static_cast<double>(columns.cell_end - columns.cell_begin),
                    static_cast<double>(rows.cell_end - rows.cell_begin)},
                   false, alpha);
    }
  }
  canvas.pop_clip();
}

void paint_tile(Canvas& canvas, const MapAxes& axes, const std::shared_ptr<const Bitmap>& bitmap, std::int64_t query_begin, std::int64_t query_end,
                std::int64_t key_begin, std::int64_t key_end, std::int64_t pool) {
  // Places that the last pixel covers but that are not there are cut off, so that cells keep their size.
  const double x = axes.x_of(static_cast<double>(key_begin)), y = axes.y_of(static_cast<double>(query_begin));
  const double columns = static_cast<double>(key_end - key_begin) / static_cast<double>(pool), rows = static_cast<double>(query_end - query_begin) / static_cast<double>(pool);
  canvas.push_clip(axes.plot());
  canvas.image(bitmap, {x, y, axes.x_of(static_cast<double>(key_end)) - x, axes.y_of(static_cast<double>(query_end)) - y}, {0, 0, columns, rows});
  canvas.pop_clip();
}

bool MapAxes::point(const PointerEvent& event, const ViewContext& context, const std::string& view, bool pairs) {
  if (event.kind == PointerEvent::Kind::Leave) {
    context.inspection.set_hover({});
    return true;
  }
  bool clicked = false;
  const bool moved = pointer(event, context.unit, &clicked);
  std::optional<Pair> pair;
  if (pairs) pair = pick(event.at);
  if (clicked && pair) {
    context.inspection.lock(pair->query, event.shift);
    return true;
  }
  if (event.kind == PointerEvent::Kind::Move && !dragging()) {
    InspectHover hover;
    if (pair) hover = {pair->query, pair->key, view};
    context.inspection.set_hover(hover);
    return true;
  }
  return moved;
}

}  // namespace ditscope::views
