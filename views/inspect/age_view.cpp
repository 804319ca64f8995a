// How old the masks are: steps since each was chosen, every layer and head over the steps.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "views/inspect/colour_map.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

class AgeView final : public InspectView {
 public:
  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"age", "Age", "Steps since the mask of each layer and head was chosen; dark is fresh.", "age = step - step at which the mask last changed",
                                "AdaSpa reuses the masks of its search steps; Re-ttention those of a refresh", "click goes there", 280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    lay_out(context);
    const double u = context.unit;
    const auto values = context.inspection.head_values(context.cursor.run, "age_steps");
    const InspectedRun& run = context.inspection.run(context.cursor.run);
    canvas.fill(plot_, context.theme.colour("view"));
    float most = 0;
    if (values && (values.value != shown_ || !bitmap_ || branch_ != context.cursor.branch || dark_ != context.theme.dark)) {
      std::vector<float> ages(static_cast<std::size_t>(rows_) * steps_, NAN);
      for (const auto& value : *values) {
        if (value.branch != context.cursor.branch || value.step >= steps_ || value.layer >= layers_ || value.head >= heads_) continue;
        ages[(static_cast<std::size_t>(value.layer) * heads_ + value.head) * steps_ + value.step] = static_cast<float>(value.value);
        if (std::isfinite(value.value)) most = std::max(most, static_cast<float>(value.value));
      }
      const ColourMap map("cividis", context.theme);
      std::vector<std::uint8_t> rgba(ages.size() * 4);
      map.paint(ages, {}, {0, std::max(most, 1.0F)}, rgba.data());
      for (std::size_t i = 0; i < ages.size(); ++i) {
        if (std::isnan(ages[i])) rgba[4 * i + 3] = 0;  // full attention has no mask
      }
      bitmap_ = make_bitmap(steps_, rows_, std::move(rgba));
      ages_ = std::move(ages);
      most_ = most;
      shown_ = values.value;
      branch_ = context.cursor.branch;
      dark_ = context.theme.dark;
    }
    if (values && bitmap_) {
      canvas.image(bitmap_, plot_, {0, 0, double(steps_), double(rows_)});
    }
    if (!values || std::all_of(ages_.begin(), ages_.end(), [](float age) { return std::isnan(age); })) {
      paint_notice(canvas, context, plot_, values ? "This run is full attention: it has no masks. Choose another run." : values.problem.empty() ? "Loading." : values.problem);
    }
    paint_axes(canvas, context, run);
    TextStyle style;
    style.size = 11;
    style.colour = context.theme.colour("text2");
    char text[96];
    std::snprintf(text, sizeof text, "steps since the mask was chosen: 0 dark, %.0f light; empty: full", most_);
    canvas.push_clip(context.area);
    canvas.text({context.area.x + 8 * u, context.area.bottom() - 17 * u}, fit_text(canvas, text, style, context.area.width - 16 * u), style);
    canvas.pop_clip();
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty() || event.kind != PointerEvent::Kind::Press || !event.left) return false;
    lay_out(context);
    int step = 0, row = 0;
    if (!pick(event.at, &step, &row)) return false;
    InspectCursor cursor = context.inspection.cursor();
    cursor.step = step;
    cursor.layer = row / heads_;
    cursor.head = row % heads_;
    context.inspection.set_cursor(cursor);
    return true;
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    lay_out(context);
    int step = 0, row = 0;
    if (!pick(at, &step, &row) || ages_.size() != static_cast<std::size_t>(rows_) * steps_) return {};
    const float age = ages_[static_cast<std::size_t>(row) * steps_ + step];
    return "Step " + std::to_string(step) + ", layer " + std::to_string(row / heads_) + ", head " + std::to_string(row % heads_) + "\n" +
           (std::isnan(age) ? "full attention" : "mask of " + std::to_string(static_cast<int>(age)) + " steps ago");
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const auto values = context.inspection.head_values(context.cursor.run, "age_steps");
    if (!values) return {};
    DataArray table{"age_steps", {static_cast<std::int64_t>(values->size()), 5}, {}, {"step", "layer", "branch", "head", "age_steps"}};
    for (const auto& v : *values) {
      for (const double number : {double(v.step), double(v.layer), double(v.branch), double(v.head), v.value}) table.values.push_back(number);
    }
    return {table};
  }

 private:
  void lay_out(const ViewContext& context) {
    const CaptureRun& record = context.inspection.run(context.cursor.run).record;
    layers_ = std::max(record.model.layers, 1);
    heads_ = std::max(record.model.heads, 1);
    steps_ = std::max(record.steps, 1);
    rows_ = layers_ * heads_;
    const double u = context.unit;
    plot_ = {context.area.x + 34 * u, context.area.y + 22 * u, std::max(context.area.width - 46 * u, 1.0), std::max(context.area.height - 46 * u, 1.0)};
  }

  bool pick(Point at, int* step, int* row) const {
    if (!plot_.contains(at)) return false;
    *step = static_cast<int>((at.x - plot_.x) / plot_.width * steps_);
    *row = static_cast<int>((at.y - plot_.y) / plot_.height * rows_);
    return true;
  }

  void paint_axes(Canvas& canvas, const ViewContext& context, const InspectedRun&) {
    const double u = context.unit, row = plot_.height / rows_, column = plot_.width / steps_;
    TextStyle style;
    style.face = Face::Numbers;
    style.size = 11;
    style.vertical = Align::Middle;
    style.horizontal = Align::End;
    const int every = std::max(1, static_cast<int>(std::ceil(15 * u / (row * heads_))));
    for (int layer = 0; layer < layers_; ++layer) {
      const double y = plot_.y + layer * heads_ * row;
      if (layer > 0) canvas.line({plot_.x, y}, {plot_.right(), y}, context.theme.colour("line"));
      style.colour = context.theme.colour(layer == context.cursor.layer ? "text" : "text2");
      if (layer % every == 0) canvas.text({plot_.x - 5 * u, y + heads_ * row / 2}, "L" + std::to_string(layer), style);
    }
    style.horizontal = Align::Middle;
    const int across = std::max(1, static_cast<int>(std::ceil(24 * u / column)));
    for (int step = 0; step < steps_; ++step) {
      const bool own = step == context.cursor.step;
      if ((step % across != 0 || std::abs(step - context.cursor.step) < across) && !own) continue;
      style.colour = context.theme.colour(own ? "text" : "text2");
      canvas.text({plot_.x + (step + 0.5) * column, plot_.y - 9 * u}, std::to_string(step), style);
    }
    canvas.outline({plot_.x + context.cursor.step * column, plot_.y, column, plot_.height}, context.theme.colour("accent"), 1.5);
    const double y = plot_.y + (context.cursor.layer * heads_ + context.cursor.head) * row;
    canvas.outline({plot_.x + context.cursor.step * column, y, column, std::max(row, 2 * u)}, context.theme.colour("text"), 1.5);
  }

  Rect plot_;
  int layers_ = 1, heads_ = 1, steps_ = 1, rows_ = 1, branch_ = -1;
  bool dark_ = true;
  float most_ = 0;
  std::vector<float> ages_;
  std::shared_ptr<const std::vector<CaptureReader::HeadValue>> shown_;
  std::shared_ptr<const Bitmap> bitmap_;
};

}  // namespace

std::unique_ptr<InspectView> make_age_view() { return std::make_unique<AgeView>(); }

}  // namespace ditscope::views
