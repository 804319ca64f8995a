// Layer x head: any figure of the heads, at a step or over all of them. A click moves the cursor.
#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_grid.h"
#include "views/inspect/plot_memo.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

/// How a quantity is drawn: kept, recall and time are bars in the run's colour, never a map.
enum class Look { BarsToOne, BarsToMost, Share, Signed, Logarithmic, Plain };

struct Quantity {
  Look look = Look::Plain;
  std::string formula;
};

Quantity quantity_of(const std::string& column) {
  const auto begins = [&](const char* with) { return column.rfind(with, 0) == 0; };
  if (begins("rho_used_over_true")) return {Look::Signed, "rho used / rho true; log2, centred on 1"};
  if (begins("lambda_over_rho")) return {Look::Logarithmic, "lambda / rho true: how much one step adds, against what is there"};
  if (begins("kept_ratio")) return {Look::BarsToOne, "pairs kept / all pairs; a refresh counts 1 + kept"};
  if (begins("recall")) return {Look::BarsToOne, "sum of kept P / sum of P (AdaSpa)"};
  if (begins("iou_previous")) return {Look::BarsToOne, "blocks in both masks / blocks in either, against the step before"};
  if (begins("rho_over_one")) return {Look::BarsToOne, "share of rows whose rho used is above 1"};
  if (begins("execute_ms")) return {Look::BarsToMost, "the call's time, shared out by touched blocks"};
  if (begins("correct_ms")) return {Look::BarsToMost, "what of execute_ms the correction took, shared out the same way"};
  if (begins("plan_ms")) return {Look::BarsToMost, "the call's planning, shared out evenly"};
  if (begins("pv_left_out")) return {Look::BarsToOne, "pairs that were kept and met no V / all pairs (SpargeAttn's pv_skip)"};
  if (begins("rho_")) return {Look::Share, "exp(LSE kept - LSE full), Re-ttention Eq. 8; used: its rho0 + (k-1) lambda"};
  if (begins("row_mass")) return {Look::Signed, "sum of the weights of a row; Re-ttention's 1 + (k-1) lambda"};
  if (begins("error") || begins("residual")) return {Look::Logarithmic, "|O - O full| / |O full|, L1 or L2; 1 - cos; residual: |R| / |O full|"};
  if (begins("lse")) return {Look::Plain, "log sum exp(q.k / sqrt d), nats"};
  return {Look::Plain, ""};
}

std::vector<std::string> quantities() {
  std::vector<std::string> names = {"recall", "rho_used_over_true", "lambda_over_rho"};
  for (const std::string& column : CaptureReader::head_columns()) {
    if (column != "plan_id" && column != "recall") names.push_back(column);
  }
  return names;
}

struct Shown {
  ValueGrid grid;    ///< (L,H)
  Extent all;        ///< 2 to 98 % of every step, so that the range stays while stepping
  double most = 0;   ///< what a full bar is
  std::string problem;
  bool loading = false;
};

class LayerHeadView final : public ControlledView {
 public:
  LayerHeadView()
      : ControlledView({choice_control("quantity", "Quantity", quantities(), "Any figure of a head; docs/capture.md has their formulas."),
                        choice_control("over", "Over", {"step", "all steps"}, "The step under the cursor, or the mean of all steps that measured it.")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"layer_head",
                                "Layer x head",
                                "One figure for each head of each layer.",
                                "mean over steps of what was measured; lambda / rho: lambda / rho true",
                                "Re-ttention, arXiv:2505.22918; AdaSpa, arXiv:2502.21079",
                                "click moves the cursor",
                                280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) {
      return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    }
    const Shown& shown = fetch(context);
    const GridLayout layout = lay_out(context);
    const Quantity quantity = quantity_of(chosen("quantity"));
    const double u = context.unit;
    const Rect legend{layout.area.x, layout.area.bottom() + 4 * u, layout.area.width, 16 * u};
    paint_row_numbers(canvas, context, layout, "L", context.cursor.layer);
    paint_column_numbers(canvas, context, layout, "", context.cursor.head, false);
    Extent here;
    here.add(shown.grid.values);
    const bool bars = quantity.look == Look::BarsToOne || quantity.look == Look::BarsToMost;
    if (here.empty()) {
      canvas.fill(layout.area, context.theme.colour("view"));
      const std::string why = shown.loading ? "Reading the figures of this run." : !shown.problem.empty() ? shown.problem : "This was not measured here. " + remedy();
      paint_notice(canvas, context, layout.area, why);
    } else if (bars) {
      const double most = quantity.look == Look::BarsToOne ? 1 : shown.most;
      paint_grid_bars(canvas, context, layout, shown.grid, most, context.theme.run(context.cursor.run));
      TextStyle style = label_style(context);
      style.size = 11;
      style.vertical = Align::Middle;
      canvas.text({legend.x, legend.y + 8 * u}, fit_text(canvas, chosen("quantity") + ", full cell: " + plot_number(most), style, legend.width), style);
    } else {
      const ColourMap map(quantity.look == Look::Signed ? "diverging" : "magma", context.theme);
      ValueScale scale;
      const ValueRange range = range_of(quantity.look, shown.all, &scale);
      paint_grid(canvas, context, layout, shown.grid, map, scale, range);
      paint_colour_bar(canvas, context, legend, map, scale, range, chosen("quantity"));
      // Black or white, whichever stands out from the cell.
      paint_values(canvas, context, layout, shown.grid, false, [&](double value) {
        const Rgb cell = map.of(value, scale, range), black{}, white{1, 1, 1};
        return contrast_ratio(cell, black) > contrast_ratio(cell, white) ? black : white;
      });
    }
    if (!here.empty() && bars) paint_values(canvas, context, layout, shown.grid, true, [&](double) { return context.theme.colour("text"); });
    const Rect at = layout.cell(context.cursor.layer, context.cursor.head);
    canvas.outline({at.x + 0.5, at.y + 0.5, at.width - 1, at.height - 1}, context.theme.colour("accent"), 2);
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty() || event.kind != PointerEvent::Kind::Press || !event.left) return false;
    const auto at = lay_out(context).pick(event.at);
    if (!at) return false;
    InspectCursor cursor = context.inspection.cursor();
    cursor.layer = at->first;
    cursor.head = at->second;
    context.inspection.set_cursor(cursor);
    return true;
  }

  std::string tooltip(Point point, const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const auto at = lay_out(context).pick(point);
    if (!at) return {};
    const Shown& shown = fetch(context);
    if (shown.grid.values.empty()) return {};
    return "Layer " + std::to_string(at->first) + ", head " + std::to_string(at->second) + "\n" + chosen("quantity") + ": " +
           plot_number(shown.grid.at(at->first, at->second)) + "\n" + quantity_of(chosen("quantity")).formula;
  }

  std::string spoken(const ViewContext& context) override {
    if (context.inspection.empty()) return info().title;
    const Shown& shown = fetch(context);
    const std::string value = shown.grid.values.empty() ? "-" : plot_number(shown.grid.at(context.cursor.layer, context.cursor.head));
    return "Layer " + std::to_string(context.cursor.layer) + " head " + std::to_string(context.cursor.head) + ", " + chosen("quantity") + " " + value;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const Shown& shown = fetch(context);
    return {{chosen("quantity"), {shown.grid.rows, shown.grid.columns}, shown.grid.values, {}}};
  }

 private:
  GridLayout lay_out(const ViewContext& context) const {
    const CaptureModel& model = context.inspection.run(context.cursor.run).record.model;
    const double u = context.unit;
    const Rect& area = context.area;
    const double left = area.x + 36 * u, top = area.y + 24 * u;
    return {{left, top, std::max(area.right() - 10 * u - left, 10.0), std::max(area.bottom() - 26 * u - top, 10.0)},
            std::max(model.layers, 1), std::max(model.heads, 1)};
  }

  std::string remedy() const {
    return chosen("quantity").rfind("rho_used", 0) == 0 || chosen("quantity").rfind("lambda", 0) == 0
               ? "Only Re-ttention has a rho of its own, at its sparse steps."
               : "Record it with shadow passes (--shadow all) to have it at every step.";
  }

  const Shown& fetch(const ViewContext& context) {
    const std::string& name = chosen("quantity");
    const InspectCursor& at = context.cursor;
    const CaptureRun& record = context.inspection.run(at.run).record;
    // lambda / rho is made of the second column alone.
    const std::string columns[2] = {name == "rho_used_over_true" ? "rho_used_mean" : name == "lambda_over_rho" ? "" : name,
                                    name == "rho_used_over_true" || name == "lambda_over_rho" ? "rho_true_mean" : ""};
    Datum<HeadValues> data[2];
    for (int i = 0; i < 2; ++i) {
      if (!columns[i].empty()) data[i] = context.inspection.head_values(at.run, columns[i]);
    }
    std::string key = name + " " + chosen("over") + " " + std::to_string(at.branch) + " " + record.parameters + " " + std::to_string(record.model.layers) + " " +
                      std::to_string(record.model.heads) + data[0].problem + data[1].problem;
    if (chosen("over") == "step") key += " " + std::to_string(at.step);
    return shown_.get({data[0].value, data[1].value}, key, [&] { return make(context, data[0], data[1]); });
  }

  Shown make(const ViewContext& context, const Datum<HeadValues>& first, const Datum<HeadValues>& second) const {
    const std::string& name = chosen("quantity");
    const CaptureRun& record = context.inspection.run(context.cursor.run).record;
    Shown shown;
    HeadValues all;
    if (name == "rho_used_over_true") {
      if (first && second) all = ratio_of(*first, *second);
    } else if (name == "lambda_over_rho") {
      if (second) all = *second;
      const auto parameters = nlohmann::json::parse(record.parameters, nullptr, false);
      const bool has = parameters.is_object() && parameters.contains("lambda") && parameters["lambda"].is_number();
      if (!has) shown.problem = "This method has no lambda. Put the cursor on a run of Re-ttention.";
      for (auto& value : all) value.value = has && value.value > 0 ? parameters["lambda"].get<double>() / value.value : std::nan("");
    } else if (first) {
      all = *first;
    }
    shown.loading = all.empty() && first.problem.empty() && second.problem.empty();
    if (shown.problem.empty()) shown.problem = first.problem + second.problem;
    std::vector<float> finite;
    Series every;
    for (const auto& value : all) {
      every.push_back(value.value);
      finite.push_back(static_cast<float>(value.value));
    }
    shown.most = bar_top(every);
    shown.all.add(quantile(finite, 0.02));
    shown.all.add(quantile(finite, 0.98));
    HeadChoice choice;
    choice.branch = context.cursor.branch;
    if (chosen("over") == "step") choice.step = context.cursor.step;
    shown.grid = mean_by_layer_and_head(all, std::max(record.model.layers, 1), std::max(record.model.heads, 1), choice);
    return shown;
  }

  Memo<Shown> shown_;

  static ValueRange range_of(Look look, const Extent& all, ValueScale* scale) {
    switch (look) {
      case Look::Signed: {
        *scale = {ValueScale::Kind::Log2, 1.0 / 1024};
        const double most = std::max(std::fabs(std::log2(std::max(all.high, 1e-3))), std::fabs(std::log2(std::max(all.low, 1e-3))));
        const double half = std::clamp(std::ceil(most * 4) / 4, 0.25, 10.0);
        return {-half, half};
      }
      case Look::Logarithmic:
        *scale = {ValueScale::Kind::Log10, std::max(all.high * 1e-4, 1e-9)};
        return {scale->to_axis(std::max(all.low, scale->floor)), scale->to_axis(all.high)};
      case Look::Share:
        return {0, std::max(1.0, all.high)};
      default:
        return {all.low, all.high > all.low ? all.high : all.low + 1};
    }
  }

  /// Numbers in the cells where they fit.
  static void paint_values(Canvas& canvas, const ViewContext& context, const GridLayout& layout, const ValueGrid& grid, bool at_top,
                           const std::function<Rgb(double)>& ink) {
    TextStyle style = tick_style(context);
    style.horizontal = Align::Middle;
    style.vertical = at_top ? Align::Begin : Align::Middle;
    style.halo = at_top;
    const Rect first = layout.cell(0, 0);
    if (first.width < canvas.text_width("0.000", style) + 6 * context.unit || first.height < 15 * context.unit) return;
    for (int row = 0; row < grid.rows; ++row) {
      for (int column = 0; column < grid.columns; ++column) {
        if (std::isnan(grid.at(row, column))) continue;
        const Rect cell = layout.cell(row, column);
        style.colour = ink(grid.at(row, column));
        canvas.text({cell.x + cell.width / 2, at_top ? cell.y + 2 * context.unit : cell.y + cell.height / 2}, plot_number(grid.at(row, column)), style);
      }
    }
  }
};

}  // namespace

std::unique_ptr<InspectView> make_layer_head_view() { return std::make_unique<LayerHeadView>(); }

}  // namespace ditscope::views
