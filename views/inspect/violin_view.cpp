// Log-sum-exp of the rows at each step as violins: where they stay where they are, a denominator may be taken from an earlier step.
// @see AdaSpa, arXiv:2502.21079: the log-sum-exp of a row hardly changes over the steps
#include <algorithm>
#include <cmath>

#include "views/inspect/drift_series.h"
#include "views/inspect/histogram_rows.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

class ViolinView final : public ControlledView {
 public:
  ViolinView() : ControlledView({choice_control("rows", "Rows", {"head", "layer"}, "Rows of the head under the cursor, or of all heads of its layer.")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"violin",
                                "LSE violins",
                                "The spread of the rows' log-sum-exp at each step: AdaSpa's invariance is a row of equal violins.",
                                "LSE = log sum exp(q.k / sqrt d), nats; below: mean |LSE - LSE of the step before|",
                                "AdaSpa, arXiv:2502.21079",
                                "click step, drag scrub",
                                280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) {
      return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    }
    const InspectedRun& run = context.inspection.run(context.cursor.run);
    const int steps = run.record.steps;
    const auto [upper, lower] = lay_out(context);
    const Datum<RowSeries> rows = row_series(context.inspection, context.cursor, chosen("rows") == "layer");
    Extent extent;
    if (rows) {
      for (const auto& step : rows->steps) {
        for (const float value : step.lse_full) extent.add(value);
      }
    }
    const std::vector<std::string> actions = step_actions(run, context.cursor.layer);
    const Plot plot(canvas, context, upper, step_axis(steps), fit_axis(extent));
    plot.ground();
    plot.hatch_steps(actions);
    plot.y_ticks(std::clamp(static_cast<int>(upper.height / (28 * context.unit)), 2, 8));
    plot.mark_refreshes(actions);
    plot.y_name(context.area.x + 8 * context.unit, "LSE", "nats");
    if (!rows || extent.empty()) {
      paint_notice(canvas, context, upper, rows.loading() ? "Reading the rows of this head." : rows ? "No row was captured." : rows.problem);
    } else {
      canvas.push_clip(upper);
      for (int step = 0; step < steps; ++step) paint_violin(canvas, context, plot, violin_of(rows->steps[step].lse_full), step);
      canvas.pop_clip();
    }
    if (!context.inspection.locked().empty()) {
      const Datum<RowTrack> track = row_track(context.inspection, context.cursor, context.inspection.locked().front());
      if (track) plot.curve(track->lse_full, context.theme.colour("brush"));
    }
    plot.cursor(context.cursor.step);
    if (lower.height <= 0) return plot.step_ticks(context.area.x + 8 * context.unit, steps, context.cursor.step);
    const Series delta = changes(context);
    Extent change;
    change.add(delta);
    change.add(0);
    PlotAxis y = fit_axis(change);
    y.low = 0;
    const Plot below(canvas, context, lower, step_axis(steps), y);
    below.ground();
    below.y_ticks(2);
    below.y_name(context.area.x + 8 * context.unit, "\u0394LSE", "nats");
    below.bars(delta, 0, Colour(context.theme.run(context.cursor.run), 0.85F), {});
    below.cursor(context.cursor.step);
    below.step_ticks(context.area.x + 8 * context.unit, steps, context.cursor.step);
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty()) return false;
    if (event.kind == PointerEvent::Kind::Release || event.kind == PointerEvent::Kind::Leave) scrubbing_ = false;
    const int step = step_under(event.at, context);
    if (event.kind == PointerEvent::Kind::Press && event.left && step >= 0) scrubbing_ = true;
    if (!scrubbing_ || step < 0 || step == context.cursor.step) return false;
    InspectCursor cursor = context.inspection.cursor();
    cursor.step = step;
    context.inspection.set_cursor(cursor);
    return true;
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const int step = step_under(at, context);
    const Datum<RowSeries> rows = row_series(context.inspection, context.cursor, chosen("rows") == "layer");
    if (step < 0 || !rows || rows->steps[step].lse_full.empty()) return {};
    const Violin violin = violin_of(rows->steps[step].lse_full);
    return "Step " + std::to_string(step) + ", " + std::to_string(rows->steps[step].measured) + " rows\nLSE median " + plot_number(violin.median) +
           ", half of the rows in " + plot_number(violin.p25) + " to " + plot_number(violin.p75) + ", all in " + plot_number(violin.low) + " to " +
           plot_number(violin.high) + "\n" + info().formula;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const Datum<RowSeries> rows = row_series(context.inspection, context.cursor, chosen("rows") == "layer");
    if (!rows) return {};
    const Series delta = changes(context);
    DataArray table{"lse", {static_cast<std::int64_t>(rows->steps.size()), 7}, {}, {"step", "lowest", "p25", "median", "p75", "highest", "mean_change"}};
    for (std::size_t step = 0; step < rows->steps.size(); ++step) {
      const Violin violin = violin_of(rows->steps[step].lse_full);
      const double none = std::nan("");
      const bool is = !violin.empty();
      const double row[] = {double(step), is ? violin.low : none, is ? violin.p25 : none, is ? violin.median : none, is ? violin.p75 : none,
                            is ? violin.high : none, delta[step]};
      table.values.insert(table.values.end(), std::begin(row), std::end(row));
    }
    return {table};
  }

 private:
  static std::pair<Rect, Rect> lay_out(const ViewContext& context) {
    const double u = context.unit, left = context.area.x + 64 * u, width = std::max(context.area.right() - 10 * u - left, 10.0);
    const double top = context.area.y + 6 * u, bottom = context.area.bottom() - 24 * u, room = std::max(bottom - top, 30.0);
    // Too low for both: the violins.
    if (room < 120 * u) return {{left, top, width, room}, {left, bottom, width, 0}};
    const Rect lower{left, bottom - room * 0.2, width, room * 0.2};
    return {{left, top, width, room * 0.8 - 8 * u}, lower};
  }

  static int step_under(Point at, const ViewContext& context) {
    const int steps = context.inspection.run(context.cursor.run).record.steps;
    PlotAxis x = step_axis(steps);
    const Rect upper = lay_out(context).first;
    x.begin = upper.x;
    x.end = upper.right();
    return step_at(x, at.x, steps);
  }

  Series changes(const ViewContext& context) const {
    const int steps = context.inspection.run(context.cursor.run).record.steps;
    const Datum<HeadValues> values = context.inspection.head_values(context.cursor.run, "lse_delta_mean");
    HeadChoice choice;
    choice.layer = context.cursor.layer;
    choice.branch = context.cursor.branch;
    if (chosen("rows") == "head") choice.head = context.cursor.head;
    return mean_by_step(values ? *values : HeadValues{}, steps, choice);
  }

  void paint_violin(Canvas& canvas, const ViewContext& context, const Plot& plot, const Violin& violin, int step) const {
    if (violin.empty()) return;
    const double x = plot.x().place(step), half = std::max((plot.x().place(1) - plot.x().place(0)) * 0.44, 1.0);
    const Colour colour(context.theme.run(context.cursor.run), step == context.cursor.step ? 0.85F : 0.5F);
    const int pieces = static_cast<int>(violin.widths.size());
    for (int i = 0; i < pieces; ++i) {
      const double from = plot.y().place(violin.low + (violin.high - violin.low) * (i + 1) / pieces);
      const double to = plot.y().place(violin.low + (violin.high - violin.low) * i / pieces);
      const double width = half * violin.widths[i];
      canvas.fill({x - width, from, 2 * width, std::max(to - from, 1.0)}, colour);
    }
    const double median = plot.y().place(violin.median);
    canvas.line({x, plot.y().place(violin.p75)}, {x, plot.y().place(violin.p25)}, context.theme.colour("text"), 2);
    canvas.circle({x, median}, 2.2 * context.unit, context.theme.colour("accent"));
  }

  bool scrubbing_ = false;
};

}  // namespace

std::unique_ptr<InspectView> make_violin_view() { return std::make_unique<ViolinView>(); }

}  // namespace ditscope::views
