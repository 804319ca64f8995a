// The attention map: query tokens down, key tokens across, from the whole to a single pair.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "kernels/error.h"
#include "views/inspect/map_axes.h"
#include "views/inspect/map_row.h"
#include "views/inspect/mask_data.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/range.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Layout {
  Rect header, plot, bar, profile;
  double labels_px = 0;
};

Layout layout_of(const Rect& area, double unit) {
  Layout l;
  const double pad = 8 * unit, left = 30 * unit, top = 18 * unit;
  l.labels_px = 16 * unit;
  const double bar = area.width > 320 * unit ? 66 * unit : 0, profile = area.height > 300 * unit ? 62 * unit : 0;
  const double width = area.width - left - pad - (bar > 0 ? bar + pad : 0), height = area.height - top - l.labels_px - pad - profile;
  const double side = std::max(std::min(width, height), 1.0);
  const double x = area.x + left + std::max((width - side) / 2, 0.0), y = area.y + top + l.labels_px;
  l.header = {x, area.y + 2 * unit, side + (bar > 0 ? bar + pad : 0), top - 2 * unit};
  l.plot = {x, y, side, side};
  if (bar > 0) l.bar = {l.plot.right() + pad, y, bar, side};
  if (profile > 0) l.profile = {x, l.plot.bottom() + 6 * unit, side, profile - 26 * unit};
  return l;
}

class MapView final : public ControlledView {
 public:
  MapView()
      : ControlledView({choice_control("show", "Show", {"cursor", "difference"}, "The run whose softmax is shown; difference: the run of the cursor (B where that is A) less A"),
                        choice_control("over", "Pool over", {"none", "heads", "layers", "branches", "steps"}, "none: the head of the cursor alone"),
                        choice_control("by", "by", {"mean", "max", "min"}, "How the maps that are pooled become one"),
                        choice_control("quadrant", "Part", quadrant_names(), "T text, V video: query -> key"),
                        choice_control("scale", "Scale", {"log10", "linear"}, "log10 with a floor of 1e-6"),
                        choice_control("colours", "Colours", {"magma", "viridis", "cividis"}, "NaN is red, infinity green; differences are diverging"),
                        choice_control("order", "Order", {"call", "raster"}, "call: (y, x, f), as the model laid the tokens out; raster: (f, y, x), where tiles are exact"),
                        switch_control("exact", "Exact", true, "Refine what is visible from q and k, stored or replayed"),
                        switch_control("autofit", "Always fit", false, "Fit the colours to whatever is shown; off: they stay while comparing")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"map", "Attention map", "How much of its softmax each query token (down) gives to each key token (across).",
                                "p = exp(q.k / sqrt(d) - LSE), mean over the pairs of a cell; x uniform: p times the number of tokens; V\u2192T 5 %: share of the video's softmax that goes to text",
                                "the exact map of a full or shadow pass, else of sampled rows; single pairs from q and k", "wheel zoom, drag pan, F fit, N autorange, click lock", 280};
    return kInfo;
  }

  /// The runs that are open are choices, too; tokens of another order have a choice of their own.
  std::vector<Control> controls(const ViewContext& context) const override {
    std::vector<Control> all = ControlledView::controls(context);
    for (const InspectedRun& run : context.inspection.runs()) all[0].choices.insert(all[0].choices.end() - 1, std::string(1, run.letter));
    if (shown_run_ != 0) all[0].value = std::string(1, shown_run_);
    for (Control& control : all) {
      if (control.name == "exact") control.problem = exact_problem_;
    }
    if (context.inspection.empty() || !context.inspection.run(context.cursor.run).geometry.position_major()) {
      std::erase_if(all, [](const Control& control) { return control.name == "order"; });
    }
    return all;
  }

  void set_control(const std::string& name, const std::string& value) override {
    const bool letter = name == "show" && value.size() == 1 && value[0] >= 'A' && value[0] <= 'Z';
    if (!letter) ControlledView::set_control(name, value);
    if (name == "show") shown_run_ = letter ? value[0] : '\0';
    if (name == "scale") fitted_ = {};
    if (name != "autofit") return;
    for (RangeControl& range : ranges_) range.always_fit = on("autofit");
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    Inspection& inspection = context.inspection;
    if (inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    resolve(context);
    const Layout l = layout_of(context.area, context.unit);
    const TokenGeometry& geometry = inspection.run(at_.run).geometry;
    orders_differ_ = differs_ && geometry.position_major() != inspection.run(less_.run).geometry.position_major();
    axes_.lay_out(geometry, l.plot, parse_quadrant(chosen("quadrant")), !geometry.position_major() || chosen("order") == "raster" || orders_differ_);
    canvas.fill(l.plot, context.theme.colour("view"));
    const std::string problem = load(context);
    noticed_ = false;
    if (level_) {
      paint_levels(canvas, context);
    } else {
      paint_notice(canvas, context, l.plot, problem.empty() ? "Loading the map of step " + std::to_string(at_.step) + "." : problem);
    }
    paint_axes(canvas, context, axes_, l.labels_px);
    paint_brush(canvas, context, axes_);
    if (level_ && !noticed_) paint_quadrants(canvas, context, axes_, notes_);
    paint_header(canvas, context, l);
    if (level_ && l.bar.width > 0) ranges_[differs_].paint(canvas, context, l.bar, colours(context), value_scale());
    if (l.profile.height > 0) paint_row(canvas, context, l);
    if (level_ && inspection.hover().view == info().id) paint_readout(canvas, context, l);
  }

  bool pointer(const PointerEvent& event, const ViewContext& context) override {
    if (context.inspection.empty()) return false;
    const Layout l = layout_of(context.area, context.unit);
    RangeControl& range = ranges_[differs_];
    if (l.bar.width > 0 && !axes_.dragging() && range.pointer(event, l.bar, context.unit)) return true;
    if (event.kind != PointerEvent::Kind::Leave) mouse_ = event.at;
    return axes_.point(event, context, info().id);
  }

  bool key(const std::string& key, const ViewContext&) override {
    if (key == "F") {
      axes_.fit();
    } else if (key == "N") {
      fitted_ = fitted_exact_ = {};
    } else {
      return false;
    }
    return true;
  }

  /// Over the map itself the readout is painted, as it has to follow the mouse.
  std::string tooltip(Point at, const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const Layout l = layout_of(context.area, context.unit);
    if (l.header.contains(at)) {
      std::string text = shown_text_ + "\n" + info().formula + "\n" + info().source;
      if (!exact_problem_.empty()) text += "\nNot exact: " + exact_problem_;
      return text;
    }
    if (l.bar.contains(at)) {
      return std::string(differs_ ? "p of the cursor's run less p of A" : "p, the mean probability of a pair") + (value_scale().kind == ValueScale::Kind::Log10 ? ", log10 with a floor of 1e-6" : "") +
             "\nDrag what is black and what is white; N fits them. Grey: how many cells have each value. NaN red, infinity green.";
    }
    if (l.profile.contains(at) && row_) return "The row of the locked token: kept keys in the colour of the run, skipped ones grey\n" + row_->how;
    return {};
  }

  std::string spoken(const ViewContext& context) override {
    if (context.inspection.empty()) return info().title;
    std::string text = "Attention map, layer " + std::to_string(context.cursor.layer) + " head " + std::to_string(context.cursor.head);
    if (!context.inspection.locked().empty()) {
      text += ", query " + context.inspection.run(context.cursor.run).geometry.name(context.inspection.locked().front(), context.cursor.branch);
    }
    return text;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    resolve(context);
    load(context);
    if (!level_ || orders_differ_) return {};
    const std::int64_t cells = level_->cells();
    DataArray map{"map", {cells, cells}, {level_->density.begin(), level_->density.end()}, {}};
    DataArray edges{"first_token", {static_cast<std::int64_t>(level_->edges.size())}, {level_->edges.begin(), level_->edges.end()}, {}};
    return {map, edges};
  }

 private:
  struct Shown {  ///< a tile that is turned into pixels
    TileArea area;
    std::shared_ptr<const std::vector<float>> values;
    std::shared_ptr<const Bitmap> bitmap;
    std::uint64_t painted = 0;
  };

  ValueScale value_scale() const { return {differs_ || chosen("scale") == "linear" ? ValueScale::Kind::Linear : ValueScale::Kind::Log10, 1e-6}; }
  ColourMap colours(const ViewContext& context) const { return ColourMap(differs_ ? "diverging" : chosen("colours"), context.theme); }

  MapPooling pooling() const {
    static const std::vector<std::string> kOver{"none", "heads", "layers", "branches", "steps"}, kBy{"mean", "max", "min"};
    return {static_cast<MapPooling::Over>(std::find(kOver.begin(), kOver.end(), chosen("over")) - kOver.begin()),
            static_cast<MapPooling::By>(std::find(kBy.begin(), kBy.end(), chosen("by")) - kBy.begin())};
  }

  /// Which calls are shown: `at_`, less `less_` where it differs.
  void resolve(const ViewContext& context) {
    const int runs = static_cast<int>(context.inspection.runs().size());
    at_ = less_ = context.cursor;
    differs_ = shown_run_ == 0 && chosen("show") == "difference";
    if (differs_) {
      if (at_.run == 0) at_.run = std::min(1, runs - 1);
      less_.run = 0;
    } else if (shown_run_ != 0) {
      at_.run = std::min(shown_run_ - 'A', runs - 1);
    }
  }

  /// @return why there is no map
  std::string load(const ViewContext& context) {
    Inspection& inspection = context.inspection;
    const Datum<MapLevel> now = map_level(inspection, at_, pooling());
    const Datum<MapLevel> before = differs_ ? map_level(inspection, less_, pooling()) : now;
    if (differs_ && at_.run == less_.run) {
      level_ = nullptr;
      return "A difference needs two runs. Open a second capture, or one that compares methods.";
    }
    if (!now || !before) {
      if (!now.problem.empty() || !before.problem.empty() || other_call()) level_ = nullptr;  // else what was there stays until the new one is
      return now.problem.empty() ? before.problem : now.problem;
    }
    if (now.value == source_ && before.value == source_less_ && level_) return refit(), "";
    try {
      // Cells of other orders hold other tokens: then only exact tiles, which can be reordered, are subtracted.
      level_ = differs_ && !orders_differ_ ? std::make_shared<const MapLevel>(difference(*before, *now)) : now.value;
    } catch (const Error& error) {
      level_ = nullptr;
      return error.what();
    }
    if (loaded_ == at_ || captures_ != inspection.captures()) tiles_.clear();  // another file has another call there
    captures_ = inspection.captures();
    source_ = now.value;
    source_less_ = before.value;
    loaded_ = at_;
    pyramid_.assign(1, *level_);
    bitmaps_.clear();
    const TokenGeometry& geometry = inspection.run(at_.run).geometry;
    const std::int64_t border = geometry.text_first() ? geometry.visual_begin() : geometry.visual_tokens();
    while (pyramid_.back().cells() > 48) pyramid_.push_back(coarser(pyramid_.back(), border));
    ranges_[differs_].histogram = histogram_of(level_->density, value_scale());
    notes_ = {};
    if (geometry.text_tokens() > 0 && !orders_differ_) {
      const std::int64_t text = geometry.text_first() ? 0 : geometry.visual_tokens();
      const QuadrantShares shares = quadrant_shares(*level_, text, text + geometry.text_tokens());
      const auto note = [&](double share) {
        char words[32];
        std::snprintf(words, sizeof words, differs_ ? " %+.1f %%" : " %.1f %%", 100 * share);
        return std::isfinite(share) ? std::string(words) : std::string();
      };
      notes_ = {note(shares.text_to_text), note(shares.text_to_video), note(shares.video_to_text), note(shares.video_to_video)};
    }
    refit();
    return "";
  }

  bool other_call() const { return loaded_.run != at_.run || loaded_.step != at_.step || loaded_.layer != at_.layer; }

  /// The first map sets the range; then it stays, unless it is to follow.
  void refit() {
    const std::string wanted = std::string(differs_ ? "difference " : "map ") + chosen("scale") + chosen("over") + (orders_differ_ ? "tiles" : "");
    RangeControl& range = ranges_[differs_];
    if (fitted_ == wanted && !(range.always_fit && fitted_level_ != level_)) return;
    if (!range.dragging()) range.range = autofit(level_->density, value_scale(), differs_);
    range.histogram = histogram_of(level_->density, value_scale());
    fitted_ = wanted;
    fitted_level_ = level_;
  }

  std::shared_ptr<const Bitmap> picture(const ViewContext& context, const std::vector<float>& values, int width, int height) const {
    std::vector<std::uint8_t> rgba(values.size() * 4);
    colours(context).paint(values, value_scale(), ranges_[differs_].range, rgba.data());
    return make_bitmap(width, height, std::move(rgba));
  }

  void paint_levels(Canvas& canvas, const ViewContext& context) {
    const double px = std::min(axes_.key_px(), axes_.query_px()) * context.ratio;
    const ExactPicture exact = exact_picture(context, px);  // may fit the range, so before anything has colours
    const std::string look = chosen("colours") + chosen("scale") + (context.theme.dark ? "d" : "l") + (differs_ ? "-" : "") + std::to_string(ranges_[differs_].range.black) + " " +
                             std::to_string(ranges_[differs_].range.white);
    if (look != look_) {
      bitmaps_.clear();
      for (auto& [name, tile] : tiles_) tile.bitmap = nullptr;
      look_ = look;
    }
    std::size_t level = 0;
    while (level + 1 < pyramid_.size() && static_cast<double>(pyramid_[level].block_tokens) * px < 0.75) ++level;
    const MapLevel& shown = pyramid_[level];
    shown_text_ = "pooled " + std::to_string(shown.block_tokens) + " x " + std::to_string(shown.block_tokens);
    if (shown.source == "sampled") shown_text_ += ", sampled rows";
    if (!orders_differ_ && axes_.raster() == !context.inspection.run(at_.run).geometry.position_major()) {
      if (bitmaps_.size() < pyramid_.size()) bitmaps_.resize(pyramid_.size());
      if (!bitmaps_[level]) bitmaps_[level] = picture(context, shown.density, shown.cells(), shown.cells());
      paint_cells(canvas, axes_, bitmaps_[level], shown.edges);
    } else {
      noticed_ = exact.tiles.empty();
      shown_text_ = "no map in raster order";
      if (noticed_) {
        paint_notice(canvas, context, axes_.plot(), "In raster order there are only exact tiles, from q and k. " +
                                                        (exact_problem_.empty() ? std::string("Zoom in until they can be computed.") : exact_problem_));
      }
    }
    for (Shown* tile : exact.tiles) {
      const TileArea& area = tile->area;
      if (!tile->bitmap) tile->bitmap = picture(context, *tile->values, area.columns(), area.rows());
      paint_tile(canvas, axes_, tile->bitmap, area.query_begin, area.query_end, area.key_begin, area.key_end, area.pool);
    }
    if (exact.complete) shown_text_ = exact_pool_ == 1 ? "exact" : "pooled " + std::to_string(exact_pool_) + " x " + std::to_string(exact_pool_);
    if (exact.loading) shown_text_ += ", refining";
    if (!exact_problem_.empty()) shown_text_ += ", replay off";
  }

  /// Exact tiles of what is visible.
  struct ExactPicture {
    std::vector<Shown*> tiles;  ///< those that are there
    bool complete = false, loading = false;
  };
  ExactPicture exact_picture(const ViewContext& context, double px) {
    ExactPicture exact;
    exact_problem_.clear();
    if (!on("exact") || pooling().over != MapPooling::Over::None) return exact;
    const InspectedRun& run = context.inspection.run(at_.run);
    const std::int64_t pool = tile_pool(px, std::max<std::int64_t>(level_->block_tokens, 64), run.record.tokens(), run.record.model.head_width);
    if (pool == 0) return exact;
    const AxisRun queries = axes_.visible_queries(), keys = axes_.visible_keys();
    const std::vector<TileArea> areas = tiles_over(run.geometry, axes_.raster(), pool, queries.begin, queries.end, keys.begin, keys.end);
    if (areas.size() > 48) return exact;
    ++paints_;
    const std::string call = std::to_string(at_.run) + " " + std::to_string(at_.step) + " " + std::to_string(at_.layer) + " " + std::to_string(at_.head) + " " +
                             std::to_string(at_.branch) + (differs_ ? " less " + std::to_string(less_.run) + " " : " ");
    for (const TileArea& area : areas) {
      Shown& tile = tiles_[call + area.key()];
      tile.area = area;
      tile.painted = paints_;
      if (!tile.values) tile.values = exact_values(context, area, exact.loading);
      if (tile.values) exact.tiles.push_back(&tile);
    }
    if (tiles_.size() > 96) std::erase_if(tiles_, [&](const auto& tile) { return tile.second.painted != paints_; });
    exact.complete = exact.tiles.size() == areas.size();
    if (exact.complete) {
      exact_pool_ = pool;
      exact.loading = false;
      fit_exact(call, exact.tiles);
    }
    return exact;
  }

  /// Of one tile, less the reference's where the view shows a difference; null while they load or where they are not to be had.
  std::shared_ptr<const std::vector<float>> exact_values(const ViewContext& context, const TileArea& area, bool& loading) {
    const Datum<std::vector<float>> datum = exact_tile(context.inspection, at_, area);
    loading |= datum.loading();
    exact_problem_ = datum.problem;
    if (!datum || !differs_) return datum.value;
    const Datum<std::vector<float>> less = exact_tile(context.inspection, less_, area);
    loading |= less.loading();
    if (!less.problem.empty()) exact_problem_ = less.problem;
    if (!less) return nullptr;
    auto values = std::make_shared<std::vector<float>>(*datum);
    for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] -= (*less)[i];
    return values;
  }

  /// The range of a map of few large cells does not suit its pairs: the first exact picture sets it anew.
  void fit_exact(const std::string& call, const std::vector<Shown*>& tiles) {
    RangeControl& range = ranges_[differs_];
    const std::string shown = fitted_ + call + chosen("scale");
    if ((fitted_exact_ == fitted_ && !range.always_fit) || range.dragging() || fitted_exact_ == shown) return;
    std::vector<float> values;
    for (const Shown* tile : tiles) {
      const std::size_t stride = 1 + tile->values->size() * tiles.size() / 500000;
      for (std::size_t i = 0; i < tile->values->size(); i += stride) values.push_back((*tile->values)[i]);
    }
    range.histogram = histogram_of(values, value_scale());
    if (fitted_exact_ != fitted_ || range.always_fit) range.range = autofit(values, value_scale(), differs_);
    fitted_exact_ = range.always_fit ? shown : fitted_;
  }

  void paint_header(Canvas& canvas, const ViewContext& context, const Layout& l) {
    const Inspection& inspection = context.inspection;
    TextStyle style;
    style.size = 11;
    style.colour = context.theme.colour("text2");
    std::string text = std::string("L") + std::to_string(at_.layer) + " H" + std::to_string(at_.head) + " step " + std::to_string(at_.step);
    if (chosen("over") != "none" && level_) text = chosen("by") + " of " + std::to_string(level_->maps) + " " + chosen("over") + ", " + text;
    if (!axes_.raster()) text += ", order (y, x, f)";
    const std::string letters(1, inspection.run(at_.run).letter);
    text = (differs_ ? letters + " - " + std::string(1, inspection.run(less_.run).letter) : letters) + "  " + text;
    style.face = Face::Numbers;
    // A small map has less room above it than there is beside it.
    double left = l.header.x, right = l.header.right();
    if (canvas.text_width(shown_text_, style) > right - left) left = context.area.x + 8 * context.unit, right = context.area.right() - 8 * context.unit;
    const std::string how = fit_text(canvas, shown_text_, style, right - left);
    const double room = right - left - canvas.text_width(how, style) - 12 * context.unit;
    if (canvas.text_width(text, style) < room) canvas.text({left, l.header.y}, text, style);
    style.horizontal = Align::End;
    if (!exact_problem_.empty()) style.colour = context.theme.colour("text3");  // the tooltip has the reason
    if (level_) canvas.text({right, l.header.y}, how, style);
    if (l.plot.x - context.area.x < 28 * context.unit || l.plot.height < 160 * context.unit) return;
    style.horizontal = Align::Middle;
    style.face = Face::Words;
    style.upwards = true;
    style.vertical = Align::Middle;
    if (l.plot.x - context.area.x > 44 * context.unit) canvas.text({l.plot.x - 36 * context.unit, l.plot.y + l.plot.height / 2}, "query token \u2192", style);
  }

  std::shared_ptr<const RowProfile> profile(const ViewContext& context) {
    Inspection& inspection = context.inspection;
    const std::int64_t query = row_query(inspection);
    const InspectCursor mask_at = context.cursor;
    const std::string key = std::to_string(query) + " " + std::to_string(at_.run) + " " + std::to_string(mask_at.run) + " " + std::to_string(at_.step) + " " +
                            std::to_string(at_.layer) + " " + std::to_string(at_.head) + " " + std::to_string(at_.branch) +
                            (on("exact") && !inspection.locked().empty() ? " exact" + std::to_string(inspection.sources()) : "");
    if (row_ && row_key_ == key && row_->settled) return row_;
    // A hovered row comes from the map; one that is locked is worth q and k.
    row_ = row_profile(inspection, at_, mask_at, query, on("exact") && !inspection.locked().empty(), &row_problem_);
    row_key_ = key;
    return row_;
  }

  void paint_row(Canvas& canvas, const ViewContext& context, const Layout& l) {
    const Rect area{l.profile.x, l.profile.y, l.profile.width, l.profile.height};
    canvas.fill(area, context.theme.colour("view"));
    TextStyle style;
    style.size = 11;
    style.colour = context.theme.colour("text2");
    const double foot = area.bottom() + 4 * context.unit;
    if (row_query(context.inspection) < 0) {
      canvas.text({area.x, foot}, "Hover or click a query token: its row stands here.", style);
      return;
    }
    const std::shared_ptr<const RowProfile> row = profile(context);
    if (!row) {
      canvas.text({area.x, foot}, row_problem_.empty() ? "Loading the row." : row_problem_, style);
      return;
    }
    const ValueRange range = differs_ || chosen("scale") == "linear" ? ValueRange{-6, 0} : ranges_[0].range;
    paint_profile(canvas, context, axes_, area, *row, range, context.cursor.run);
    style.face = Face::Numbers;
    style.horizontal = Align::End;
    char text[64];
    for (const auto& [value, y] : {std::pair{range.white, area.y}, std::pair{range.black, area.bottom() - 12 * context.unit}}) {
      canvas.text({area.x - 4 * context.unit, y}, exponent_text(std::pow(10.0, value), 0), style);
    }
    style.horizontal = Align::Begin;
    const bool locked = !context.inspection.locked().empty();
    double x = area.x;
    const auto legend = [&](const Colour& colour, const std::string& words) {
      const double width = canvas.text_width(words, style) + 24 * context.unit;
      if (x + width > area.right()) return;
      canvas.fill({x, foot + 2 * context.unit, 8 * context.unit, 8 * context.unit}, colour);
      canvas.text({x + 12 * context.unit, foot}, words, style);
      x += width;
    };
    const TokenGeometry& geometry = context.inspection.run(at_.run).geometry;
    legend(context.theme.colour(locked ? "brush" : "text"), "Row " + geometry.name(row->query, at_.branch));
    std::snprintf(text, sizeof text, "kept %.1f %% of mass", 100 * row->kept_mass);
    legend(context.theme.run(context.cursor.run), text);
    std::snprintf(text, sizeof text, "skipped %.1f %%", 100 * (1 - row->kept_mass));
    legend(context.theme.colour("edge"), text);
    style.horizontal = Align::End;
    style.face = Face::Words;
    if (area.right() - x > 80 * context.unit) canvas.text({area.right(), foot}, "key token \u2192", style);
  }

  /// What the pair under the mouse is worth.
  std::vector<std::string> readout(const ViewContext& context, double* p_out) {
    const InspectHover& hover = context.inspection.hover();
    const TokenGeometry& geometry = context.inspection.run(at_.run).geometry;
    double p = 0;
    std::string how;
    const std::int64_t query = axes_.place_of(hover.query), key = axes_.place_of(hover.key);
    bool exact = false;
    for (const auto& [name, tile] : tiles_) {
      if (!tile.values || tile.painted != paints_) continue;
      const std::vector<TileArea> areas = tiles_over(geometry, axes_.raster(), exact_pool_, query, query + 1, key, key + 1);
      if (areas.empty() || name.size() < areas[0].key().size() || name.compare(name.size() - areas[0].key().size(), std::string::npos, areas[0].key()) != 0) continue;
      p = (*tile.values)[static_cast<std::size_t>((query - areas[0].query_begin) / exact_pool_) * areas[0].columns() + static_cast<std::size_t>((key - areas[0].key_begin) / exact_pool_)];
      how = exact_pool_ == 1 ? "exact, recomputed from q and k" : "mean of " + std::to_string(exact_pool_) + " x " + std::to_string(exact_pool_) + " pairs, recomputed from q and k";
      exact = true;
    }
    const std::int64_t q_call = geometry.to_call(hover.query), k_call = geometry.to_call(hover.key);
    const int row = level_->cell_of(q_call), column = level_->cell_of(k_call), cells = level_->cells();
    if (!exact) {
      p = level_->density[static_cast<std::size_t>(row) * cells + column];
      how = "mean of " + std::to_string(level_->block_tokens) + " x " + std::to_string(level_->block_tokens) + " tokens";
      if (level_->source == "sampled") how += ", sampled rows";
      if (!exact_problem_.empty()) how += "; the exact value needs the model";
    }
    *p_out = p;
    std::vector<std::string> lines{"q " + geometry.name(hover.query, at_.branch) + " \u2192 k " + geometry.name(hover.key, at_.branch)};
    char text[96];
    if (orders_differ_ && !exact) {
      how = "the exact tile is not there";
      std::snprintf(text, sizeof text, "p not known");
    } else if (differs_) {
      std::snprintf(text, sizeof text, "p %+.2e against A", p);
    } else {
      std::snprintf(text, sizeof text, "p = %s \u00b7 log10 %.2f \u00b7 %.2g\u00d7 uniform", probability_text(p).c_str(), p > 0 ? std::log10(p) : -INFINITY,
                    p * static_cast<double>(geometry.tokens()));
    }
    lines.emplace_back(text);
    lines.push_back(how);
    if (const Datum<CapturePlan> plan = context.inspection.plan(context.cursor); plan && plan->tokens == geometry.tokens()) {
      const PairState state = pair_state(*plan, context.inspection.run(context.cursor.run).geometry, hover.query, hover.key);
      int better = 1;
      const float own = level_->density[static_cast<std::size_t>(row) * cells + column];
      for (int c = 0; c < cells; ++c) better += level_->density[static_cast<std::size_t>(row) * cells + c] > own;
      const std::string rank = ", rank " + std::to_string(better) + " of " + std::to_string(cells) + " blocks";
      lines.push_back(plan->dense() ? "kept: full attention" : state.kept ? "kept: " + std::string(reason_name(state.reason)) + rank : "skipped" + rank);
    }
    return lines;
  }

  void paint_readout(Canvas& canvas, const ViewContext& context, const Layout& l) {
    const InspectHover& hover = context.inspection.hover();
    if (hover.query < 0 || hover.key < 0) return;
    double p = 0;
    const std::vector<std::string> lines = readout(context, &p);
    const double u = context.unit;
    TextStyle style;
    style.size = 11;
    double width = 0;
    for (const std::string& line : lines) width = std::max(width, canvas.text_width(line, style));
    Rect box{mouse_.x + 14 * u, mouse_.y - (16 * static_cast<double>(lines.size()) + 20) * u, width + 20 * u, (15 * static_cast<double>(lines.size()) + 10) * u};
    if (box.right() > context.area.right()) box.x = std::max(mouse_.x - 14 * u - box.width, context.area.x);
    if (box.y < l.plot.y) box.y = std::min(mouse_.y + 14 * u, context.area.bottom() - box.height);
    canvas.fill(box, Colour(context.theme.colour("panel"), 0.95F), 4);
    canvas.outline(box, context.theme.colour("edge"));
    double y = box.y + 6 * u;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      style.face = i == 0 ? Face::WordsStrong : Face::Words;
      style.colour = i == 0 ? context.theme.colour("text") : i == 3 ? context.theme.run(context.cursor.run) : context.theme.colour("text2");
      canvas.text({box.x + 10 * u, y}, lines[i], style);
      y += 15 * u;
    }
  }

  char shown_run_ = 0;  ///< letter of the run that is shown whatever the cursor's; 0: see the control
  MapAxes axes_;
  RangeControl ranges_[2];  ///< of maps and of differences
  bool differs_ = false, orders_differ_ = false;
  bool noticed_ = false;  ///< a sentence stands where the map would be
  InspectCursor at_, less_, loaded_;
  std::shared_ptr<const MapLevel> source_, source_less_, level_, fitted_level_;
  std::vector<MapLevel> pyramid_;
  std::vector<std::shared_ptr<const Bitmap>> bitmaps_;
  std::map<std::string, Shown> tiles_;
  std::vector<std::filesystem::path> captures_;  ///< which they are of
  QuadrantNotes notes_;  ///< shares of the softmax
  std::uint64_t paints_ = 0;
  std::int64_t exact_pool_ = 1;
  std::string fitted_, fitted_exact_, look_, shown_text_, exact_problem_, row_key_, row_problem_;
  std::shared_ptr<const RowProfile> row_;
  Point mouse_;
};

}  // namespace

std::unique_ptr<InspectView> make_map_view() { return std::make_unique<MapView>(); }

}  // namespace ditscope::views
