// Denominator drift: three plots on one axis of steps (log-sum-exp full and kept; rho true and used; used over true), and a strip of
// rows. @see Re-ttention, arXiv:2505.22918, Eq. 8 (rho) and its code (rho used)
#include <algorithm>
#include <cmath>

#include "views/inspect/colour_map.h"
#include "views/inspect/drift_series.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/plot_values.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

/// Where the parts of the view lie.
struct Layout {
  Rect lse, rho, ratio, strip, readout;  ///< plots have no height, the readout no width where they are off
};

Layout lay_out(const ViewContext& context, bool with_strip) {
  const Rect& area = context.area;
  const double u = context.unit, left = area.x + 68 * u, gap = 8 * u;
  Layout layout;
  double right = area.right() - 10 * u;
  if (area.width >= 440 * u) {
    const double width = std::min(170 * u, area.width * 0.3);
    layout.readout = {right - width, area.y + 8 * u, width, area.height - 16 * u};
    right -= width + 12 * u;
  }
  const double width = std::max(right - left, 20.0), top = area.y + 6 * u, bottom = area.bottom() - 24 * u;
  // Where there are too many to be read, some go: the log-sum-exps first, used over true last.
  const int most = std::max(1, static_cast<int>((bottom - top + gap) / (44 * u)));
  struct Part {
    Rect Layout::*rect;
    double share;
    int worth;
  };
  std::vector<Part> parts{{&Layout::lse, 0.9, 0}, {&Layout::rho, 1.25, 1}, {&Layout::ratio, 0.95, with_strip ? 2 : 3}};
  if (with_strip) parts.push_back({&Layout::strip, 1.1, 3});
  for (const Part& part : parts) layout.*part.rect = {left, top, width, 0};
  double shares = 0;
  std::erase_if(parts, [&](const Part& part) { return part.worth < 4 - most; });
  for (const Part& part : parts) shares += part.share;
  const double room = std::max(bottom - top - gap * (static_cast<double>(parts.size()) - 1), 20.0);
  double y = top;
  for (const Part& part : parts) {
    layout.*part.rect = {left, y, width, room * part.share / shares};
    y = (layout.*part.rect).bottom() + gap;
  }
  return layout;
}

/// Everything one paint needs of a run and branch.
struct Shown {
  Datum<RowSeries> rows;
  Datum<RowTrack> track;                ///< of the first locked token
  std::vector<Datum<RowTrack>> others;  ///< of some more
  Series row_mass;                      ///< mean of the rows of the head
  Datum<CaptureCall> call;
};

class DriftView final : public ControlledView {
 public:
  DriftView()
      : ControlledView({choice_control("rows", "Rows", {"head", "layer", "locked"}, "Rows of the head under the cursor, of all heads of its layer, or of the locked tokens alone."),
                        choice_control("measure", "Drift", {"ratio", "difference", "row mass"},
                                       "rho used over true (log2), rho used less true, or the row mass 1 + (k-1) lambda."),
                        choice_control("against", "Against", {"nothing", "other branch"},
                                       "Draws the other guidance branch dashed: conditional against unconditional."),
                        choice_control("strip", "Strip", {"auto", "drift", "rho", "off"},
                                       "Each step a column, each captured row a line: rho used over true, or rho true. Auto: where there is room."),
                        number_control("alarm", "Alarm", 1.15, 1.0, 16, "Where rho used over true is too far above 1.")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{
        "drift",
        "Drift",
        "How the softmax denominator that a method assumes moves away from the true one.",
        "LSE = log sum exp(q.k / sqrt d), nats; rho true = exp(LSE kept - LSE full); rho used = rho0 + (k-1) lambda, k-th step after a "
        "refresh; drift = used - true, or log2(used / true); row mass = 1 + (k-1) lambda",
        "Re-ttention, arXiv:2505.22918, Eq. 8 and its code; AdaSpa, arXiv:2502.21079 (LSE)",
        "click step, drag scrub, [ ] step",
        280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override;
  bool pointer(const PointerEvent& event, const ViewContext& context) override;
  std::string tooltip(Point at, const ViewContext& context) override;
  std::string spoken(const ViewContext& context) override;
  std::vector<DataArray> data(const ViewContext& context) override;

 private:
  Shown fetch(const ViewContext& context) const;
  bool strip_on(const ViewContext& context) const {
    return chosen("strip") != "off" && (chosen("strip") != "auto" || context.area.height >= 400 * context.unit);
  }
  void paint_lse(Canvas& canvas, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const;
  void paint_rho(Canvas& canvas, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const;
  void paint_ratio(Canvas& canvas, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const;
  void paint_measure(Canvas& canvas, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const;
  PlotAxis measure_axis(const Shown& shown, const RowSeries* other) const;
  Datum<RowSeries> series(const ViewContext& context, const InspectCursor& at) const {
    const bool locked = chosen("rows") == "locked";
    return row_series(context.inspection, at, chosen("rows") == "layer", locked ? context.inspection.locked() : std::vector<std::int64_t>{});
  }
  void paint_strip(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown);
  void paint_numbers(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const;

  bool scrubbing_ = false;
  // The strip as it was painted last, and of what.
  std::shared_ptr<const RowSeries> strip_of_;
  std::string strip_kind_;
  bool strip_dark_ = true;
  std::shared_ptr<const Bitmap> strip_;
};

Shown DriftView::fetch(const ViewContext& context) const {
  Shown shown;
  const std::vector<std::int64_t>& locked = context.inspection.locked();
  shown.rows = series(context, context.cursor);
  shown.call = context.inspection.call(context.cursor);
  if (!locked.empty()) shown.track = row_track(context.inspection, context.cursor, locked.front());
  // Bands say more than dozens of curves.
  constexpr std::size_t kMostCurves = 8;
  for (std::size_t i = 1; locked.size() <= kMostCurves && i < locked.size(); ++i) {
    shown.others.push_back(row_track(context.inspection, context.cursor, locked[i]));
  }
  if (chosen("measure") == "row mass") {
    const Datum<HeadValues> mass = context.inspection.head_values(context.cursor.run, "row_mass_mean");
    HeadChoice choice;
    choice.layer = context.cursor.layer;
    choice.branch = context.cursor.branch;
    if (chosen("rows") != "layer") choice.head = context.cursor.head;
    shown.row_mass = mean_by_step(mass ? *mass : HeadValues{}, context.inspection.run(context.cursor.run).record.steps, choice);
  }
  return shown;
}

/// A tight range of curves with round room; the others only as far as they are shown.
PlotAxis axis_of(std::initializer_list<const Series*> curves, AxisScale scale = AxisScale::Linear) {
  Extent extent;
  for (const Series* curve : curves) {
    if (curve) extent.add(*curve);
  }
  return fit_axis(extent, scale, 0.14);
}

void DriftView::paint(Canvas& canvas, const ViewContext& context) {
  if (context.inspection.empty()) {
    return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
  }
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  const int steps = run.record.steps;
  const Layout layout = lay_out(context, strip_on(context));
  const Shown shown = fetch(context);
  Datum<RowSeries> other;
  if (chosen("against") == "other branch" && run.record.branches.size() > 1) {
    InspectCursor at = context.cursor;
    at.branch = (at.branch + 1) % static_cast<int>(run.record.branches.size());
    other = series(context, at);
  }
  const RowSeries* rows = shown.rows ? shown.rows.value.get() : nullptr;
  const RowSeries* second = other ? other.value.get() : nullptr;
  const RowTrack* track = shown.track ? shown.track.value.get() : nullptr;
  const std::vector<std::string> actions = step_actions(run, context.cursor.layer);

  const PlotAxis x = step_axis(steps);
  PlotAxis lse = rows ? axis_of({&rows->lse_full, &rows->lse_kept, track ? &track->lse_full : nullptr, track ? &track->lse_kept : nullptr,
                                 second ? &second->lse_full : nullptr})
                      : fit_axis({});
  PlotAxis rho = rows ? axis_of({&rows->rho_p10, &rows->rho_p90, &rows->rho_used, track ? &track->rho : nullptr, track ? &track->rho_used : nullptr,
                                 second ? &second->rho : nullptr})
                      : fit_axis({});
  if (rho.high > 0.6) rho.high = std::max(rho.high, 1.03);
  const Plot plots[3] = {{canvas, context, layout.lse, x, lse}, {canvas, context, layout.rho, x, rho}, {canvas, context, layout.ratio, x, measure_axis(shown, second)}};
  const bool mass = chosen("measure") == "row mass", less = chosen("measure") == "difference";
  const char* const names[3][2] = {{"LSE", "nats"}, {"\u03c1", "0-1"}, {mass ? "row" : less ? "\u03c1\u0302 - \u03c1" : "\u03c1\u0302 / \u03c1", mass ? "mass" : less ? "0-1" : "log2"}};
  for (int i = 0; i < 3; ++i) {
    if (plots[i].area().height <= 0) continue;
    plots[i].ground();
    plots[i].hatch_steps(actions);
    plots[i].y_ticks(std::clamp(static_cast<int>(plots[i].area().height / (24 * context.unit)), 3, 5));
    plots[i].mark_refreshes(actions);
    plots[i].y_name(context.area.x + 8 * context.unit, names[i][0], names[i][1]);
  }
  if (!rows) {
    const std::string why = shown.rows.loading() ? "Reading the rows of this head." : shown.rows.problem;
    paint_notice(canvas, context, layout.rho.height > 0 ? layout.rho : layout.ratio.height > 0 ? layout.ratio : layout.strip, why);
  } else {
    if (layout.lse.height > 0) paint_lse(canvas, context, plots[0], shown, second);
    if (layout.rho.height > 0) paint_rho(canvas, context, plots[1], shown, second);
    if (layout.ratio.height <= 0) {
      // the strip alone
    } else if (mass || less) {
      paint_measure(canvas, context, plots[2], shown, second);
    } else {
      paint_ratio(canvas, context, plots[2], shown, second);
    }
    if (strip_on(context)) paint_strip(canvas, context, layout.strip, shown);
  }
  for (const Plot& plot : plots) {
    if (plot.area().height > 0) plot.cursor(context.cursor.step);
  }
  if (strip_on(context)) Plot(canvas, context, layout.strip, x, {}).cursor(context.cursor.step);
  (strip_on(context) ? Plot(canvas, context, layout.strip, x, {}) : plots[2]).step_ticks(context.area.x + 8 * context.unit, steps, context.cursor.step);
  if (layout.readout.width > 0) paint_numbers(canvas, context, layout.readout, shown);
}

void DriftView::paint_lse(Canvas&, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const {
  const RowSeries& rows = *shown.rows;
  const Rgb full = context.theme.run(0), kept = context.theme.run(std::max(context.cursor.run, 1)), brush = context.theme.colour("brush");
  if (other) plot.curve(other->lse_full, Colour(full, 0.7F), 1, Dash::Dashed);
  plot.curve(rows.lse_full, full);
  plot.curve(rows.lse_kept, kept);
  if (shown.track) {
    plot.curve(shown.track->lse_full, brush);
    plot.curve(shown.track->lse_kept, brush, 1.5, Dash::Dashed);
  }
  std::vector<Plot::Label> labels = {{&rows.lse_full, "full", full}, {&rows.lse_kept, "kept", kept}};
  if (shown.track) labels.push_back({&shown.track->lse_full, "row", brush});
  if (other) labels.push_back({&other->lse_full, "full, other branch", Colour(full, 0.8F)});
  plot.end_labels(labels);
}

void DriftView::paint_rho(Canvas& canvas, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const {
  const RowSeries& rows = *shown.rows;
  const Rgb used = context.theme.run(std::max(context.cursor.run, 1)), truth = context.theme.run(0), brush = context.theme.colour("brush");
  Extent any;
  any.add(rows.rho);
  if (any.empty()) {
    const InspectedRun& run = context.inspection.run(context.cursor.run);
    const bool dense = run.record.kept_ratio_achieved.value_or(0) >= 1;
    return paint_notice(canvas, context, plot.area(),
                        dense ? "This run keeps every pair: rho is 1, nothing drifts." : "Rho was not measured. Record it with shadow passes (--shadow all).");
  }
  plot.band(rows.rho_p10, rows.rho_p90, Colour(used, 0.18F));
  plot.band(rows.rho_p25, rows.rho_p75, Colour(used, 0.28F));
  plot.level(1, Colour(context.theme.colour("text3")), Dash::Dotted);
  if (other) plot.curve(other->rho, Colour(truth, 0.7F), 1, Dash::Dashed);
  plot.curve(rows.rho, truth);
  plot.staircase(rows.rho_used, used);
  for (const Datum<RowTrack>& each : shown.others) {
    if (each) plot.curve(each->rho, Colour(brush, 0.6F), 1);
  }
  if (shown.track) {
    plot.curve(shown.track->rho, brush);
    plot.curve(shown.track->rho_used, brush, 1.5, Dash::Dashed);
  }
  std::vector<Plot::Label> labels = {{&rows.rho, "true \u03c1, median", truth}, {&rows.rho_used, "used \u03c1\u0302", used}};
  if (shown.track) labels.push_back({&shown.track->rho, "row " + std::to_string(shown.track->token), brush});
  if (other) labels.push_back({&other->rho, "true, other branch", Colour(truth, 0.8F)});
  plot.end_labels(labels);
  std::int64_t least = 0, most = 0;
  for (const auto& step : rows.steps) {
    if (step.rho.empty()) continue;
    least = least == 0 ? step.measured : std::min(least, step.measured);
    most = std::max(most, step.measured);
  }
  const std::string count = least == most ? std::to_string(most) : std::to_string(least) + " to " + std::to_string(most);
  const bool locked = chosen("rows") == "locked" && !context.inspection.locked().empty();
  plot.note("bands 10-90, 25-75 % of " + count + (locked ? " locked rows" : " rows"), Align::Begin, Align::Begin);
}

void DriftView::paint_ratio(Canvas& canvas, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const {
  const RowSeries& rows = *shown.rows;
  const Theme& theme = context.theme;
  plot.bars(rows.ratio, 1, Colour(theme.colour("positive"), 0.85F), Colour(theme.colour("negative"), 0.85F));
  plot.level(1, theme.colour("text2"), Dash::Solid);
  plot.level(number("alarm"), theme.colour("warn"), Dash::Dashed);
  if (other) plot.curve(other->ratio, Colour(theme.colour("text"), 0.8F), 1, Dash::Dashed);
  if (shown.track) plot.curve(shown.track->ratio, theme.colour("brush"));
  plot.note("alarm " + plot_number(number("alarm"), 0.01), Align::Begin, Align::Begin, "warn");
  const double one = plot.y().place(1), line = 14 * context.unit, words = plot.area().width - 8 * context.unit;
  TextStyle style = label_style(context);
  style.size = 11;
  style.halo = true;
  style.colour = theme.colour("positive");
  style.vertical = Align::End;
  if (one - plot.y().place(number("alarm")) > line + 2 * context.unit) canvas.text({plot.area().x + 4 * context.unit, one - 1 * context.unit}, fit_text(canvas, "above 1: over-weighted", style, words), style);
  style.colour = theme.colour("negative");
  style.vertical = Align::Begin;
  if (plot.area().bottom() - one > line) canvas.text({plot.area().x + 4 * context.unit, one + 1 * context.unit}, fit_text(canvas, "below 1: under-weighted", style, words), style);
}

PlotAxis DriftView::measure_axis(const Shown& shown, const RowSeries* other) const {
  Extent extent;
  const RowSeries* rows = shown.rows ? shown.rows.value.get() : nullptr;
  if (chosen("measure") == "row mass") {
    extent.add(shown.row_mass);
    extent.add(1);
    return fit_axis(extent, AxisScale::Linear, 0.14);
  }
  if (chosen("measure") == "difference") {
    if (rows) extent.add(rows->difference);
    if (other) extent.add(other->difference);
    for (std::size_t step = 0; shown.track && step < shown.track->rho.size(); ++step) extent.add(shown.track->rho_used[step] - shown.track->rho[step]);
    extent.add(0);
    return fit_axis(extent, AxisScale::Linear, 0.14);
  }
  if (rows) extent.add(rows->ratio);
  if (shown.track) extent.add(shown.track->ratio);
  extent.add(number("alarm") * 1.03);
  extent.add(0.9);
  return fit_axis(extent, AxisScale::Log2, 0.08);
}

/// Used less true, or the mass of a row: curves about what they should be.
void DriftView::paint_measure(Canvas&, const ViewContext& context, const Plot& plot, const Shown& shown, const RowSeries* other) const {
  const Theme& theme = context.theme;
  const Colour above(theme.colour("positive"), 0.85F), below(theme.colour("negative"), 0.85F);
  if (chosen("measure") == "row mass") {
    plot.bars(shown.row_mass, 1, above, below);
    plot.level(1, theme.colour("text2"), Dash::Solid);
    return plot.note("1 + (k-1) lambda: what the kept weights and the residual sum to", Align::Begin, Align::Begin);
  }
  plot.bars(shown.rows->difference, 0, above, below);
  plot.level(0, theme.colour("text2"), Dash::Solid);
  if (other) plot.curve(other->difference, Colour(theme.colour("text"), 0.8F), 1, Dash::Dashed);
  if (shown.track) {
    Series own;
    for (std::size_t step = 0; step < shown.track->rho.size(); ++step) own.push_back(shown.track->rho_used[step] - shown.track->rho[step]);
    plot.curve(own, theme.colour("brush"));
  }
  plot.note("0: no drift; above: over-weighted", Align::Begin, Align::Begin);
}

void DriftView::paint_strip(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) {
  const bool drift = chosen("strip") != "rho";
  const RowSeries& rows = *shown.rows;
  const std::int64_t tokens = context.inspection.run(context.cursor.run).geometry.tokens();
  constexpr int kLines = 128;
  const int columns = static_cast<int>(rows.steps.size());
  if (strip_of_ != shown.rows.value || strip_kind_ != chosen("strip") || strip_dark_ != context.theme.dark) {
    // Rows of a line are averaged; a line without a captured row takes the one above it, so that sampled rows tile the strip. Locked
    // rows stand alone.
    const bool locked = chosen("rows") == "locked" && !context.inspection.locked().empty();
    const ColourMap map(drift ? "diverging" : "magma", context.theme);
    const ValueScale scale{drift ? ValueScale::Kind::Log2 : ValueScale::Kind::Linear, 1.0 / 1024};
    const ValueRange range = drift ? ValueRange{-1, 1} : ValueRange{0, 1};
    std::vector<std::uint8_t> pixels(std::size_t{4} * columns * kLines, 0);
    bool any = false;
    for (int step = 0; step < columns; ++step) {
      const auto& at = drift ? rows.steps[step].ratio_tokens : rows.steps[step].tokens;
      const auto& values = drift ? rows.steps[step].ratio : rows.steps[step].rho;
      if (values.empty() || values.size() != at.size()) continue;
      any = true;
      std::vector<double> sum(kLines, 0), count(kLines, 0);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const auto line = static_cast<std::size_t>(std::clamp<std::int64_t>(at[i] * kLines / std::max<std::int64_t>(tokens, 1), 0, kLines - 1));
        sum[line] += values[i];
        ++count[line];
      }
      double last = std::nan("");
      for (int line = 0; line < kLines; ++line) {
        if (count[line] > 0) last = sum[line] / count[line];
        if (count[line] == 0 && (std::isnan(last) || locked)) continue;
        const Rgb colour = map.of(last, scale, range);
        std::uint8_t* pixel = pixels.data() + std::size_t{4} * (std::size_t(line) * columns + step);
        for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(std::lround(255 * (c == 0 ? colour.r : c == 1 ? colour.g : colour.b)));
        pixel[3] = 255;
      }
    }
    strip_ = any ? make_bitmap(columns, kLines, std::move(pixels)) : nullptr;
    strip_of_ = shown.rows.value;
    strip_kind_ = chosen("strip");
    strip_dark_ = context.theme.dark;
  }
  const Plot plot(canvas, context, area, step_axis(columns), {});
  plot.ground();
  plot.hatch_steps(step_actions(context.inspection.run(context.cursor.run), context.cursor.layer));
  plot.y_name(context.area.x + 8 * context.unit, "rows", drift ? "\u03c1\u0302/\u03c1" : "\u03c1");
  if (!strip_) {
    return plot.note(drift ? "no row has both rho used and true" : "rho was not measured", Align::Middle, Align::Middle);
  }
  canvas.image(strip_, area, {0, 0, double(columns), double(kLines)});
  plot.note(drift ? "0.5 to 2, centred on 1.0" : "0 to 1", Align::Begin, Align::End);
  for (const std::int64_t token : context.inspection.locked()) {
    const double y = area.y + area.height * (static_cast<double>(token) + 0.5) / static_cast<double>(std::max<std::int64_t>(tokens, 1));
    const double size = 5 * context.unit;
    canvas.triangle({area.x - size, y - size / 1.6}, {area.x - size, y + size / 1.6}, {area.x, y}, context.theme.colour("brush"));
  }
}

void DriftView::paint_numbers(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const {
  const double line = 17 * context.unit;
  double y = area.y;
  const auto write = [&](const char* name, double value, const char* token = "text", double step = 0.001) {
    if (y + line > area.bottom()) return;
    paint_readout(canvas, context, area.x, area.right(), y, name, plot_number(value, step), token);
    y += line;
  };
  canvas.push_clip(area);
  canvas.text({area.x, y}, "Step " + std::to_string(context.cursor.step) + " \u00b7 median", strong_style(context));
  y += line + 3 * context.unit;
  const auto step = static_cast<std::size_t>(context.cursor.step);
  const auto at = [&](const Series& series) { return step < series.size() ? series[step] : std::nan(""); };
  if (shown.rows) {
    const RowSeries& rows = *shown.rows;
    write("LSE full", at(rows.lse_full), "text", 0.01);
    write("LSE kept", at(rows.lse_kept), "text", 0.01);
    write("true \u03c1", at(rows.rho));
    write("used \u03c1\u0302", at(rows.rho_used));
    write("\u03c1\u0302 / \u03c1", at(rows.ratio), at(rows.ratio) > number("alarm") ? "warn" : "text");
    write("\u03c1\u0302 - \u03c1", at(rows.difference));
  }
  if (shown.call) {
    for (const CaptureHead& head : shown.call->heads) {
      if (head.head != context.cursor.head) continue;
      write("row mass", head.row_mass_mean.value_or(std::nan("")));
      const double tokens = static_cast<double>(context.inspection.run(context.cursor.run).record.tokens());
      if (y + line <= area.bottom()) {
        const std::string over = head.rho_over_one_ratio ? plot_number(std::round(*head.rho_over_one_ratio * tokens), 1) : "-";
        paint_readout(canvas, context, area.x, area.right(), y, "rows \u03c1\u0302 > 1", over);
        y += line;
      }
    }
  }
  if (shown.track && y + 2 * line <= area.bottom()) {
    y += 5 * context.unit;
    TextStyle title = strong_style(context);
    title.colour = context.theme.colour("brush");
    const std::int64_t wanted = context.inspection.locked().front();
    const std::string name = "Row " + std::to_string(shown.track->token) + (shown.track->token == wanted ? "" : ", nearest captured");
    canvas.text({area.x, y}, fit_text(canvas, name, title, area.width), title);
    y += line + 1 * context.unit;
    write("true \u03c1", at(shown.track->rho));
    write("used \u03c1\u0302", at(shown.track->rho_used));
    write("\u03c1\u0302 / \u03c1", at(shown.track->ratio));
  }
  canvas.pop_clip();
}

bool DriftView::pointer(const PointerEvent& event, const ViewContext& context) {
  if (context.inspection.empty()) return false;
  const Layout layout = lay_out(context, strip_on(context));
  PlotAxis x = step_axis(context.inspection.run(context.cursor.run).record.steps);
  x.begin = layout.lse.x;
  x.end = layout.lse.right();
  const int step = step_at(x, event.at.x, context.inspection.run(context.cursor.run).record.steps);
  if (event.kind == PointerEvent::Kind::Release || event.kind == PointerEvent::Kind::Leave) scrubbing_ = false;
  if (event.kind == PointerEvent::Kind::Press && event.left && step >= 0) scrubbing_ = true;
  if (!scrubbing_ || step < 0 || step == context.cursor.step) return false;
  InspectCursor cursor = context.inspection.cursor();
  cursor.step = step;
  context.inspection.set_cursor(cursor);
  return true;
}

std::string DriftView::tooltip(Point at, const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const Layout layout = lay_out(context, strip_on(context));
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  PlotAxis x = step_axis(steps);
  x.begin = layout.lse.x;
  x.end = layout.lse.right();
  const int step = step_at(x, at.x, steps);
  const Datum<RowSeries> rows = series(context, context.cursor);
  if (step < 0 || !rows) return {};
  const std::string head = "step " + std::to_string(step) + ", " + std::to_string(rows->steps[step].measured) + " rows\n";
  const auto value = [&](const Series& series) { return plot_number(series[step]); };
  if (layout.lse.contains(at)) {
    return "Log-sum-exp, median: full " + value(rows->lse_full) + ", kept " + value(rows->lse_kept) + " nats, " + head +
           "LSE = log sum exp(q.k / sqrt d), AdaSpa";
  }
  if (layout.rho.contains(at)) {
    return "rho true " + value(rows->rho) + " (10-90 %: " + value(rows->rho_p10) + " to " + value(rows->rho_p90) + "; 5-95 %: " +
           value(rows->rho_p05) + " to " + value(rows->rho_p95) + "), used " + value(rows->rho_used) + ", " + head +
           "rho = exp(LSE kept - LSE full), Re-ttention Eq. 8";
  }
  if (layout.ratio.contains(at)) {
    return "rho used / true: " + value(rows->ratio) + ", used - true: " + value(rows->difference) + ", " + head + "above 1: what is kept weighs too much";
  }
  return {};
}

std::string DriftView::spoken(const ViewContext& context) {
  if (context.inspection.empty()) return info().title;
  const Datum<RowSeries> rows = series(context, context.cursor);
  std::string text = "Drift, step " + std::to_string(context.cursor.step) + ", layer " + std::to_string(context.cursor.layer) + ", head " +
                     std::to_string(context.cursor.head);
  if (rows) text += ", rho true " + plot_number(rows->rho[context.cursor.step]) + ", used " + plot_number(rows->rho_used[context.cursor.step]);
  return text;
}

std::vector<DataArray> DriftView::data(const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const Shown shown = fetch(context);
  if (!shown.rows) return {};
  const RowSeries& rows = *shown.rows;
  std::vector<std::pair<std::string, const Series*>> columns = {
      {"lse_full", &rows.lse_full}, {"lse_kept", &rows.lse_kept}, {"rho_true_p05", &rows.rho_p05}, {"rho_true_p10", &rows.rho_p10},
      {"rho_true_p25", &rows.rho_p25}, {"rho_true_p50", &rows.rho}, {"rho_true_p75", &rows.rho_p75}, {"rho_true_p90", &rows.rho_p90},
      {"rho_true_p95", &rows.rho_p95}, {"rho_used_p50", &rows.rho_used}, {"rho_used_over_true_p50", &rows.ratio},
      {"rho_used_less_true_p50", &rows.difference}};
  if (shown.track) {
    columns.insert(columns.end(), {{"row_lse_full", &shown.track->lse_full}, {"row_lse_kept", &shown.track->lse_kept},
                                   {"row_rho_true", &shown.track->rho}, {"row_rho_used", &shown.track->rho_used}});
  }
  DataArray table{"drift", {static_cast<std::int64_t>(rows.steps.size()), static_cast<std::int64_t>(columns.size()) + 1}, {}, {"step"}};
  for (const auto& column : columns) table.columns.push_back(column.first);
  for (std::size_t step = 0; step < rows.steps.size(); ++step) {
    table.values.push_back(static_cast<double>(step));
    for (const auto& column : columns) table.values.push_back((*column.second)[step]);
  }
  return {table};
}

}  // namespace

std::unique_ptr<InspectView> make_drift_view() { return std::make_unique<DriftView>(); }

}  // namespace ditscope::views
