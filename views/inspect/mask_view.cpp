// The mask as the kernel ran it: what is kept and why, what is skipped, and what that costs.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "views/inspect/map_axes.h"
#include "views/inspect/map_row.h"
#include "views/inspect/mask_data.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"
#include "views/state/words.h"

namespace ditscope::views {
namespace {

struct Layout {
  Rect plot, side;
  double labels_px = 0;
};

Layout layout_of(const Rect& area, double unit) {
  Layout l;
  const double left = 26 * unit, pad = 10 * unit, list = area.width > 420 * unit ? 210 * unit : 0;
  l.labels_px = 16 * unit;
  const double below = list > 0 || area.height < 330 * unit ? 0 : std::min(area.height * 0.4, 230 * unit), top = 4 * unit + l.labels_px;
  const double side = std::max(std::min(area.width - left - pad - list, area.height - top - pad - below), 1.0);
  l.plot = {area.x + left, area.y + top, side, side};
  if (list > 0) {
    l.side = {l.plot.right() + 14 * unit, area.y + 6 * unit, std::min(area.right() - l.plot.right() - 26 * unit, 300 * unit), area.height - 12 * unit};
  } else if (below > 0) {
    l.side = {area.x + pad, l.plot.bottom() + 8 * unit, area.width - 2 * pad, area.bottom() - l.plot.bottom() - 10 * unit};
  }
  return l;
}

class MaskView final : public ControlledView {
 public:
  // Limits are times uniform attention, so that they mean the same for every number of tokens.
  MaskView()
      : ControlledView({choice_control("colour", "Colour", {"reason", "kept"}, "By the reason why a block is kept, or kept against skipped alone"),
                        choice_control("order", "Order", {"model", "kernel"}, "model: tokens as the model has them; kernel: the slots in which the method lays them, in blocks of 64 x 64"),
                        switch_control("damage", "Damage", true, "Marks skipped blocks that hold much, and kept ones that hold nearly nothing"),
                        number_control("heavy", "Heavy above", 2, 0, 1000, "Times uniform attention: p x number of keys"),
                        number_control("empty", "Empty below", 0.1, 0, 1000, "Times uniform attention: p x number of keys")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"mask", "Mask", "Which pairs the kernel computed, why, and which it should have.",
                                "kept ratio: pairs kept / all pairs, text included; recall: kept p / all p; heavy and empty: p times the number of keys, 1 where attention is uniform",
                                "Re-ttention Eq. 6 gives 1 - kept; recall: AdaSpa", "wheel zoom, drag pan, F fit, click lock", 280};
    return kInfo;
  }

  void set_control(const std::string& name, const std::string& value) override {
    ControlledView::set_control(name, value);
    plan_ = nullptr;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    Inspection& inspection = context.inspection;
    if (inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    const Layout l = layout_of(context.area, context.unit);
    const InspectedRun& run = inspection.run(context.cursor.run);
    lay_out(context, l);
    canvas.fill(l.plot, context.theme.colour("mask_skipped"));
    const std::string problem = load(context);
    if (cells_) {
      paint_mask(canvas, context);
      if (!kernel()) paint_axes(canvas, context, axes_, l.labels_px);
    } else {
      paint_axes(canvas, context, axes_, l.labels_px);
      paint_notice(canvas, context, l.plot, problem.empty() ? "Loading the mask." : problem);
    }
    if (kernel()) {
      TextStyle style;
      style.size = 11;
      style.colour = context.theme.colour("text2");
      canvas.text({l.plot.x, l.plot.y - 15 * context.unit}, fit_text(canvas, "slots of the kernel, blocks of 64 x 64", style, context.area.right() - l.plot.x), style);
    } else {
      paint_brush(canvas, context, axes_);
      if (cells_) paint_quadrants(canvas, context, axes_);
    }
    if (l.side.height > 0) paint_side(canvas, context, l.side, run);
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty()) return false;
    lay_out(context, layout_of(context.area, context.unit));
    return axes_.point(event, context, info().id, !kernel());
  }

  bool key(const std::string& key, const ViewContext&) override {
    if (key != "F") return false;
    axes_.fit();
    return true;
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    const auto pair = axes_.pick(at);
    if (context.inspection.empty() || !pair || kernel() || !plan_) return {};
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    const PairState state = pair_state(*plan_, geometry, pair->query, pair->key);
    return "q " + geometry.name(pair->query, context.cursor.branch) + " \u2192 k " + geometry.name(pair->key, context.cursor.branch) + "\n" +
           (plan_->dense() ? "kept: full attention" : state.kept ? "kept: " + std::string(reason_name(state.reason)) : "skipped");
  }

  std::string spoken(const ViewContext& context) override {
    char text[96];
    std::snprintf(text, sizeof text, "Mask, layer %d head %d, kept %.1f percent", context.cursor.layer, context.cursor.head, plan_ ? 100 * plan_->kept_ratio : NAN);
    return plan_ ? text : info().title;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    load(context);
    if (!cells_) return {};
    const std::int64_t cells = cells_->cells();
    return {{"kept", {cells, cells}, {cells_->kept.begin(), cells_->kept.end()}, {}},
            {"reason", {cells, cells}, {cells_->reasons.begin(), cells_->reasons.end()}, {}},
            {"first_token", {cells + 1}, {cells_->edges.begin(), cells_->edges.end()}, {}}};
  }

 private:
  bool kernel() const { return chosen("order") == "kernel"; }

  void lay_out(const ViewContext& context, const Layout& l) {
    // The kernel sees slots: an axis without text or frames, as long as the order of the method.
    TokenGeometry geometry = context.inspection.run(context.cursor.run).geometry;
    if (kernel() && cells_) {
      CaptureRun slots;
      slots.grid_columns = static_cast<int>(cells_->edges.back());
      geometry = TokenGeometry(slots);
    }
    axes_.lay_out(geometry, l.plot, Quadrant::All, !geometry.position_major());
  }

  /// @return why there is no mask
  std::string load(const ViewContext& context) {
    const Datum<CapturePlan> plan = context.inspection.plan(context.cursor);
    if (!plan) {
      if (!plan.problem.empty()) plan_ = nullptr, cells_ = nullptr;
      return plan.problem;
    }
    const Datum<MapLevel> map = map_level(context.inspection, context.cursor, {});
    const std::string look = chosen("colour") + chosen("order") + (context.theme.dark ? "d" : "l") + std::to_string(context.cursor.run) + (on("damage") ? "+" : "");
    if (plan.value == plan_ && map.value == map_ && look == look_ && cells_) return "";
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    std::shared_ptr<const MaskCells> cells;
    if (kernel()) {
      cells = std::make_shared<const MaskCells>(kernel_cells(*plan));
    } else {
      const auto& record = context.inspection.run(context.cursor.run).record;
      // The cells of the map, so that both compare; without a map the kernel's blocks.
      std::vector<std::int64_t> edges = map ? map->edges
                                            : map_edges(record.text_tokens, record.text_first, record.tokens(), map_block_tokens(record.text_tokens, record.text_first, record.tokens(), 512));
      const std::string key = "mask cells " + std::to_string(plan->plan_id) + " " + std::to_string(edges.size());
      const Datum<MaskCells> made = context.inspection.fetch<MaskCells>(
          context.cursor.run, key, [plan = plan.value, geometry, edges](CaptureReader&) { return mask_cells(*plan, geometry, edges); },
          static_cast<std::int64_t>(5 * edges.size() * edges.size()));
      if (!made) return made.problem;
      cells = made.value;
    }
    plan_ = plan.value;
    map_ = map.value;
    look_ = look;
    cells_ = cells;
    shares_ = reason_shares(*cells_);
    found_ = map && !kernel() ? damage_of(*cells_, *map, number("heavy"), number("empty")) : Damage{};
    bitmap_ = picture(context);
    return "";
  }

  std::shared_ptr<const Bitmap> picture(const ViewContext& context) const {
    const auto cells = static_cast<std::size_t>(cells_->cells());
    const Rgb skipped = context.theme.colour("mask_skipped"), heavy = context.theme.colour("mask_heavy"), run = context.theme.run(context.cursor.run);
    Rgb colours[kReasons];
    for (int r = 0; r < kReasons; ++r) colours[r] = r == 0 || chosen("colour") == "kept" ? run : context.theme.colour(reason_token(static_cast<KeepReason>(r)));
    std::vector<std::uint8_t> rgba;
    rgba.reserve(cells * cells * 4);
    for (std::size_t i = 0; i < cells * cells; ++i) {
      Rgb colour = mix(skipped, colours[cells_->reasons[i]], cells_->kept[i] > 0 ? 0.25F + 0.75F * std::min(cells_->kept[i], 1.0F) : 0);
      if (on("damage") && !found_.state.empty() && found_.state[i] == 1) colour = heavy;
      for (const float c : {colour.r, colour.g, colour.b}) rgba.push_back(static_cast<std::uint8_t>(std::clamp(c, 0.0F, 1.0F) * 255 + 0.5F));
      rgba.push_back(255);
    }
    return make_bitmap(static_cast<int>(cells), static_cast<int>(cells), std::move(rgba));
  }

  void paint_mask(Canvas& canvas, const ViewContext& context) {
    paint_cells(canvas, axes_, bitmap_, cells_->edges);
    const double px = std::min(axes_.key_px(), axes_.query_px()) * 64;
    if (px < 4 * context.unit || kernel()) return;
    // Letters and outlines only for what is large enough to read, and visible.
    canvas.push_clip(axes_.plot());
    TextStyle letter;
    letter.size = 11;
    letter.horizontal = letter.vertical = Align::Middle;
    const int cells = cells_->cells();
    const AxisRun rows = axes_.visible_queries(), columns = axes_.visible_keys();
    for (int i = 0; i < cells; ++i) {
      if (cells_->edges[i + 1] <= rows.begin || cells_->edges[i] >= rows.end) continue;
      for (int j = 0; j < cells; ++j) {
        if (cells_->edges[j + 1] <= columns.begin || cells_->edges[j] >= columns.end) continue;
        const auto at = static_cast<std::size_t>(i) * cells + j;
        const double x = axes_.x_of(double(cells_->edges[j])), y = axes_.y_of(double(cells_->edges[i]));
        const Rect rect{x, y, axes_.x_of(double(cells_->edges[j + 1])) - x, axes_.y_of(double(cells_->edges[i + 1])) - y};
        if (on("damage") && !found_.state.empty() && found_.state[at] == 2) {
          canvas.outline({rect.x + 1, rect.y + 1, std::max(rect.width - 2, 1.0), std::max(rect.height - 2, 1.0)}, context.theme.colour("mask_heavy"));
        }
        if (std::min(rect.width, rect.height) < 12 * context.unit || cells_->kept[at] <= 0 || cells_->reasons[at] == 0 || chosen("colour") == "kept") continue;
        const char* token = reason_token(static_cast<KeepReason>(cells_->reasons[at]));
        const Rgb ground = context.theme.colour(token), dark{0.06F, 0.06F, 0.06F}, light{1, 1, 1};
        letter.colour = contrast_ratio(ground, dark) > contrast_ratio(ground, light) ? dark : light;
        const std::string name = reason_name(static_cast<KeepReason>(cells_->reasons[at]));
        canvas.text({rect.x + rect.width / 2, rect.y + rect.height / 2}, std::string(1, static_cast<char>(std::toupper(name[0]))), letter);
      }
    }
    canvas.pop_clip();
  }

  void paint_side(Canvas& canvas, const ViewContext& context, const Rect& area, const InspectedRun& run) {
    const double u = context.unit, line = 17 * u;
    canvas.push_clip(area);
    TextStyle words, numbers;
    words.size = numbers.size = 12;
    words.colour = context.theme.colour("text2");
    numbers.face = Face::Numbers;
    numbers.colour = context.theme.colour("text");
    numbers.horizontal = Align::End;
    double y = area.y;
    const Datum<CaptureCall> call = context.inspection.call(context.cursor);
    const CaptureHead* head = nullptr;
    if (call) {
      for (const CaptureHead& other : call->heads) head = other.head == context.cursor.head ? &other : head;
    }
    const double kept = plan_ ? plan_->dense() ? 1 : plan_->kept_ratio : NAN;
    TextStyle figure;
    figure.face = Face::Numbers;
    figure.size = 20;
    figure.colour = context.theme.colour("text");
    char text[96];
    const auto percent = [&](double ratio, const char* after = " %") {
      std::snprintf(text, sizeof text, "%.1f%s", 100 * ratio, after);
      return std::string(std::isnan(ratio) ? "-" : text);
    };
    canvas.text({area.x, y}, percent(kept, ""), figure);
    words.colour = context.theme.colour("text");
    canvas.text({area.x + canvas.text_width(percent(kept, ""), figure) + 6 * u, y + 7 * u}, "% kept", words);
    words.colour = context.theme.colour("text2");
    numbers.colour = context.theme.colour("text2");
    // The other reading of the same number, in words where there is room for them.
    const double taken = canvas.text_width(percent(kept, ""), figure) + canvas.text_width("% kept", words) + 14 * u;
    const std::string skipped = percent(1 - kept, " % skipped");
    canvas.text({area.right(), y + 7 * u}, canvas.text_width(skipped, numbers) <= area.width - taken ? skipped : "", numbers);
    y += 28 * u;
    const Rect bar{area.x, y, area.width, 5 * u};
    canvas.fill(bar, context.theme.colour("line"));
    if (!std::isnan(kept)) canvas.fill({bar.x, bar.y, bar.width * std::clamp(kept, 0.0, 1.0), bar.height}, context.theme.run(context.cursor.run));
    y += 10 * u;
    if (head && head->kept_ratio_requested) {
      const double asked = *head->kept_ratio_requested;
      const double x = bar.x + bar.width * std::clamp(asked, 0.0, 1.0);
      canvas.line({x, bar.y - 3 * u}, {x, bar.bottom() + 3 * u}, context.theme.colour("text"), 2);
      words.size = 11;
      canvas.text({area.x, y}, "requested " + percent(asked) + " (tick)", words);
      if (kept > asked + 5e-4) {
        y += 13 * u;
        canvas.text({area.x, y}, "the rest adds " + percent(kept - asked), words);
      }
      words.size = 12;
    }
    y += 20 * u;
    const auto row = [&](const std::string& name, const std::string& value, const Colour* swatch, bool outline = false) {
      if (y + line > area.bottom()) return;
      double x = area.x;
      if (swatch) {
        const Rect box{x, y + 2 * u, 10 * u, 10 * u};
        if (outline) canvas.outline(box, *swatch, 1.5);
        else canvas.fill(box, *swatch);
        x += 18 * u;
      }
      words.colour = numbers.colour = context.theme.colour("text");
      canvas.text({x, y}, name, words);
      canvas.text({area.right(), y}, value, numbers);
      y += line;
    };
    if (plan_ && !plan_->dense()) {
      if (plan_->reasons.empty()) {
        const Colour swatch = context.theme.run(context.cursor.run);
        row("Reason not recorded", percent(kept), &swatch);
      } else {
        for (int r = 1; r < kReasons; ++r) {
          if (shares_[static_cast<std::size_t>(r)] <= 0) continue;
          const Colour swatch = context.theme.colour(reason_token(static_cast<KeepReason>(r)));
          std::string name = reason_name(static_cast<KeepReason>(r));
          name[0] = static_cast<char>(std::toupper(name[0]));
          row(name, percent(shares_[static_cast<std::size_t>(r)]), &swatch);
        }
      }
      const Colour empty_swatch = context.theme.colour("edge");
      row("Skipped", percent(1 - kept), &empty_swatch, true);
      separator(canvas, context, area, y);
      if (!found_.state.empty() && on("damage")) {
        const Colour heavy = context.theme.colour("mask_heavy");
        row("Skipped, > " + chosen("heavy") + " x uniform", std::to_string(found_.heavy), &heavy);
        row("Kept, < " + chosen("empty") + " x uniform", std::to_string(found_.empty), &heavy, true);
        separator(canvas, context, area, y);
      }
    }
    const auto figure_of = [&](const std::optional<double>& value) {
      std::snprintf(text, sizeof text, "%.3f", value.value_or(0));
      return std::string(value ? text : "not measured");
    };
    if (head) {
      row("Recall", plan_ && plan_->dense() ? "1.000" : figure_of(head->recall), nullptr);
      row("Error", figure_of(head->error_l1_ratio), nullptr);
      row(context.cursor.step > 0 ? "IoU to " + std::to_string(context.cursor.step - 1) : "IoU", head->iou_previous ? figure_of(head->iou_previous) : "-", nullptr);
      row("Age", head->age_steps ? std::to_string(*head->age_steps) + " steps" : "-", nullptr);
    }
    if (const std::int64_t query = row_query(context.inspection); query >= 0 && !context.inspection.locked().empty() && query < run.geometry.tokens()) {
      std::string problem;
      if (const auto profile = row_profile(context.inspection, context.cursor, context.cursor, query, false, &problem)) {
        row("Row " + run.geometry.name(query, context.cursor.branch) + ", recall", figure_of(profile->kept_mass), nullptr);
      }
    }
    if (cells_ && y + line < area.bottom()) {
      words.size = 11;
      words.colour = context.theme.colour("text3");
      const std::int64_t cell = cells_->edges.size() > 1 ? (map_ && !kernel() ? map_->block_tokens : 64) : 64;
      canvas.text({area.x, y + 4 * u}, "64 x 64 blocks, as the kernel ran", words);
      std::string drawn = "drawn by " + std::to_string(cell) + " tokens";
      if (run.geometry.position_major() && !kernel()) drawn += ", order (y, x, f)";
      canvas.text({area.x, y + 17 * u}, drawn, words);
    }
    canvas.pop_clip();
  }

  static void separator(Canvas& canvas, const ViewContext& context, const Rect& area, double& y) {
    if (y + 6 * context.unit > area.bottom()) return;
    canvas.line({area.x, y + 3 * context.unit}, {area.right(), y + 3 * context.unit}, context.theme.colour("line"));
    y += 9 * context.unit;
  }

  std::string look_;
  MapAxes axes_;
  std::shared_ptr<const CapturePlan> plan_;
  std::shared_ptr<const MapLevel> map_;
  std::shared_ptr<const MaskCells> cells_;
  std::array<double, kReasons> shares_{};
  Damage found_;
  std::shared_ptr<const Bitmap> bitmap_;
};

}  // namespace

std::unique_ptr<InspectView> make_mask_view() { return std::make_unique<MaskView>(); }

}  // namespace ditscope::views
