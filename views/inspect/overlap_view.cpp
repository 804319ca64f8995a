// How much masks have in common: between steps, heads, layers or runs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "views/inspect/colour_map.h"
#include "views/inspect/heads_data.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Overlap {
  std::vector<int> items;       ///< steps, heads, layers or runs
  std::vector<double> iou;      // (n,n)
};

class OverlapView final : public ControlledView {
 public:
  OverlapView()
      : ControlledView({choice_control("between", "Between", {"steps", "heads", "layers", "runs"},
                                       "What lies along both axes; the rest is the cursor's. Runs: of other methods, prompts or seeds")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"overlap", "Overlap", "How much two masks have in common, between steps, heads, layers or runs.",
                                "IoU = blocks that both keep / blocks that either keeps, in blocks of 64 x 64", "AdaSpa, Sec. 3: masks of neighbouring steps", "click goes there", 280};
    return kInfo;
  }
  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    const double u = context.unit;
    std::string problem;
    const std::shared_ptr<const Overlap> overlap = load(context, &problem);
    const Rect area{context.area.x + 40 * u, context.area.y + 26 * u, context.area.width - 52 * u, context.area.height - 52 * u};
    const int count = overlap ? static_cast<int>(overlap->items.size()) : 0;
    layout_ = cell_layout(area, std::max(count, 1), std::max(count, 1), 64 * u, u);
    if (!overlap || count == 0) {
      canvas.outline({area.x, area.y, layout_.cell, layout_.cell}, context.theme.colour("line"));
      return paint_notice(canvas, context, area, !problem.empty() ? problem : overlap ? "No masks were captured here." : "Comparing masks.");
    }
    const ColourMap map("viridis", context.theme);
    std::vector<float> values(overlap->iou.begin(), overlap->iou.end());
    std::vector<std::uint8_t> rgba(values.size() * 4);
    map.paint(values, {}, {0, 1}, rgba.data());
    const bool gaps = std::any_of(values.begin(), values.end(), [](float iou) { return std::isnan(iou); });
    for (std::size_t i = 0; i < values.size(); ++i) rgba[4 * i + 3] = std::isnan(values[i]) ? 0 : 255;  // no damaged number: nothing to compare
    if (rgba != rgba_ || !bitmap_) {
      rgba_ = rgba;
      bitmap_ = make_bitmap(count, count, std::move(rgba));
    }
    const double side = layout_.cell * count;
    if (gaps) {
      canvas.fill({layout_.x, layout_.y, side, side}, context.theme.colour("view"));
      paint_hatch(canvas, {layout_.x, layout_.y, side, side}, context.theme.colour("edge"));
    }
    canvas.image(bitmap_, {layout_.x, layout_.y, side, side}, {0, 0, double(count), double(count)});
    TextStyle style;
    style.face = Face::Numbers;
    style.size = 11;
    style.vertical = Align::Middle;
    const int every = std::max(1, static_cast<int>(std::ceil(22 * u / layout_.cell)));
    const int own = own_item(context);
    const int own_at = static_cast<int>(std::find(overlap->items.begin(), overlap->items.end(), own) - overlap->items.begin());
    for (int i = 0; i < count; ++i) {
      const bool here = overlap->items[i] == own;
      if (!here && (i % every != 0 || std::abs(i - own_at) < every)) continue;
      style.colour = context.theme.colour(here ? "text" : "text2");
      style.horizontal = Align::Middle;
      const std::string label = chosen("between") == "runs" ? std::string(1, context.inspection.run(overlap->items[i]).letter) : std::to_string(overlap->items[i]);
      canvas.text({layout_.x + (i + 0.5) * layout_.cell, layout_.y - 9 * u}, label, style);
      style.horizontal = Align::End;
      canvas.text({layout_.x - 5 * u, layout_.y + (i + 0.5) * layout_.cell}, label, style);
    }
    style.horizontal = Align::Middle;
    for (int i = 0; layout_.cell >= 30 * u && i < count; ++i) {
      for (int j = 0; j < count; ++j) {
        const double iou = overlap->iou[static_cast<std::size_t>(i) * count + j];
        char text[16];
        std::snprintf(text, sizeof text, "%.2f", iou);
        style.colour = contrast_ratio(map.at(iou), Rgb{}) > contrast_ratio(map.at(iou), Rgb{1, 1, 1}) ? Rgb{} : Rgb{1, 1, 1};
        canvas.text({layout_.x + (j + 0.5) * layout_.cell, layout_.y + (i + 0.5) * layout_.cell}, std::isnan(iou) ? "-" : text, style);
      }
    }
    for (int i = 0; i < count; ++i) {
      if (overlap->items[i] == own) canvas.outline({layout_.x + i * layout_.cell, layout_.y, layout_.cell, side}, context.theme.colour("accent"), 1.5);
    }
    style.horizontal = Align::Begin;
    style.face = Face::Words;
    style.colour = context.theme.colour("text2");
    const std::string said = "IoU of masks between " + chosen("between") + ", 0 dark to 1 light" + (gaps ? "; hatched: other sizes or token orders" : "");
    canvas.text({context.area.x + 8 * u, context.area.bottom() - 12 * u}, fit_text(canvas, said, style, context.area.width - 16 * u), style);
    if (chosen("between") == "runs") paint_names(canvas, context, *overlap, {layout_.x + side + 14 * u, layout_.y, context.area.right() - layout_.x - side - 22 * u, area.height});
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (event.kind != PointerEvent::Kind::Press || !event.left || context.inspection.empty()) return false;
    std::string problem;
    const auto overlap = load(context, &problem);
    const int cell = overlap ? picked(event.at, *overlap) : -1;
    if (cell < 0) return false;
    const int item = overlap->items[static_cast<std::size_t>(cell % layout_.columns)];
    InspectCursor cursor = context.inspection.cursor();
    (chosen("between") == "steps" ? cursor.step : chosen("between") == "heads" ? cursor.head : chosen("between") == "layers" ? cursor.layer : cursor.run) = item;
    context.inspection.set_cursor(cursor);
    return true;
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    std::string problem;
    const auto overlap = context.inspection.empty() ? nullptr : load(context, &problem);
    const int cell = overlap ? picked(at, *overlap) : -1;
    if (cell < 0) return {};
    const int row = overlap->items[static_cast<std::size_t>(cell / layout_.columns)], column = overlap->items[static_cast<std::size_t>(cell % layout_.columns)];
    char text[96];
    std::snprintf(text, sizeof text, "IoU %.3f", overlap->iou[static_cast<std::size_t>(cell)]);
    if (chosen("between") != "runs") return chosen("between") + " " + std::to_string(row) + " and " + std::to_string(column) + ": " + text;
    // What the runs differ in: the method, the prompt, the seed.
    std::string all = text;
    for (const int run : {row, column}) {
      const CaptureRun& record = context.inspection.run(run).record;
      all += std::string("\n") + context.inspection.run(run).letter + ": " + record.name + ", \"" + record.prompt + "\", seed " + record.seed;
    }
    return std::isnan(overlap->iou[static_cast<std::size_t>(cell)]) ? all + "\nMasks of other sizes or token orders do not compare." : all;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    std::string problem;
    const auto overlap = context.inspection.empty() ? nullptr : load(context, &problem);
    if (!overlap) return {};
    const auto count = static_cast<std::int64_t>(overlap->items.size());
    return {{"iou", {count, count}, overlap->iou, {}}, {chosen("between"), {count}, {overlap->items.begin(), overlap->items.end()}, {}}};
  }

 private:
  /// -1 where no cell is, and where what was painted was another overlap than there is now: a live run has grown since.
  int picked(Point at, const Overlap& overlap) const {
    return layout_.columns == static_cast<int>(overlap.items.size()) ? layout_.pick(at) : -1;
  }

  /// What the letters stand for, where there is room beside the cells.
  void paint_names(Canvas& canvas, const ViewContext& context, const Overlap& overlap, const Rect& area) const {
    const double u = context.unit, line = 17 * u;
    if (area.width < 100 * u) return;
    TextStyle style;
    double y = area.y;
    for (const int item : overlap.items) {
      if (y + line > area.bottom()) return;
      const InspectedRun& run = context.inspection.run(item);
      style.face = Face::WordsStrong;
      style.colour = context.theme.run(item);
      canvas.text({area.x, y}, std::string(1, run.letter), style);
      style.face = Face::Words;
      style.colour = context.theme.colour(item == context.cursor.run ? "text" : "text2");
      canvas.text({area.x + 18 * u, y}, fit_text(canvas, run.record.name + ", " + run.record.prompt + ", seed " + run.record.seed, style, area.width - 18 * u), style);
      y += line;
    }
  }

  int own_item(const ViewContext& context) const {
    const InspectCursor& at = context.cursor;
    return chosen("between") == "steps" ? at.step : chosen("between") == "heads" ? at.head : chosen("between") == "layers" ? at.layer : at.run;
  }

  std::shared_ptr<const Overlap> load(const ViewContext& context, std::string* problem) {
    const InspectCursor at = context.cursor;
    if (chosen("between") == "runs") return between_runs(context, problem);
    const CaptureRun& record = context.inspection.run(at.run).record;
    std::vector<int> items;
    if (chosen("between") == "steps") {
      for (const CaptureStep& step : context.inspection.run(at.run).steps) items.push_back(step.step);
    } else {
      for (int i = 0; i < (chosen("between") == "heads" ? record.model.heads : record.model.layers); ++i) items.push_back(i);
    }
    const std::string rest = std::to_string(chosen("between") == "steps" ? -1 : at.step) + " " + std::to_string(chosen("between") == "layers" ? -1 : at.layer) + " " +
                             std::to_string(chosen("between") == "heads" ? -1 : at.head) + " " + std::to_string(at.branch);
    const auto load = [at, items, between = chosen("between"), id = record.run_id, tokens = record.tokens()](CaptureReader& reader) {
      Overlap overlap;
      std::vector<std::int64_t> ids;
      for (const int item : items) {
        const int step = between == "steps" ? item : at.step, layer = between == "layers" ? item : at.layer, wanted = between == "heads" ? item : at.head;
        const std::optional<CaptureCall> call = reader.call(id, step, layer, at.branch);
        if (!call) continue;
        for (const CaptureHead& head : call->heads) {
          if (head.head != wanted) continue;
          overlap.items.push_back(item);
          ids.push_back(head.plan_id);
        }
      }
      const std::size_t count = ids.size();
      overlap.iou.assign(count * count, 1.0);
      std::map<std::pair<std::int64_t, std::int64_t>, double> known;
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = i + 1; j < count; ++j) {
          const auto [it, fresh] = known.try_emplace(std::minmax(ids[i], ids[j]), 1.0);
          if (fresh && ids[i] != ids[j]) it->second = CapturePlan::block_iou(*reader.plan(ids[i], tokens), *reader.plan(ids[j], tokens));
          overlap.iou[i * count + j] = overlap.iou[j * count + i] = it->second;
        }
      }
      return overlap;
    };
    const Datum<Overlap> datum = context.inspection.fetch<Overlap>(at.run, (chosen("between") == "steps" ? "run overlap " : "overlap ") + chosen("between") + " " + rest, load, 8 * 64 * 64);
    *problem = datum.problem;
    return datum.value;
  }

  /// Runs may lie in two files: their masks come one by one.
  std::shared_ptr<const Overlap> between_runs(const ViewContext& context, std::string* problem) {
    auto overlap = std::make_shared<Overlap>();
    std::vector<std::shared_ptr<const CapturePlan>> plans;
    bool loading = false;
    for (int run = 0; run < static_cast<int>(context.inspection.runs().size()); ++run) {
      InspectCursor at = context.cursor;
      at.run = run;
      const Datum<CapturePlan> plan = context.inspection.plan(at);
      loading = loading || plan.loading();  // all are asked for at once
      if (!plan) {
        *problem = plan.problem;
        continue;
      }
      overlap->items.push_back(run);
      plans.push_back(plan.value);
    }
    if (loading || !plans.empty()) problem->clear();
    if (loading) return nullptr;
    for (const auto& a : plans) {
      for (const auto& b : plans) {
        const bool other = a->tokens != b->tokens || (!a->dense() && !b->dense() && (a->q_order != b->q_order || a->block_bits.size() != b->block_bits.size()));
        overlap->iou.push_back(a == b ? 1.0 : other ? NAN : CapturePlan::block_iou(*a, *b));
      }
    }
    return overlap;
  }

  CellLayout layout_;
  std::vector<std::uint8_t> rgba_;
  std::shared_ptr<const Bitmap> bitmap_;
};

}  // namespace

std::unique_ptr<InspectView> make_overlap_view() { return std::make_unique<OverlapView>(); }

}  // namespace ditscope::views
