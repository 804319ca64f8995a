// Thumbnails of all layers and heads of a step.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>

#include "kernels/error.h"
#include "views/inspect/heads_data.h"
#include "views/inspect/range.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Quantity {
  const char* name;
  const char* column;  ///< of the table heads; empty: thumbnails
  const char* label;
};
constexpr Quantity kQuantities[] = {{"map", "", "Attention map"},        {"mask", "", "Mask"},
                                    {"recall", "recall", "Recall"},      {"kept", "kept_ratio_achieved", "Kept ratio"},
                                    {"error", "error_l1_ratio", "Output error"}, {"rho", "rho_true_mean", "rho, true"}};
constexpr double kPoorRecall = 0.60, kSmallestThumbnail = 12;

const Quantity* find_quantity(const std::string& name) {
  for (const Quantity& quantity : kQuantities) {
    if (name == quantity.name) return &quantity;
  }
  return nullptr;
}

class HeadsView final : public InspectView {
 public:
  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"heads", "Heads", "Every layer (down) and head (across) of a step, side by side.",
                                "recall: share of the softmax that the mask keeps; error: |O - O full|1 / |O full|1; rho = exp(LSE kept - LSE full)",
                                "recall: AdaSpa; rho: Re-ttention, Eq. 8", "click open, double-click alone, arrows layer and head", 280};
    return kInfo;
  }

  std::vector<Control> controls(const ViewContext&) const override {
    std::vector<std::string> quantities, sorts{"layer, head"};
    for (const Quantity& quantity : kQuantities) {
      quantities.emplace_back(quantity.name);
      if (*quantity.column != 0) sorts.emplace_back(quantity.name);
    }
    return {{"quantity", "Show", Control::Kind::Choice, quantities, quantity_, 0, 1, "What a cell shows"},
            {"sort", "Sort", Control::Kind::Choice, sorts, sort_, 0, 1, "By layer and head, or by a quantity, highest first"},
            {"colours", "Colours", Control::Kind::Choice, {"magma", "viridis", "cividis"}, colours_, 0, 1, "Of maps; masks and figures keep their own"}};
  }

  void set_control(const std::string& name, const std::string& value) override {
    const bool known = name == "quantity" ? find_quantity(value) != nullptr
                       : name == "sort"   ? value == "layer, head" || (find_quantity(value) && *find_quantity(value)->column != 0)
                       : name == "colours" ? value == "magma" || value == "viridis" || value == "cividis"
                                           : (InspectView::set_control(name, value), false);
    if (!known) throw Error{ErrorKind::InvalidArgument, "expected one of the choices of " + name + ", got '" + value + "'"};
    (name == "quantity" ? quantity_ : name == "sort" ? sort_ : colours_) = value;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    if (context.inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    lay_out(context);
    if (solo_) {
      paint_solo(canvas, context);
    } else if (layout_.cell < kSmallestThumbnail * context.unit) {
      paint_colours(canvas, context);
    } else {
      paint_cells(canvas, context);
    }
    if (sort_ == "layer, head" && !solo_) paint_labels(canvas, context);
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
    for (const Quantity& quantity : kQuantities) {
      if (*quantity.column == 0) continue;
      const double value = table(context, quantity).values[static_cast<std::size_t>(cell)];
      char line[64];
      std::snprintf(line, sizeof line, "\n%s: %.4f", quantity.label, value);
      text += std::isnan(value) ? "\n" + std::string(quantity.label) + ": not measured" : line;
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
    for (const Quantity& quantity : kQuantities) {
      if (*quantity.column != 0) arrays.push_back({quantity.column, {layers_, heads_}, table(context, quantity).values, {}});
    }
    return arrays;
  }

 private:
  const HeadTable& table(const ViewContext& context, const Quantity& quantity) {
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
    const bool labels = sort_ == "layer, head";
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
    if (!labels) order_ = sorted_cells(table(context, *find_quantity(sort_)).values);
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
    const bool masks = quantity_ == "mask";
    std::vector<std::shared_ptr<const Thumbnails>> layers;
    missing_.clear();
    for (int layer = 0; layer < layers_; ++layer) {
      InspectCursor at = context.cursor;
      at.layer = layer;
      const Datum<Thumbnails> thumbnails = layer_thumbnails(context.inspection, at, masks);
      layers.push_back(thumbnails.value);
      if (!thumbnails.problem.empty()) missing_ = thumbnails.problem;
    }
    const std::string look = quantity_ + colours_ + (context.theme.dark ? "d" : "l") + std::to_string(context.cursor.run);
    if (layers == shown_ && look == look_ && atlas_.bitmap) return atlas_;
    shown_ = layers;
    look_ = look;
    std::vector<float> all;
    for (const auto& thumbnails : layers) {
      if (thumbnails) all.insert(all.end(), thumbnails->values.begin(), thumbnails->values.end());
    }
    const ValueScale scale{masks ? ValueScale::Kind::Linear : ValueScale::Kind::Log10, 1e-6};
    const ValueRange range = masks ? ValueRange{0, 1} : autofit(all, scale);
    const ColourMap map(colours_, context.theme);
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

  Rgb colour_of(const ViewContext& context, const Quantity& quantity, double value) const {
    if (std::isnan(value)) return context.theme.colour("view");
    // The higher the more of the run's colour; errors grow to the warning's.
    const bool error = std::string_view(quantity.name) == "error";
    return mix(context.theme.colour("view"), error ? context.theme.colour("error") : context.theme.run(context.cursor.run), static_cast<float>(std::clamp(error ? value * 4 : value, 0.0, 1.0)));
  }

  /// What one colour a cell stands for: the quantity, or for pictures what they come down to.
  const Quantity& figure() const { return *find_quantity(quantity_ == "map" ? "recall" : quantity_ == "mask" ? "kept" : quantity_.c_str()); }

  void paint_cells(Canvas& canvas, const ViewContext& context) {
    const Quantity& quantity = *find_quantity(quantity_);
    const bool pictures = *quantity.column == 0;
    const Atlas* atlas_there = pictures ? &atlas(context) : nullptr;
    const HeadTable& recall = table(context, *find_quantity("recall"));
    const HeadTable* figures = pictures ? nullptr : &table(context, quantity);
    const int cells = layers_ * heads_;
    for (int place = 0; place < cells; ++place) {
      const int cell = order_.empty() ? place : order_[static_cast<std::size_t>(place)];
      const Rect rect = rect_of(place);
      if (!pictures) {
        const double value = figures->values[static_cast<std::size_t>(cell)];
        canvas.fill(rect, colour_of(context, quantity, value));
        if (rect.width >= 34 * context.unit) paint_number(canvas, context, rect, value, colour_of(context, quantity, value));
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

  void paint_number(Canvas& canvas, const ViewContext& context, const Rect& rect, double value, Rgb ground) const {
    TextStyle style;
    style.face = Face::Numbers;
    style.size = 11;
    style.horizontal = style.vertical = Align::Middle;
    const Rgb dark{0.06F, 0.06F, 0.06F}, light{1, 1, 1};
    style.colour = contrast_ratio(ground, dark) > contrast_ratio(ground, light) ? dark : light;
    char text[16];
    std::snprintf(text, sizeof text, "%.2f", value);
    canvas.text({rect.x + rect.width / 2, rect.y + rect.height / 2}, std::isnan(value) ? "-" : text, style);
    (void)context;
  }

  void paint_colours(Canvas& canvas, const ViewContext& context) {
    const Quantity& quantity = figure();
    const HeadTable& values = table(context, quantity);
    std::vector<std::uint8_t> rgba(std::size_t{4} * layout_.rows * layout_.columns, 0);
    for (int place = 0; place < layers_ * heads_; ++place) {
      const int cell = order_.empty() ? place : order_[static_cast<std::size_t>(place)];
      const Rgb colour = colour_of(context, quantity, values.values[static_cast<std::size_t>(cell)]);
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
    const Quantity& quantity = *find_quantity(quantity_);
    const int layer = *solo_ / heads_;
    if (*quantity.column != 0) {
      const double value = table(context, quantity).values[static_cast<std::size_t>(*solo_)];
      canvas.fill(rect, colour_of(context, quantity, value));
      paint_number(canvas, context, rect, value, colour_of(context, quantity, value));
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
    const HeadTable& recall = table(context, *find_quantity("recall"));
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
      if (!std::isnan(mean)) canvas.fill({right, y - height / 2, width * std::clamp((mean - 0.5) / 0.5, 0.0, 1.0), height}, context.theme.run(context.cursor.run));
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
                       : layout_.cell < kSmallestThumbnail * u ? std::string("one colour a cell: ") + figure().label
                                                               : sort_ != "layer, head" ? "sorted by " + sort_ + ", highest first" : std::string("right bars: mean recall 0.5\u20131");
    if (!missing_.empty() && !solo_) text = missing_;
    const double x = context.area.x + 8 * u, room = context.area.width - 16 * u;
    canvas.push_clip({x, y - 8 * u, room, 16 * u});
    canvas.text({x, y}, text, style);
    canvas.pop_clip();
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

  std::string quantity_ = "map", sort_ = "layer, head", colours_ = "magma", look_, missing_;
  int layers_ = 1, heads_ = 1, hovered_ = -1;
  std::optional<int> solo_;  ///< layer * heads + head
  CellLayout layout_;
  std::vector<int> order_;
  std::map<std::string, Known> tables_;
  std::vector<std::shared_ptr<const Thumbnails>> shown_;
  Atlas atlas_;
  std::vector<std::uint8_t> small_rgba_;
  std::shared_ptr<const Bitmap> small_;
};

}  // namespace

std::unique_ptr<InspectView> make_heads_view() { return std::make_unique<HeadsView>(); }

}  // namespace ditscope::views
