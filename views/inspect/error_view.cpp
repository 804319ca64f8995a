// Error and budget: where a method is off and what it saves for that. Step x layer error and time, work skipped against time saved,
// memory, and the first step, layer and head whose error passes a tolerance.
#include <algorithm>
#include <cmath>

#include "views/inspect/budget_work.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_grid.h"
#include "views/inspect/plot_memo.h"
#include "views/inspect/views.h"
#include "views/state/words.h"

namespace ditscope::views {
namespace {

/// Where the parts lie; without height: not shown.
struct Layout {
  Rect link, error, time, work, memory;
  int left_out = 0;  ///< parts for which there is no room
};

struct Shown {
  bool measured = false;
  std::optional<Divergence> divergence;
  ValueGrid error;  ///< (L,S)
  std::shared_ptr<const WorkTable> work, reference;
  std::vector<HeadWork> heads;
  WorkTotals totals;
  bool loading = false;
  std::string problem;
};

class ErrorView final : public ControlledView {
 public:
  ErrorView()
      : ControlledView({choice_control("show", "Show", {"all", "error", "time", "work", "memory"}, "All parts, or one of them."),
                        choice_control("error", "Error", {"error_l1_ratio", "error_ratio", "error_cosine"}, "L1, L2, or 1 - cosine, of the attention output."),
                        number_control("tolerance", "Tolerance", 0.05, 0, 100, "First divergence is where a head's error first passes this.")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"error",
                                "Error and budget",
                                "Where the attention output is off, and what was saved for it: work, time, memory.",
                                "error = |O - O full|1 / |O full|1; work skipped = 1 - FLOPs done / FLOPs dense; time saved = 1 - ms / ms of run A",
                                "AdaSpa, arXiv:2502.21079 (recall, error); Rectified SpaAttn, arXiv:2511.19835 (speed)",
                                "click a cell moves the cursor; click first divergence jumps",
                                280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override;
  bool pointer(const PointerEvent& event, const ViewContext& context) override;
  std::string tooltip(Point at, const ViewContext& context) override;
  std::string spoken(const ViewContext& context) override;
  std::vector<DataArray> data(const ViewContext& context) override;

 private:
  Layout lay_out(const ViewContext& context) const;
  const Shown& fetch(const ViewContext& context);
  GridLayout grid_of(const Rect& area, const ViewContext& context) const {
    const CaptureRun& record = context.inspection.run(context.cursor.run).record;
    return {area, std::max(record.model.layers, 1), std::max(record.steps, 1)};
  }
  void paint_link(Canvas& canvas, const ViewContext& context, const Layout& layout, const Shown& shown) const;
  void paint_errors(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const;
  void paint_times(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const;
  void paint_work(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const;
  void paint_memory(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const;
  Memo<Shown> shown_;
  Memo<std::vector<HeadWork>> heads_;
};

constexpr double kTitle = 20, kAxis = 22;  ///< length above each part, below each with an axis
constexpr double kLeast = 84;              ///< height of a part with both

Layout ErrorView::lay_out(const ViewContext& context) const {
  const double u = context.unit, left = context.area.x + 44 * u;
  const double width = std::max(context.area.right() - 12 * u - left, 10.0);
  Layout layout;
  layout.link = {context.area.x + 10 * u, context.area.y + 4 * u, context.area.width - 20 * u, 20 * u};
  const double top = layout.link.bottom() + 2 * u, bottom = context.area.bottom() - 6 * u;
  const std::string& show = chosen("show");
  Rect* const parts[] = {&layout.error, &layout.time, &layout.work, &layout.memory};
  const char* const names[] = {"error", "time", "work", "memory"};
  const double above = kTitle * u, below = kAxis * u;
  if (show != "all") {
    for (int i = 0; i < 4; ++i) {
      if (show == names[i]) *parts[i] = {left, top + above, width, std::max(bottom - top - above - below - (i == 0 ? 18 * u : 0), 10.0)};
    }
    return layout;
  }
  const double room = bottom - top;
  const auto place = [&](int part, double x, double y, double w, double h) {
    *parts[part] = {x, y + above, w, std::max(h - above - below - (part == 0 ? 18 * u : 0), 8.0)};
  };
  if (context.area.width >= 560 * u && room >= 2 * kLeast * u) {
    const double second = left + (width + 64 * u) / 2, half = context.area.right() - 12 * u - second;
    const bool tall = room >= 3 * 110 * u;  // steps across want width, where there is height for it
    const double share = room / (tall ? 3 : 2);
    place(0, left, top, tall ? width : half, share);
    place(1, tall ? left : second, tall ? top + share : top, tall ? width : half, share);
    place(2, left, bottom - share, half, share);
    place(3, second, bottom - share, half, share);
    return layout;
  }
  const int rows = std::clamp(static_cast<int>(room / (kLeast * u)), 1, 4);
  for (int i = 0; i < rows; ++i) place(i, left, top + i * room / rows, width, room / rows);
  layout.left_out = 4 - rows;
  return layout;
}

const Shown& ErrorView::fetch(const ViewContext& context) {
  const InspectCursor& at = context.cursor;
  const CaptureRun& record = context.inspection.run(at.run).record;
  const Datum<HeadValues> errors = context.inspection.head_values(at.run, chosen("error"));
  const Datum<WorkTable> work = work_table(context.inspection, at.run);
  const Datum<WorkTable> reference = at.run == 0 ? Datum<WorkTable>{} : work_table(context.inspection, 0);
  const std::string key = std::to_string(at.branch) + " " + chosen("tolerance") + " " + std::to_string(record.steps) + " " + errors.problem + work.problem + reference.problem;
  return shown_.get({errors.value, work.value, reference.value}, key, [&] {
    Shown shown;
    shown.loading = errors.loading() || work.loading();
    shown.problem = errors.problem;
    if (errors) {
      shown.measured = !errors->empty();
      shown.divergence = first_divergence(*errors, number("tolerance"));
      HeadChoice choice;
      choice.branch = at.branch;
      shown.error = mean_by_step_and_layer(*errors, std::max(record.steps, 1), std::max(record.model.layers, 1), choice);
    }
    shown.work = work.value;
    shown.reference = reference.value;
    if (work && reference) {
      shown.heads = heads_.get({work.value, reference.value}, "", [&] { return head_work(*work, *reference); });
      shown.totals = work_totals(*work, *reference);
    }
    return shown;
  });
}

void ErrorView::paint(Canvas& canvas, const ViewContext& context) {
  if (context.inspection.empty()) {
    return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
  }
  const Layout layout = lay_out(context);
  const Shown& shown = fetch(context);
  paint_link(canvas, context, layout, shown);
  if (layout.error.height > 0) paint_errors(canvas, context, layout.error, shown);
  if (layout.time.height > 0) paint_times(canvas, context, layout.time, shown);
  if (layout.work.height > 0) paint_work(canvas, context, layout.work, shown);
  if (layout.memory.height > 0) paint_memory(canvas, context, layout.memory, shown);
}

void paint_title(Canvas& canvas, const ViewContext& context, const Rect& part, const std::string& name, const std::string& unit) {
  TextStyle style = strong_style(context), small = label_style(context, "text3");
  small.size = 11;
  style.vertical = small.vertical = Align::End;
  const double y = part.y - 3 * context.unit;
  canvas.text({part.x, y}, name, style);
  const double after = part.x + canvas.text_width(name, style) + 8 * context.unit;
  canvas.text({after, y}, fit_text(canvas, unit, small, part.right() - after), small);
}

void ErrorView::paint_link(Canvas& canvas, const ViewContext& context, const Layout& layout, const Shown& shown) const {
  Rect area = layout.link;
  if (layout.left_out > 0) {
    TextStyle more = label_style(context, "text3");
    more.vertical = Align::Middle;
    more.horizontal = Align::End;
    const std::string text = std::to_string(layout.left_out) + " more: Show";
    canvas.text({area.right(), area.y + area.height / 2}, text, more);
    area.width = std::max(area.width - canvas.text_width(text, more) - 8 * context.unit, 1.0);
  }
  TextStyle style = label_style(context, shown.divergence ? "accent" : "text2");
  style.vertical = Align::Middle;
  std::string text;
  if (shown.divergence) {
    const Divergence& first = *shown.divergence;
    text = "First divergence: step " + std::to_string(first.step) + ", layer " + std::to_string(first.layer) + ", head " + std::to_string(first.head) +
           ": " + plot_number(first.value) + " > " + plot_number(number("tolerance"));
  } else if (shown.measured) {
    text = "No head's error passes " + plot_number(number("tolerance")) + ".";
  } else {
    text = shown.loading ? "Reading the figures of this run." : shown.problem;
  }
  canvas.text({area.x, area.y + area.height / 2}, fit_text(canvas, text, style, area.width), style);
}

void ErrorView::paint_errors(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const {
  const GridLayout layout = grid_of(area, context);
  paint_title(canvas, context, area, "Error", "mean of heads, layer down, step across");
  paint_row_numbers(canvas, context, layout, "L", context.cursor.layer);
  paint_column_numbers(canvas, context, layout, "", context.cursor.step, true);
  const Extent extent = shown.error.extent();
  if (extent.empty()) {
    canvas.fill(area, context.theme.colour("view"));
    return paint_notice(canvas, context, area, shown.loading ? "Reading the figures of this run." : "No errors were measured. Record it with shadow passes (--shadow all) to have them at every step.");
  }
  const ValueScale scale{ValueScale::Kind::Log10, std::max(extent.high * 1e-4, 1e-9)};
  const ColourMap map("magma", context.theme);
  const ValueRange range{scale.to_axis(scale.floor), scale.to_axis(std::max(extent.high, scale.floor * 10))};
  paint_grid(canvas, context, layout, shown.error, map, scale, range);
  const Rect at = layout.cell(context.cursor.layer, context.cursor.step);
  canvas.outline(at, context.theme.colour("accent"), 2);
  if (shown.divergence) {
    const Rect first = layout.cell(shown.divergence->layer, shown.divergence->step);
    canvas.outline(first, context.theme.colour("error"), 2);
  }
  paint_colour_bar(canvas, context, {area.x, area.bottom() + kAxis * context.unit, area.width, 14 * context.unit}, map, scale, range, chosen("error"));
}

void ErrorView::paint_times(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const {
  const GridLayout layout = grid_of(area, context);
  ValueGrid grid = shown.work ? shown.work->time_grid(layout.columns, layout.rows) : ValueGrid{layout.rows, layout.columns, std::vector<double>(std::size_t(layout.rows) * layout.columns, std::nan(""))};
  ValueGrid reference;
  Series both = grid.values;
  if (shown.reference) {
    reference = shown.reference->time_grid(layout.columns, layout.rows);
    both.insert(both.end(), reference.values.begin(), reference.values.end());
  }
  const double top = bar_top(both);
  Extent extent;
  extent.add(both);
  const bool cut = !extent.empty() && extent.high > top;
  const std::string most = extent.empty() ? "" : ", full cell " + plot_number(top) + " ms" + (cut ? " (longest " + plot_number(extent.high) + ")" : "");
  paint_title(canvas, context, area, "Attention time", "all branches" + most + (shown.reference ? "; line: run A" : ""));
  paint_row_numbers(canvas, context, layout, "L", context.cursor.layer);
  paint_column_numbers(canvas, context, layout, "", context.cursor.step, true);
  paint_grid_bars(canvas, context, layout, grid, top > 0 ? top : 1, context.theme.run(context.cursor.run));
  for (int row = 0; row < reference.rows; ++row) {
    for (int column = 0; column < reference.columns; ++column) {
      const double value = reference.at(row, column);
      if (!std::isfinite(value) || top <= 0) continue;
      const Rect cell = layout.cell(row, column);
      const double y = cell.bottom() - std::min(value / top, 1.0) * (cell.height - std::min(2 * context.unit, cell.height * 0.15));
      canvas.line({cell.x, y}, {cell.right(), y}, context.theme.run(0), 1);
    }
  }
  canvas.outline(layout.cell(context.cursor.layer, context.cursor.step), context.theme.colour("accent"), 2);
}

void ErrorView::paint_work(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const {
  const Theme& theme = context.theme;
  const std::vector<HeadWork>& heads = shown.heads;
  Extent saved;
  for (const HeadWork& head : heads) saved.add(head.saved);
  saved.add(0);
  saved.add(1);
  PlotAxis x, y = fit_axis(saved);
  x.low = 0;
  x.high = 1;
  const Plot plot(canvas, context, area, x, y);
  paint_title(canvas, context, area, "Time saved", "vs work skipped, by head");
  plot.ground();
  plot.y_ticks(4);
  plot.x_ticks(std::clamp(static_cast<int>(area.width / (60 * context.unit)), 2, 6));
  if (heads.empty()) {
    return paint_notice(canvas, context, area,
                        context.cursor.run == 0 ? "Run A is the reference. Put the cursor on another run." : "No sparse step was timed in both runs.");
  }
  canvas.push_clip(area);
  canvas.line({plot.x().place(0), plot.y().place(0)}, {plot.x().place(1), plot.y().place(1)}, theme.colour("text3"), 1, Dash::Dashed);
  canvas.line({area.x, plot.y().place(0)}, {area.right(), plot.y().place(0)}, theme.colour("text2"), 1);
  for (const bool cursor : {false, true}) {  // the cursor's layer and head on top
    for (const HeadWork& head : heads) {
      const bool layer = head.layer == context.cursor.layer, here = layer && head.head == context.cursor.head;
      if (layer != cursor) continue;
      const Colour colour = here ? Colour(theme.colour("accent")) : Colour(theme.run(context.cursor.run), layer ? 1.0F : 0.35F);
      const Point at{plot.x().place(std::clamp(head.skipped, 0.0, 1.0)), plot.y().place(head.saved)};
      if (std::isfinite(at.y)) canvas.circle(at, (here ? 4.5 : layer ? 3 : 2.2) * context.unit, colour);
    }
  }
  canvas.pop_clip();
  const WorkTotals& totals = shown.totals;
  const std::string text = "work skipped " + percent_text(totals.skipped) + ", time saved " + percent_text(totals.saved);
  plot.note((totals.saved < 0 ? "Slower than run A: " : "") + text, Align::Begin, Align::Begin, totals.saved < 0 ? "warn" : "text2");
}

void ErrorView::paint_memory(Canvas& canvas, const ViewContext& context, const Rect& area, const Shown& shown) const {
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  const int steps = run.record.steps;
  Series state(steps, std::nan("")), plans(steps, std::nan(""));
  for (const CaptureStep& step : run.steps) {
    if (step.step < steps) state[step.step] = static_cast<double>(step.state_bytes) / 1e6;
  }
  if (shown.work) plans = shown.work->plan_megabytes(steps);
  Extent extent;
  extent.add(state);
  extent.add(plans);
  extent.add(0);
  PlotAxis y = fit_axis(extent);
  y.low = 0;
  if (extent.high <= 0) y.high = 1;
  const Plot plot(canvas, context, area, step_axis(steps), y);
  paint_title(canvas, context, area, "Memory held", "MB; line: masks");
  plot.ground();
  plot.hatch_steps(step_actions(run, -1));
  plot.y_ticks(3);
  plot.bars(state, 0, Colour(context.theme.run(context.cursor.run), 0.8F), {});
  plot.curve(plans, context.theme.colour("text"), 1);
  plot.cursor(context.cursor.step);
  plot.step_ticks(area.x, steps, context.cursor.step);
  if (extent.high <= 0) plot.note("nothing is remembered between steps", Align::Middle, Align::Middle);
}

bool ErrorView::pointer(const PointerEvent& event, const ViewContext& context) {
  if (context.inspection.empty() || event.kind != PointerEvent::Kind::Press || !event.left) return false;
  const Layout layout = lay_out(context);
  InspectCursor cursor = context.inspection.cursor();
  if (layout.link.contains(event.at)) {
    const Shown& shown = fetch(context);
    if (!shown.divergence) return false;
    cursor.step = shown.divergence->step;
    cursor.layer = shown.divergence->layer;
    cursor.head = shown.divergence->head;
    cursor.branch = shown.divergence->branch;
  } else if (const auto cell = grid_of(layout.error, context).pick(event.at); cell && layout.error.height > 0) {
    cursor.layer = cell->first;
    cursor.step = cell->second;
  } else if (const auto other = grid_of(layout.time, context).pick(event.at); other && layout.time.height > 0) {
    cursor.layer = other->first;
    cursor.step = other->second;
  } else {
    return false;
  }
  context.inspection.set_cursor(cursor);
  return true;
}

std::string ErrorView::tooltip(Point at, const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const Layout layout = lay_out(context);
  const Shown& shown = fetch(context);
  if (layout.link.contains(at)) return "The earliest step, in it the earliest layer, in it the head that is furthest off. Click to go there.";
  if (const auto cell = grid_of(layout.error, context).pick(at); cell && !shown.error.values.empty()) {
    return "Layer " + std::to_string(cell->first) + ", step " + std::to_string(cell->second) + "\n" + chosen("error") + ", mean of heads: " +
           plot_number(shown.error.at(cell->first, cell->second)) + "\n" + info().formula;
  }
  const GridLayout times = grid_of(layout.time, context);
  if (const auto cell = times.pick(at); cell && shown.work) {
    const double ms = shown.work->time_grid(times.columns, times.rows).at(cell->first, cell->second);
    return "Layer " + std::to_string(cell->first) + ", step " + std::to_string(cell->second) + "\nattention " + plot_number(ms) + " ms, planning included";
  }
  if (layout.work.contains(at)) return "A dot below the dashed line saves less time than work.\nwork: 1 - touched blocks / all blocks; time: 1 - ms / ms of run A";
  if (layout.memory.contains(at)) return "Bytes that the method keeps from step to step, and those of its masks.";
  return {};
}

std::string ErrorView::spoken(const ViewContext& context) {
  if (context.inspection.empty()) return info().title;
  const Shown& shown = fetch(context);
  if (!shown.divergence) return "Error and budget, no divergence above " + plot_number(number("tolerance"));
  return "Error and budget, first divergence at step " + std::to_string(shown.divergence->step) + ", layer " + std::to_string(shown.divergence->layer) +
         ", head " + std::to_string(shown.divergence->head);
}

std::vector<DataArray> ErrorView::data(const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const Shown& shown = fetch(context);
  std::vector<DataArray> arrays;
  arrays.push_back({chosen("error"), {shown.error.rows, shown.error.columns}, shown.error.values, {}});
  if (shown.work) {
    ValueGrid time = shown.work->time_grid(shown.error.columns, shown.error.rows);
    arrays.push_back({"attention_ms", {time.rows, time.columns}, std::move(time.values), {}});
  }
  if (shown.work && shown.reference) {
    DataArray heads{"heads", {}, {}, {"layer", "head", "work_skipped_ratio", "time_saved_ratio"}};
    for (const HeadWork& head : shown.heads) {
      heads.values.insert(heads.values.end(), {double(head.layer), double(head.head), head.skipped, head.saved});
    }
    heads.shape = {static_cast<std::int64_t>(heads.values.size() / 4), 4};
    arrays.push_back(std::move(heads));
  }
  return arrays;
}

}  // namespace

std::unique_ptr<InspectView> make_error_view() { return std::make_unique<ErrorView>(); }

}  // namespace ditscope::views
