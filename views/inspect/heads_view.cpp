// Thumbnails of all layers and heads of a step.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>

#include "views/inspect/heads_data.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/range.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Quantity {
  enum class Kind { Map, Mask, Figure, Row };
  std::string name, label;
  Kind kind = Kind::Figure;
  std::string column;  ///< of the table heads
  double most = 0;     ///< what is drawn at full strength; 0: the largest of all heads
  bool picture() const { return kind == Kind::Map || kind == Kind::Mask; }
};

/// Pictures, what is asked for most, and every other column that captures have.
const std::vector<Quantity>& quantities() {
  using Kind = Quantity::Kind;
  static const std::vector<Quantity> kAll = [] {
    std::vector<Quantity> all = {{"map", "Attention map", Kind::Map, "", 1},
                                 {"mask", "Mask", Kind::Mask, "", 1},
                                 {"recall", "Recall", Kind::Figure, "recall", 1},
                                 {"kept", "Kept ratio", Kind::Figure, "kept_ratio_achieved", 1},
                                 {"error", "Output error", Kind::Figure, "error_l1_ratio", 0.25},
                                 {"rho", "rho, true", Kind::Figure, "rho_true_mean", 1},
                                 {"locked row", "Recall of the locked row", Kind::Row, "", 1}};
    const std::size_t known = all.size();
    for (const std::string& column : CaptureReader::head_columns()) {
      const bool twice = std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(known), [&](const Quantity& each) { return each.column == column; });
      if (column != "plan_id" && !twice) all.push_back({column, column, Kind::Figure, column, 0});
    }
    return all;
  }();
  return kAll;
}

const Quantity& find_quantity(const std::string& name) {
  return *std::find_if(quantities().begin(), quantities().end(), [&](const Quantity& quantity) { return quantity.name == name; });
}

std::vector<std::string> quantity_names(bool pictures) {
  std::vector<std::string> names;
  for (const Quantity& quantity : quantities()) {
    if (pictures || !quantity.picture()) names.push_back(quantity.name);
  }
  return names;
}

constexpr const char* kUnsorted = "layer, head";
constexpr double kPoorRecall = 0.60, kSmallestThumbnail = 12;

class HeadsView final : public ControlledView {
 public:
  HeadsView()
      : ControlledView({choice_control("quantity", "Show", quantity_names(true), "What a cell shows: the map, the mask, or a figure (docs/capture.md)"),
                        choice_control("sort", "Sort", sorts(), "By layer and head, or by any quantity"),
                        choice_control("order", "Order", {"highest first", "lowest first"}, "Of what is sorted by"),
                        choice_control("colours", "Colours", {"magma", "viridis", "cividis"}, "Of maps; masks and figures keep their own")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"heads", "Heads", "Every layer (down) and head (across) of a step, side by side.",
                                "recall: share of the softmax that the mask keeps; error: |O - O full|1 / |O full|1; rho = exp(LSE kept - LSE full)",
                                "recall: AdaSpa; rho: Re-ttention, Eq. 8", "click open, double-click alone, arrows layer and head", 280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    lay_out(context);
    missing_.clear();
    if (solo_) {
      paint_solo(canvas, context);
    } else if (layout_.cell < kSmallestThumbnail * context.unit) {
      paint_colours(canvas, context);
    } else {
      paint_cells(canvas, context);
    }
    if (!sorted() && !solo_) paint_labels(canvas, context);
    paint_footer(canvas, context);
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty()) return false;
    lay_out(context);
    const int cell = cell_at(event.at);
    if (event.kind == PointerEvent::Kind::DoubleClick && event.left) {
      if (solo_) {
        solo_.reset();
      } else if (cell >= 0) {
        solo_ = cell;
      }
      return true;
    }
    if (event.kind == PointerEvent::Kind::Press && event.left && cell >= 0) {
      InspectCursor cursor = context.inspection.cursor();
      cursor.layer = cell / heads_;
      cursor.head = cell % heads_;
      context.inspection.set_cursor(cursor);
      return true;
    }
    const int hovered = event.kind == PointerEvent::Kind::Leave ? -1 : cell;
    const bool changed = hovered != hovered_;
    hovered_ = hovered;
    return changed;
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    lay_out(context);
    const int cell = cell_at(at);
    if (cell < 0) return {};
    std::string text = "Layer " + std::to_string(cell / heads_) + ", head " + std::to_string(cell % heads_);
    for (const Quantity& quantity : quantities()) {
      const bool asked = quantity.name == chosen("quantity") || quantity.name == chosen("sort");
      if (quantity.picture() || (!asked && (quantity.most == 0 || quantity.kind == Quantity::Kind::Row))) continue;
      const double value = table(context, quantity).values[static_cast<std::size_t>(cell)];
      text += "\n" + quantity.label + ": " + (std::isnan(value) ? "not measured" : plot_number(value));
    }
    return text;
  }

  std::string spoken(const ViewContext& context) override {
    if (context.inspection.empty()) return info().title;
    return "Heads, layer " + std::to_string(context.cursor.layer) + " head " + std::to_string(context.cursor.head);
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    lay_out(context);
    std::vector<DataArray> arrays;
    for (const Quantity& quantity : quantities()) {
      const bool asked = quantity.name == chosen("quantity") || quantity.name == chosen("sort");
      if (quantity.picture() || (!asked && (quantity.most == 0 || quantity.kind == Quantity::Kind::Row))) continue;
      arrays.push_back({quantity.kind == Quantity::Kind::Row ? "locked_row_recall" : quantity.column, {layers_, heads_}, table(context, quantity).values, {}});
    }
    return arrays;
  }

 private:
  static std::vector<std::string> sorts() {
    std::vector<std::string> names = quantity_names(false);
    names.insert(names.begin(), kUnsorted);
    return names;
  }
  bool sorted() const { return chosen("sort") != kUnsorted; }

  /// What the mask of each head keeps of the row of the first locked token.
  const HeadTable& row_table(const ViewContext& context) {
    std::vector<std::shared_ptr<const std::vector<double>>> layers;
    const std::vector<std::int64_t>& locked = context.inspection.locked();
    const std::int64_t token = locked.empty() ? -1 : locked.front();
    for (int layer = 0; layer < layers_; ++layer) {
      InspectCursor at = context.cursor;
      at.layer = layer;
      layers.push_back(token < 0 ? nullptr : layer_row_recall(context.inspection, at, token).value);
    }
    if (layers == row_of_ && row_table_.layers == layers_ && row_table_.heads == heads_) return row_table_;
    row_of_ = layers;
    row_table_ = {layers_, heads_, std::vector<double>(static_cast<std::size_t>(layers_) * heads_, NAN)};
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      if (layers[layer]) std::copy(layers[layer]->begin(), layers[layer]->end(), row_table_.values.begin() + static_cast<std::ptrdiff_t>(layer) * heads_);
    }
    return row_table_;
  }

  const HeadTable& table(const ViewContext& context, const Quantity& quantity) {
    if (quantity.kind == Quantity::Kind::Row) return row_table(context);
    const auto values = context.inspection.head_values(context.cursor.run, quantity.column);
    Known& known = tables_[quantity.column];
    if (known.of != values.value || known.step != context.cursor.step || known.branch != context.cursor.branch || known.table.layers != layers_ || known.table.heads != heads_) {
      known = {values.value, context.cursor.step, context.cursor.branch,
               head_table(values ? *values : std::vector<CaptureReader::HeadValue>{}, layers_, heads_, context.cursor.step, context.cursor.branch)};
    }
    return known.table;
  }

  void lay_out(const ViewContext& context) {
    const CaptureModel& model = context.inspection.run(context.cursor.run).record.model;
    layers_ = std::max(model.layers, 1);
    heads_ = std::max(model.heads, 1);
    const double u = context.unit;
    const Rect& a = context.area;
    const bool labels = !sorted();
    const double left = (labels ? 34 : 8) * u, top = (labels ? 20 : 8) * u, right = (labels ? 44 : 8) * u, bottom = 22 * u;
    const Rect area{a.x + left, a.y + top, std::max(a.width - left - right, 1.0), std::max(a.height - top - bottom, 1.0)};
    int rows = layers_, columns = heads_;
    if (!labels) {  // as square as the area allows
      const int cells = layers_ * heads_;
      columns = std::clamp(static_cast<int>(std::ceil(std::sqrt(cells * area.width / area.height))), 1, cells);
      rows = (cells + columns - 1) / columns;
    }
    layout_ = cell_layout(area, rows, columns, 96 * u, u);
    order_.clear();
    if (!labels) order_ = sorted_cells(table(context, find_quantity(chosen("sort"))).values, chosen("order") == "lowest first");
  }

  /// Number layer * heads + head of the cell under a point; -1: none.
  int cell_at(Point at) const {
    if (solo_) return *solo_;
    const int place = layout_.pick(at);
    if (place < 0 || place >= layers_ * heads_) return -1;
    return order_.empty() ? place : order_[static_cast<std::size_t>(place)];
  }
  int place_of(int cell) const {
    return order_.empty() ? cell : static_cast<int>(std::find(order_.begin(), order_.end(), cell) - order_.begin());
  }
  Rect rect_of(int place) const { return layout_.rect(place / layout_.columns, place % layout_.columns); }

  /// The thumbnails that are there, in one picture.
  const Atlas& atlas(const ViewContext& context) {
    const bool masks = chosen("quantity") == "mask";
    std::vector<std::shared_ptr<const Thumbnails>> layers;
    missing_.clear();
    bool loading = false;
    for (int layer = 0; layer < layers_; ++layer) {
      InspectCursor at = context.cursor;
      at.layer = layer;
      const Datum<Thumbnails> thumbnails = layer_thumbnails(context.inspection, at, masks);
      layers.push_back(thumbnails.value);
      loading = loading || thumbnails.loading();
      if (!thumbnails.problem.empty()) missing_ = thumbnails.problem;
    }
    const std::string look = chosen("quantity") + chosen("colours") + (context.theme.dark ? "d" : "l") + std::to_string(context.cursor.run) + " " +
                             std::to_string(context.cursor.step) + " " + std::to_string(context.cursor.branch) + " " + std::to_string(layers_);
    if (layers == shown_ && look == look_ && atlas_.bitmap) return atlas_;
    // While hundreds of layers come in one by one, the picture is made anew only when a fourth more is there.
    const auto there = static_cast<std::size_t>(std::count_if(layers.begin(), layers.end(), [](const auto& layer) { return layer != nullptr; }));
    if (look == look_ && atlas_.bitmap && loading && there < built_ + 1 + built_ / 4) return atlas_;
    built_ = there;
    shown_ = layers;
    look_ = look;
    std::vector<float> all;
    for (const auto& thumbnails : layers) {
      if (thumbnails) all.insert(all.end(), thumbnails->values.begin(), thumbnails->values.end());
    }
    const ValueScale scale{masks ? ValueScale::Kind::Linear : ValueScale::Kind::Log10, 1e-6};
    const ValueRange range = masks ? ValueRange{0, 1} : autofit(all, scale);
    const ColourMap map(chosen("colours"), context.theme);
    const Rgb skipped = context.theme.colour("mask_skipped"), kept = context.theme.run(context.cursor.run);
    atlas_.columns = heads_;
    atlas_.side = kThumbnail;
    const int width = heads_ * kThumbnail, height = layers_ * kThumbnail;
    std::vector<std::uint8_t> rgba(std::size_t{4} * width * height, 0), tile(std::size_t{4} * kThumbnail * kThumbnail);
    for (int layer = 0; layer < layers_; ++layer) {
      if (!layers[layer]) continue;
      for (int head = 0; head < heads_; ++head) {
        const float* values = layers[layer]->values.data() + static_cast<std::size_t>(head) * kThumbnail * kThumbnail;
        if (masks) {
          for (int i = 0; i < kThumbnail * kThumbnail; ++i) {
            const Rgb colour = std::isnan(values[i]) ? skipped : mix(skipped, kept, values[i]);
            const std::uint8_t bytes[4] = {std::uint8_t(colour.r * 255 + 0.5F), std::uint8_t(colour.g * 255 + 0.5F), std::uint8_t(colour.b * 255 + 0.5F), 255};
            std::copy(bytes, bytes + 4, tile.begin() + 4 * i);
          }
        } else {
          map.paint({values, static_cast<std::size_t>(kThumbnail * kThumbnail)}, scale, range, tile.data());
        }
        for (int row = 0; row < kThumbnail; ++row) {
          std::copy_n(tile.begin() + std::ptrdiff_t{4} * row * kThumbnail, 4 * kThumbnail,
                      rgba.begin() + 4 * ((std::ptrdiff_t{layer} * kThumbnail + row) * width + std::ptrdiff_t{head} * kThumbnail));
        }
      }
    }
    atlas_.bitmap = make_bitmap(width, height, std::move(rgba));
    return atlas_;
  }

  /// What is drawn at full strength.
  static double most_of(const Quantity& quantity, const HeadTable& table) {
    if (quantity.most > 0) return quantity.most;
    Extent extent;
    extent.add(table.values);
    return extent.empty() || extent.high <= 0 ? 1 : extent.high;
  }

  Rgb colour_of(const ViewContext& context, const Quantity& quantity, double value, double most) const {
    if (std::isnan(value)) return context.theme.colour("view");
    if (std::isinf(value)) return ColourMap::kInfinity;
    // The higher the more of the run's colour; errors grow to the warning's.
    const bool error = quantity.name.rfind("error", 0) == 0;
    return mix(context.theme.colour("view"), error ? context.theme.colour("error") : context.theme.run(context.cursor.run), static_cast<float>(std::clamp(value / most, 0.0, 1.0)));
  }

  /// What one colour a cell stands for: the quantity, or for pictures what they come down to.
  const Quantity& figure() const { return find_quantity(chosen("quantity") == "map" ? "recall" : chosen("quantity") == "mask" ? "kept" : chosen("quantity")); }

  void paint_cells(Canvas& canvas, const ViewContext& context) {
    const Quantity& quantity = find_quantity(chosen("quantity"));
    const bool pictures = quantity.picture();
    const Atlas* atlas_there = pictures ? &atlas(context) : nullptr;
    const HeadTable& recall = table(context, find_quantity("recall"));
    const HeadTable* figures = pictures ? nullptr : &table(context, quantity);
    const double most = pictures ? 1 : most_of(quantity, *figures);
    if (quantity.kind == Quantity::Kind::Row && context.inspection.locked().empty()) missing_ = "Lock a token: this is how much of its row each mask keeps.";
    const int cells = layers_ * heads_;
    for (int place = 0; place < cells; ++place) {
      const int cell = order_.empty() ? place : order_[static_cast<std::size_t>(place)];
      const Rect rect = rect_of(place);
      if (!pictures) {
        const double value = figures->values[static_cast<std::size_t>(cell)];
        const Rgb ground = colour_of(context, quantity, value, most);
        canvas.fill(rect, ground);
        if (rect.width >= 34 * context.unit) paint_number(canvas, rect, value, ground);
      } else if (shown_[static_cast<std::size_t>(cell / heads_)]) {
        canvas.image(atlas_there->bitmap, rect, atlas_there->source(cell));
      } else {
        canvas.fill(rect, context.theme.colour("view"));
      }
      if (recall.values[static_cast<std::size_t>(cell)] < kPoorRecall) {
        const double side = std::min(rect.width * 0.34, 9 * context.unit);
        canvas.triangle({rect.right() - side, rect.y}, {rect.right(), rect.y}, {rect.right(), rect.y + side}, context.theme.colour("mask_heavy"));
      }
    }
    if (pictures && !missing_.empty() && std::none_of(shown_.begin(), shown_.end(), [](const auto& layer) { return layer != nullptr; })) {
      paint_notice(canvas, context, {layout_.x, layout_.y, layout_.columns * layout_.cell, layout_.rows * layout_.cell}, missing_);
    }
    paint_selection(canvas, context);
  }

  static void paint_number(Canvas& canvas, const Rect& rect, double value, Rgb ground) {
    TextStyle style;
    style.face = Face::Numbers;
    style.size = 11;
    style.horizontal = style.vertical = Align::Middle;
    const Rgb dark{0.06F, 0.06F, 0.06F}, light{1, 1, 1};
    style.colour = contrast_ratio(ground, dark) > contrast_ratio(ground, light) ? dark : light;
    canvas.text({rect.x + rect.width / 2, rect.y + rect.height / 2}, fit_text(canvas, plot_number(value, std::fabs(value) < 10 ? 0.01 : 1), style, rect.width), style);
  }

  void paint_colours(Canvas& canvas, const ViewContext& context) {
    const Quantity& quantity = figure();
    const HeadTable& values = table(context, quantity);
    const double most = most_of(quantity, values);
    std::vector<std::uint8_t> rgba(std::size_t{4} * layout_.rows * layout_.columns, 0);
    for (int place = 0; place < layers_ * heads_; ++place) {
      const int cell = order_.empty() ? place : order_[static_cast<std::size_t>(place)];
      const Rgb colour = colour_of(context, quantity, values.values[static_cast<std::size_t>(cell)], most);
      const std::uint8_t bytes[4] = {std::uint8_t(colour.r * 255 + 0.5F), std::uint8_t(colour.g * 255 + 0.5F), std::uint8_t(colour.b * 255 + 0.5F), 255};
      std::copy(bytes, bytes + 4, rgba.begin() + std::ptrdiff_t{4} * place);
    }
    if (rgba != small_rgba_ || !small_) {
      small_rgba_ = rgba;
      small_ = make_bitmap(layout_.columns, layout_.rows, std::move(rgba));
    }
    const Rect target{layout_.x, layout_.y, layout_.columns * layout_.cell, layout_.rows * layout_.cell};
    canvas.image(small_, target, {0, 0, double(layout_.columns), double(layout_.rows)});
    paint_selection(canvas, context);
  }

  void paint_selection(Canvas& canvas, const ViewContext& context) {
    const double u = context.unit;
    const auto around = [&](int cell, const Colour& colour, double width) {
      const Rect rect = rect_of(place_of(cell));
      canvas.outline({rect.x - u, rect.y - u, rect.width + 2 * u, rect.height + 2 * u}, colour, width);
    };
    if (hovered_ >= 0 && hovered_ < layers_ * heads_) around(hovered_, context.theme.colour("text2"), 1);
    around(context.cursor.layer * heads_ + context.cursor.head, context.theme.colour("accent"), 2);
  }

  void paint_solo(Canvas& canvas, const ViewContext& context) {
    const double u = context.unit, side = std::min(context.area.width - 16 * u, context.area.height - 40 * u);
    const Rect rect{context.area.x + (context.area.width - side) / 2, context.area.y + 8 * u, side, side};
    const Quantity& quantity = find_quantity(chosen("quantity"));
    const int layer = *solo_ / heads_;
    if (!quantity.picture()) {
      const HeadTable& values = table(context, quantity);
      const double value = values.values[static_cast<std::size_t>(*solo_)];
      const Rgb ground = colour_of(context, quantity, value, most_of(quantity, values));
      canvas.fill(rect, ground);
      paint_number(canvas, rect, value, ground);
    } else {
      const Atlas& pictures = atlas(context);
      if (shown_[static_cast<std::size_t>(layer)]) canvas.image(pictures.bitmap, rect, pictures.source(*solo_));
    }
    canvas.outline(rect, context.theme.colour("accent"), 2);
  }

  void paint_labels(Canvas& canvas, const ViewContext& context) {
    const double u = context.unit;
    TextStyle style;
    style.face = Face::Numbers;
    style.size = 11;
    style.vertical = Align::Middle;
    const int every = std::max(1, static_cast<int>(std::ceil(15 * u / std::max(layout_.cell, 0.01))));
    const int across = std::max(1, static_cast<int>(std::ceil(20 * u / std::max(layout_.cell, 0.01))));
    const HeadTable& recall = table(context, find_quantity("recall"));
    const double right = layout_.x + layout_.columns * layout_.cell + 6 * u;
    for (int layer = 0; layer < layers_; ++layer) {
      const double y = layout_.y + (layer + 0.5) * layout_.cell;
      const bool own = layer == context.cursor.layer;
      if (layer % every == 0 || own) {
        style.horizontal = Align::End;
        style.colour = context.theme.colour(own ? "text" : "text2");
        style.face = own ? Face::WordsStrong : Face::Numbers;
        if (own || std::abs(layer - context.cursor.layer) >= every) canvas.text({layout_.x - 6 * u, y}, "L" + std::to_string(layer), style);
      }
      const double mean = recall.mean_of_layer(layer), height = std::clamp(layout_.cell * 0.25, 1.0, 6 * u), width = 32 * u;
      canvas.fill({right, y - height / 2, width, height}, context.theme.colour("line"));
      if (!std::isnan(mean)) canvas.fill({right, y - height / 2, width * std::clamp(mean, 0.0, 1.0), height}, context.theme.run(context.cursor.run));
    }
    style.horizontal = Align::Middle;
    for (int head = 0; head < heads_; ++head) {
      const bool own = head == context.cursor.head;
      if ((head % across != 0 || std::abs(head - context.cursor.head) < across) && !own) continue;
      style.colour = context.theme.colour(own ? "text" : "text2");
      style.face = own ? Face::WordsStrong : Face::Numbers;
      canvas.text({layout_.x + (head + 0.5) * layout_.cell, layout_.y - 8 * u}, std::to_string(head), style);
    }
  }

  void paint_footer(Canvas& canvas, const ViewContext& context) {
    const double u = context.unit, y = context.area.bottom() - 10 * u;
    TextStyle style;
    style.size = 11;
    style.vertical = Align::Middle;
    style.colour = context.theme.colour("text2");
    std::string text = solo_ ? "L" + std::to_string(*solo_ / heads_) + " H" + std::to_string(*solo_ % heads_) + " alone; double-click shows all"
                       : layout_.cell < kSmallestThumbnail * u ? "one colour a cell: " + figure().label
                       : sorted() ? "sorted by " + chosen("sort") + ", " + chosen("order") : std::string("right bars: mean recall 0\u20131");
    if (!missing_.empty() && !solo_) text = missing_;
    const double x = context.area.x + 8 * u, room = context.area.width - 16 * u;
    text = fit_text(canvas, text, style, room);
    canvas.text({x, y}, text, style);
    const std::string corner = "recall < 0.60";
    const double width = canvas.text_width(corner, style);
    if (canvas.text_width(text, style) + width + 30 * u > room || solo_) return;
    const double left = x + room - width - 12 * u;
    canvas.triangle({left, y - 4 * u}, {left + 8 * u, y - 4 * u}, {left + 8 * u, y + 4 * u}, context.theme.colour("mask_heavy"));
    canvas.text({left + 12 * u, y}, corner, style);
  }

  struct Known {
    std::shared_ptr<const std::vector<CaptureReader::HeadValue>> of;
    int step = -1, branch = -1;
    HeadTable table;
  };

  std::string look_, missing_;
  std::vector<std::shared_ptr<const std::vector<double>>> row_of_;
  HeadTable row_table_;
  int layers_ = 1, heads_ = 1, hovered_ = -1;
  std::optional<int> solo_;  ///< layer * heads + head
  CellLayout layout_;
  std::vector<int> order_;
  std::map<std::string, Known> tables_;
  std::vector<std::shared_ptr<const Thumbnails>> shown_;
  Atlas atlas_;
  std::size_t built_ = 0;  ///< layers in it
  std::vector<std::uint8_t> small_rgba_;
  std::shared_ptr<const Bitmap> small_;
};

}  // namespace

std::unique_ptr<InspectView> make_heads_view() { return std::make_unique<HeadsView>(); }

}  // namespace ditscope::views
