// The softmax of one query token: as a curve over the keys, as heat over the frames, and its largest keys.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "views/inspect/colour_map.h"
#include "views/inspect/map_row.h"
#include "views/inspect/mask_data.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/range.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Layout {
  Rect header, curve, frames, table;
};

Layout layout_of(const Rect& area, double unit) {
  Layout l;
  const double pad = 10 * unit;
  l.header = {area.x + pad, area.y + 4 * unit, area.width - 2 * pad, 16 * unit};
  const double table = area.width > 560 * unit ? 270 * unit : 0, below = table > 0 ? 0 : std::min(area.height * 0.3, 150 * unit);
  const double width = area.width - 2 * pad - 34 * unit - (table > 0 ? table + pad : 0), height = area.height - below - 30 * unit;
  l.curve = {area.x + pad + 34 * unit, area.y + 26 * unit, std::max(width, 1.0), std::max(height * 0.42, 1.0)};
  l.frames = {l.curve.x, l.curve.bottom() + 34 * unit, l.curve.width, std::max(area.y + 26 * unit + height - l.curve.bottom() - 44 * unit, 1.0)};
  if (table > 0) l.table = {l.curve.right() + pad, l.curve.y, table, area.height - 36 * unit};
  else if (below > 40 * unit) l.table = {area.x + pad, area.bottom() - below, area.width - 2 * pad, below - 4 * unit};
  return l;
}

class RowsView final : public ControlledView {
 public:
  RowsView()
      : ControlledView({choice_control("colours", "Colours", {"magma", "viridis", "cividis"}, "Of the heat over the frames"),
                        switch_control("exact", "Exact", true, "From q and k, stored or replayed; off: the row of the map")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"rows", "Rows", "What one query token looks at: every key, over the frames, and its largest keys.", "p_j = exp(q.k_j / sqrt(d) - LSE)",
                                "recomputed from q and k, or the row of the map", "click locks, hover shows the key", 280};
    return kInfo;
  }
  std::vector<Control> controls(const ViewContext& context) const override {
    std::vector<Control> all = ControlledView::controls(context);
    if (row_ && on("exact")) all[1].problem = row_->problem;
    return all;
  }
  void set_control(const std::string& name, const std::string& value) override {
    ControlledView::set_control(name, value);
    bitmaps_.clear();
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    Inspection& inspection = context.inspection;
    if (inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    const Layout l = layout_of(context.area, context.unit);
    const TokenGeometry& geometry = inspection.run(context.cursor.run).geometry;
    std::string problem;
    load(context, &problem);
    axes_.lay_out(geometry, {l.curve.x, l.curve.y, l.curve.width, l.curve.width}, Quadrant::All, true);
    canvas.fill(l.curve, context.theme.colour("view"));
    paint_key_axis(canvas, context, l, geometry);
    if (!row_) return paint_notice(canvas, context, l.curve, problem.empty() ? "Loading the row." : problem);
    paint_profile(canvas, context, axes_, l.curve, *row_, range_, context.cursor.run);
    paint_words(canvas, context, l, geometry);
    paint_frames(canvas, context, l.frames, geometry);
    if (l.table.height > 0) paint_table(canvas, context, l.table, geometry);
    paint_key_line(canvas, context, l);
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty() || !row_) return false;
    const Layout l = layout_of(context.area, context.unit);
    const std::int64_t key = key_at(event.at, context, l);
    if (event.kind == PointerEvent::Kind::Press && event.left && key >= 0) {
      context.inspection.lock(key, event.shift);
      return true;
    }
    if (event.kind == PointerEvent::Kind::Move || event.kind == PointerEvent::Kind::Leave) {
      context.inspection.set_hover(key >= 0 && event.kind == PointerEvent::Kind::Move ? InspectHover{row_->query, key, info().id} : InspectHover{});
      return true;
    }
    return false;
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    if (context.inspection.empty() || !row_) return {};
    const std::int64_t key = key_at(at, context, layout_of(context.area, context.unit));
    return key < 0 ? "" : describe(context, key);
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    std::string problem;
    if (context.inspection.empty()) return {};
    load(context, &problem);
    if (!row_) return {};
    const auto tokens = static_cast<std::int64_t>(row_->probability.size());
    return {{"probability", {tokens}, {row_->probability.begin(), row_->probability.end()}, {}}, {"kept", {tokens}, {row_->kept.begin(), row_->kept.end()}, {}}};
  }

  std::string spoken(const ViewContext& context) override {
    return row_ && !context.inspection.empty() ? "Row of " + context.inspection.run(context.cursor.run).geometry.name(row_->query, context.cursor.branch) : info().title;
  }

 private:
  void load(const ViewContext& context, std::string* problem) {
    const InspectCursor& at = context.cursor;
    const std::int64_t query = row_query(context.inspection);
    std::string key;
    for (const std::int64_t n : {query, std::int64_t{at.run}, std::int64_t{at.step}, std::int64_t{at.layer}, std::int64_t{at.head}, std::int64_t{at.branch}}) key += std::to_string(n) + " ";
    key += on("exact") ? "exact" + std::to_string(context.inspection.sources()) : "";
    if (row_ && key == key_ && row_->settled) return;
    const auto row = row_profile(context.inspection, at, at, query, on("exact"), problem);
    if (row && row_ && key == key_ && row->exact == row_->exact && row->settled == row_->settled) return;
    row_ = row;
    key_ = key;
    bitmaps_.clear();
    if (!row_) return;
    range_ = autofit(row_->probability, {ValueScale::Kind::Log10, 1e-6});
    double most = 1e-6;
    for (const float p : row_->probability) most = std::isfinite(p) ? std::max<double>(most, p) : most;
    range_.white = std::log10(most);
    if (range_.white - range_.black < 0.5) range_.black = range_.white - 0.5;
    order_.resize(row_->probability.size());
    std::iota(order_.begin(), order_.end(), 0);
    const std::size_t top = std::min<std::size_t>(order_.size(), 64);
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(top), order_.end(), [&](std::int64_t a, std::int64_t b) {
      const float x = row_->probability[static_cast<std::size_t>(a)], y = row_->probability[static_cast<std::size_t>(b)];
      return x != y ? x > y : a < b;
    });
    order_.resize(top);
  }

  std::string describe(const ViewContext& context, std::int64_t key) const {
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    const double p = row_->probability[static_cast<std::size_t>(key)];
    char text[64];
    std::snprintf(text, sizeof text, " \u00b7 %.2g\u00d7 uniform", p * static_cast<double>(geometry.tokens()));
    return "k " + geometry.name(key, context.cursor.branch) + "\np = " + probability_text(p) + text + "\n" + row_->how + "\n" +
           (row_->kept[static_cast<std::size_t>(key)] ? "kept" : "skipped");
  }

  void paint_words(Canvas& canvas, const ViewContext& context, const Layout& l, const TokenGeometry& geometry) const {
    TextStyle style;
    style.size = 11;
    style.colour = context.theme.colour(context.inspection.locked().empty() ? "text" : "brush");
    style.face = Face::Numbers;
    canvas.push_clip(l.header);
    const std::string name = "Row " + geometry.name(row_->query, context.cursor.branch);
    canvas.text({l.header.x, l.header.y}, name, style);
    double x = l.header.x + canvas.text_width(name, style) + 14 * context.unit;
    style.colour = context.theme.colour("text2");
    char text[96];
    if (row_->exact) std::snprintf(text, sizeof text, "LSE %.3f nats, kept %.1f %% of mass, exact", row_->log_sum_exp, 100 * row_->kept_mass);
    else std::snprintf(text, sizeof text, "kept %.1f %% of mass, pooled", 100 * row_->kept_mass);
    canvas.text({x, l.header.y}, fit_text(canvas, text, style, l.header.right() - x), style);
    canvas.pop_clip();
    style.horizontal = Align::End;
    for (const auto& [axis, y] : {std::pair{range_.white, l.curve.y}, std::pair{range_.black, l.curve.bottom() - 12 * context.unit}}) {
      canvas.text({l.curve.x - 4 * context.unit, y}, exponent_text(std::pow(10, axis), 0), style);
    }
  }

  void paint_key_axis(Canvas& canvas, const ViewContext& context, const Layout& l, const TokenGeometry&) const {
    TextStyle style;
    style.size = 11;
    style.face = Face::Numbers;
    style.colour = context.theme.colour("text2");
    style.horizontal = Align::Middle;
    double last = -1e30;
    for (const MapAxes::Mark& mark : axes_.marks()) {
      const double from = axes_.x_of(static_cast<double>(mark.begin)), to = axes_.x_of(static_cast<double>(mark.end));
      canvas.line({from, l.curve.y}, {from, l.curve.bottom()}, Colour(context.theme.colour("edge"), 0.5F));
      const double half = canvas.text_width(mark.label, style) / 2 + 2 * context.unit, middle = (from + to) / 2;
      if (middle - half < last) continue;
      last = middle + half;
      canvas.text({middle, l.curve.bottom() + 3 * context.unit}, mark.label, style);
    }
    style.face = Face::Words;
    style.horizontal = Align::Begin;
    const std::string said = "p over the frames, key tokens left to right; below as heat";
    canvas.text({l.curve.x, l.curve.bottom() + 17 * context.unit}, fit_text(canvas, said, style, l.curve.width), style);
  }

  struct FrameGrid {
    int columns = 1;
    double width = 0, height = 0, gap = 0;
    Rect rect(const Rect& area, int frame) const {
      return {area.x + (frame % columns) * (width + gap), area.y + (frame / columns) * (height + gap), width, height};
    }
  };
  /// As large as all frames fit.
  static FrameGrid frame_grid(const Rect& area, const TokenGeometry& geometry, double unit) {
    FrameGrid best;
    best.gap = 3 * unit;
    const double aspect = static_cast<double>(geometry.rows()) / geometry.columns();
    for (int columns = 1; columns <= geometry.frames(); ++columns) {
      const int lines = (geometry.frames() + columns - 1) / columns;
      const double width = std::min((area.width - (columns - 1) * best.gap) / columns, ((area.height - (lines - 1) * best.gap) / lines) / aspect);
      if (width > best.width) best = {columns, width, width * aspect, best.gap};
    }
    return best;
  }

  void paint_frames(Canvas& canvas, const ViewContext& context, const Rect& area, const TokenGeometry& geometry) {
    const FrameGrid grid = frame_grid(area, geometry, context.unit);
    if (grid.width < 4) return;
    if (bitmaps_.size() != static_cast<std::size_t>(geometry.frames())) {
      bitmaps_.clear();
      const ColourMap map(chosen("colours"), context.theme);
      const std::size_t sites = static_cast<std::size_t>(geometry.rows()) * geometry.columns();
      for (int frame = 0; frame < geometry.frames(); ++frame) {
        std::vector<std::uint8_t> rgba(sites * 4);
        map.paint({row_->probability.data() + geometry.token(frame, 0, 0), sites}, {ValueScale::Kind::Log10, 1e-6}, range_, rgba.data());
        bitmaps_.push_back(make_bitmap(geometry.columns(), geometry.rows(), std::move(rgba)));
      }
    }
    for (int frame = 0; frame < geometry.frames(); ++frame) {
      const Rect rect = grid.rect(area, frame);
      canvas.image(bitmaps_[static_cast<std::size_t>(frame)], rect, {0, 0, double(geometry.columns()), double(geometry.rows())});
      const auto mark = [&](std::int64_t token, const Colour& colour) {
        if (token < 0 || geometry.is_text(token) || geometry.place(token).frame != frame) return;
        const TokenPlace at = geometry.place(token);
        const double width = rect.width / geometry.columns(), height = rect.height / geometry.rows();
        const double side = std::max(std::max(width, height), 5 * context.unit);
        const Point middle{rect.x + (at.column + 0.5) * width, rect.y + (at.row + 0.5) * height};
        canvas.outline({middle.x - side / 2 - 1, middle.y - side / 2 - 1, side + 2, side + 2}, Colour(Rgb{0, 0, 0}, 0.6F));
        canvas.outline({middle.x - side / 2, middle.y - side / 2, side, side}, colour);
      };
      mark(row_->query, context.theme.colour("brush_over"));
      mark(context.inspection.hover().key, Rgb{1, 1, 1});
    }
  }

  void paint_table(Canvas& canvas, const ViewContext& context, const Rect& area, const TokenGeometry& geometry) const {
    const double u = context.unit, line = 16 * u;
    TextStyle words, numbers;
    words.size = numbers.size = 11;
    words.colour = context.theme.colour("text2");
    numbers.face = Face::Numbers;
    canvas.push_clip(area);
    // Without room for all, the multiple of uniform attention goes: it says the same as p.
    const double state = canvas.text_width("kept  ", numbers), figure = canvas.text_width("0.00e-0  ", numbers);
    const bool uniform = area.width > 110 * u + state + figure + canvas.text_width("\u00d7 uniform  ", words);
    const double uniform_x = area.right() - state, p_x = uniform ? uniform_x - canvas.text_width("\u00d7 uniform  ", words) : uniform_x;
    const double name = p_x - figure - area.x;
    words.horizontal = Align::Begin;
    canvas.text({area.x, area.y}, fit_text(canvas, "Top keys", words, name), words);
    words.horizontal = Align::End;
    canvas.text({p_x, area.y}, "p", words);
    if (uniform) canvas.text({uniform_x, area.y}, "\u00d7 uniform", words);
    double y = area.y + line + 2 * u;
    for (std::size_t i = 0; i < order_.size() && y + line <= area.bottom(); ++i, y += line) {
      const std::int64_t token = order_[i];
      const double p = row_->probability[static_cast<std::size_t>(token)];
      const bool kept = row_->kept[static_cast<std::size_t>(token)];
      numbers.colour = context.theme.colour(token == context.inspection.hover().key ? "accent" : "text");
      numbers.horizontal = Align::Begin;
      canvas.text({area.x, y}, fit_text(canvas, std::to_string(i + 1) + " " + geometry.name(token, context.cursor.branch), numbers, name), numbers);
      numbers.horizontal = Align::End;
      canvas.text({p_x, y}, probability_text(p), numbers);
      char text[32];
      std::snprintf(text, sizeof text, "%.3g", p * static_cast<double>(geometry.tokens()));
      if (uniform) canvas.text({uniform_x, y}, text, numbers);
      numbers.colour = kept ? Colour(context.theme.run(context.cursor.run)) : Colour(context.theme.colour("text3"));
      canvas.text({area.right(), y}, kept ? "kept" : "skip", numbers);
    }
    canvas.pop_clip();
  }

  void paint_key_line(Canvas& canvas, const ViewContext& context, const Layout& l) const {
    const std::int64_t key = context.inspection.hover().key;
    if (key < 0 || key >= static_cast<std::int64_t>(row_->probability.size())) return;
    const double x = axes_.x_of(static_cast<double>(key) + 0.5);
    canvas.line({x, l.curve.y}, {x, l.curve.bottom()}, context.theme.dark ? Rgb{1, 1, 1} : Rgb{0, 0, 0}, 1, Dash::Dashed);
  }

  /// The key under the mouse: on the curve, on a frame, or in the table.
  std::int64_t key_at(Point at, const ViewContext& context, const Layout& l) const {
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    if (l.curve.contains(at)) {
      const auto key = static_cast<std::int64_t>(std::floor(axes_.place_at_x(at.x)));
      return key >= 0 && key < geometry.tokens() ? key : -1;
    }
    if (l.table.contains(at)) {
      const auto line = static_cast<std::int64_t>((at.y - l.table.y) / (16 * context.unit)) - 1;
      return line >= 0 && line < static_cast<std::int64_t>(order_.size()) ? order_[static_cast<std::size_t>(line)] : -1;
    }
    const FrameGrid grid = frame_grid(l.frames, geometry, context.unit);
    for (int frame = 0; frame < geometry.frames(); ++frame) {
      const Rect rect = grid.rect(l.frames, frame);
      if (!rect.contains(at)) continue;
      return geometry.token(frame, std::min(static_cast<int>((at.y - rect.y) / rect.height * geometry.rows()), geometry.rows() - 1),
                            std::min(static_cast<int>((at.x - rect.x) / rect.width * geometry.columns()), geometry.columns() - 1));
    }
    return -1;
  }

  std::string key_;
  MapAxes axes_;
  std::shared_ptr<const RowProfile> row_;
  ValueRange range_;
  std::vector<std::int64_t> order_;  ///< the largest keys
  std::vector<std::shared_ptr<const Bitmap>> bitmaps_;
};

}  // namespace

std::unique_ptr<InspectView> make_rows_view() { return std::make_unique<RowsView>(); }

}  // namespace ditscope::views
