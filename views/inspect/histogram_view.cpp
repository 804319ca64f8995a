// One histogram a layer, under each other on one axis: log-sum-exp or rho of the captured rows, or the error of the heads.
#include <algorithm>
#include <cmath>

#include "views/inspect/drift_series.h"
#include "views/inspect/histogram_rows.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_grid.h"
#include "views/inspect/plot_memo.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Shown {
  std::vector<std::vector<float>> layers;  ///< values of each layer
  std::vector<double> medians;
  PlotAxis axis;
  std::string unit, problem;
  std::int64_t measured = 0;
};

class HistogramView final : public ControlledView {
 public:
  HistogramView()
      : ControlledView({choice_control("quantity", "Quantity", {"lse", "rho", "error"},
                                       "Log-sum-exp of the rows, share of the softmax that they keep, error of the heads over all steps.")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"histogram",
                                "Histograms",
                                "How a quantity is spread over the rows of each layer.",
                                "LSE = log sum exp(q.k / sqrt d), nats; rho = exp(LSE kept - LSE full); error = |O - O full|1 / |O full|1",
                                "Re-ttention, arXiv:2505.22918, Eq. 8; AdaSpa, arXiv:2502.21079",
                                "click a layer moves the cursor",
                                280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) {
      return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    }
    const GridLayout layout = lay_out(context);
    const Shown& shown = fetch(context);
    const double u = context.unit;
    canvas.fill(layout.area, context.theme.colour("view"));
    paint_row_numbers(canvas, context, layout, "L", context.cursor.layer);
    const Plot plot(canvas, context, layout.area, shown.axis, {});
    plot.x_ticks(std::clamp(static_cast<int>(layout.area.width / (70 * u)), 2, 8));
    TextStyle name = label_style(context);
    name.size = 11;
    name.vertical = Align::End;
    canvas.text({layout.area.x, layout.area.y - 3 * u}, fit_text(canvas, title(context, shown), name, layout.area.width), name);
    if (!shown.problem.empty()) return paint_notice(canvas, context, layout.area, shown.problem);
    const int bins = std::clamp(static_cast<int>(layout.area.width / (3 * u)), 16, 160);
    const auto& shares = bins_of(shown, plot.x(), bins);
    for (int layer = 0; layer < layout.rows; ++layer) {
      paint_layer(canvas, context, layout.cell(layer, 0), shares[layer], plot.x().place(shown.medians[layer]), layer);
    }
    if (chosen("quantity") != "error" && !context.inspection.locked().empty()) mark_locked(canvas, context, layout.cell(context.cursor.layer, 0), plot.x());
    if (chosen("quantity") == "rho") {
      mark(canvas, context, layout.area, plot.x(), 1, "1");
      const auto& kept = context.inspection.run(context.cursor.run).record.kept_ratio_requested;
      if (kept && *kept < 1) mark(canvas, context, layout.area, plot.x(), *kept, "uniform " + plot_number(*kept));
    }
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty() || event.kind != PointerEvent::Kind::Press || !event.left) return false;
    const auto at = lay_out(context).pick(event.at);
    if (!at) return false;
    InspectCursor cursor = context.inspection.cursor();
    cursor.layer = at->first;
    context.inspection.set_cursor(cursor);
    return true;
  }

  std::string tooltip(Point point, const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const GridLayout layout = lay_out(context);
    const auto at = layout.pick(point);
    const Shown& shown = fetch(context);
    if (!at || !shown.problem.empty()) return {};
    PlotAxis x = shown.axis;
    x.begin = layout.area.x;
    x.end = layout.area.right();
    const std::size_t count = shown.layers[at->first].size();
    return "Layer " + std::to_string(at->first) + ", " + std::to_string(count) + " values, median " + plot_number(shown.medians[at->first]) + "\nhere: " +
           plot_number(x.value(point.x)) + " " + shown.unit + "\n" + info().formula;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const Shown& shown = fetch(context);
    std::vector<DataArray> arrays;
    for (std::size_t layer = 0; layer < shown.layers.size() && shown.problem.empty(); ++layer) {
      const auto& values = shown.layers[layer];
      arrays.push_back({chosen("quantity") + "_layer_" + std::to_string(layer), {static_cast<std::int64_t>(values.size())}, {values.begin(), values.end()}, {}});
    }
    return arrays;
  }

 private:
  /// Where the locked row of the cursor's head stands among those of its layer.
  void mark_locked(Canvas& canvas, const ViewContext& context, const Rect& cell, const PlotAxis& x) const {
    const Datum<RowTrack> track = row_track(context.inspection, context.cursor, context.inspection.locked().front());
    const auto step = static_cast<std::size_t>(context.cursor.step);
    if (!track || step >= track->rho.size()) return;
    const double at = x.place(chosen("quantity") == "lse" ? track->lse_full[step] : track->rho[step]), size = 4 * context.unit;
    if (!std::isfinite(at)) return;
    canvas.line({at, cell.y}, {at, cell.bottom()}, context.theme.colour("brush"), 1.5);
    canvas.triangle({at - size, cell.y}, {at + size, cell.y}, {at, cell.y + 1.5 * size}, context.theme.colour("brush"));
  }

  GridLayout lay_out(const ViewContext& context) const {
    const double u = context.unit;
    const Rect& area = context.area;
    return {{area.x + 36 * u, area.y + 22 * u, std::max(area.width - 48 * u, 10.0), std::max(area.height - 44 * u, 10.0)},
            std::max(context.inspection.run(context.cursor.run).record.model.layers, 1), 1};
  }

  const Shown& fetch(const ViewContext& context) {
    const InspectCursor& at = context.cursor;
    const bool of_heads = chosen("quantity") == "error";
    const Datum<HeadValues> errors = of_heads ? context.inspection.head_values(at.run, "error_l1_ratio") : Datum<HeadValues>{};
    const Datum<LayerRows> rows = of_heads ? Datum<LayerRows>{} : layer_rows(context.inspection, at);
    const std::string problem = of_heads ? errors.problem : rows.problem;
    const int layers = std::max(context.inspection.run(at.run).record.model.layers, 1);
    return shown_.get({errors.value, rows.value}, chosen("quantity") + " " + std::to_string(layers) + " " + problem, [&] {
      Shown shown;
      shown.problem = problem;
      if (!errors && !rows && problem.empty()) shown.problem = of_heads ? "Reading the figures of this run." : "Reading the rows of all layers.";
      if (rows) shown.layers = chosen("quantity") == "lse" ? rows->lse : rows->rho;
      shown.layers.resize(layers);
      for (const auto& value : errors ? *errors : HeadValues{}) {
        // Full steps have rounding only; it would squeeze the rest into a corner.
        if (value.layer >= 0 && value.layer < layers && value.value > 1e-5) shown.layers[value.layer].push_back(static_cast<float>(value.value));
      }
      finish(&shown);
      return shown;
    });
  }

  void finish(Shown* shown) const {
    shown->unit = chosen("quantity") == "lse" ? "nats" : "";
    Extent extent;
    for (std::vector<float> values : shown->layers) {
      shown->measured += static_cast<std::int64_t>(values.size());
      for (const float value : values) extent.add(value);
      shown->medians.push_back(quantile(values, 0.5));
    }
    if (extent.empty() && shown->problem.empty()) {
      shown->problem = chosen("quantity") == "rho" ? "No row has a rho at this step: the run is dense here, or it was not measured."
                                                   : "This was not measured here. Record it with shadow passes (--shadow all) to have it at every step.";
    }
    if (chosen("quantity") == "rho") {
      extent.add(0);
      extent.add(1);
    }
    shown->axis = fit_axis(extent, chosen("quantity") == "error" ? AxisScale::Log10 : AxisScale::Linear);
  }

  /// Shares of each layer's values in bins of equal px.
  const std::vector<std::vector<double>>& bins_of(const Shown& shown, const PlotAxis& x, int bins) {
    const std::string key = std::to_string(x.begin) + " " + std::to_string(x.end) + " " + std::to_string(bins) + " " + std::to_string(x.low) + " " +
                            std::to_string(x.high) + " " + std::to_string(shown_.generation());
    return bins_.get({}, key, [&] {
      std::vector<std::vector<double>> all;
      for (const auto& values : shown.layers) {
        std::vector<float> places;
        for (const float value : values) places.push_back(static_cast<float>(x.place(value)));
        all.push_back(histogram(places, x.begin, x.end, bins));
      }
      return all;
    });
  }

  std::string title(const ViewContext& context, const Shown& shown) const {
    const std::string values = ", " + std::to_string(shown.measured) + " values";
    if (chosen("quantity") == "error") return "error, L1, heads over all steps, above 1e-5" + values;
    return (chosen("quantity") == "lse" ? "LSE, nats, step " : "rho, step ") + std::to_string(context.cursor.step) + ", rows of all heads" + values;
  }

  static void mark(Canvas& canvas, const ViewContext& context, const Rect& area, const PlotAxis& x, double value, const std::string& text) {
    const double at = x.place(value);
    if (!std::isfinite(at)) return;
    canvas.line({at, area.y}, {at, area.bottom()}, context.theme.colour("text3"), 1, Dash::Dashed);
    TextStyle style = label_style(context);
    style.size = 11;
    style.halo = true;
    style.horizontal = at > area.x + area.width / 2 ? Align::End : Align::Begin;
    canvas.text({at + (style.horizontal == Align::End ? -4 : 4) * context.unit, area.y + 2 * context.unit}, text, style);
  }

  void paint_layer(Canvas& canvas, const ViewContext& context, const Rect& cell, const std::vector<double>& shares, double median, int layer) const {
    const bool here = layer == context.cursor.layer;
    if (here) canvas.fill(cell, context.theme.colour("accent_soft"));
    canvas.line({cell.x, cell.bottom()}, {cell.right(), cell.bottom()}, context.theme.colour("line"), 1);
    const double most = *std::max_element(shares.begin(), shares.end()), width = cell.width / static_cast<double>(shares.size());
    if (most <= 0) return;
    const Colour colour(context.theme.run(context.cursor.run), here ? 1.0F : 0.7F);
    for (std::size_t bin = 0; bin < shares.size(); ++bin) {
      const double height = shares[bin] / most * cell.height * 0.9;
      if (height > 0) canvas.fill({cell.x + static_cast<double>(bin) * width, cell.bottom() - height, width, height}, colour);
    }
    if (std::isfinite(median)) canvas.line({median, cell.y + 2 * context.unit}, {median, cell.bottom()}, context.theme.colour("accent"), 1.5);
  }

  Memo<Shown> shown_;
  Memo<std::vector<std::vector<double>>> bins_;
};

}  // namespace

std::unique_ptr<InspectView> make_histogram_view() { return std::make_unique<HistogramView>(); }

}  // namespace ditscope::views
