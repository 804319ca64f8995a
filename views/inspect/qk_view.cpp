// One logit taken apart: what each dimension of the head gives to q.k.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "views/inspect/map_row.h"
#include "views/inspect/range.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Terms {
  std::vector<float> terms, q, k;  // (D)
  double logit = 0;
};

class QkView final : public InspectView {
 public:
  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"qk", "q \u00b7 k", "What each dimension of a head gives to the logit of one query and key.", "s = sum over d of q_d k_d / sqrt(D); p = exp(s - LSE)",
                                "the neuron view of BertViz", "click a key in another view; hover shows it here", 280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override {
    Inspection& inspection = context.inspection;
    if (inspection.empty()) return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
    lay_out(context);
    canvas.fill(plot_, context.theme.colour("view"));
    const std::int64_t query = row_query(inspection);
    const TokenGeometry& geometry = inspection.run(context.cursor.run).geometry;
    std::string problem;
    const std::int64_t key = key_of(context, query, &problem);
    if (key < 0) return paint_notice(canvas, context, plot_, problem.empty() ? "Loading q and k." : problem);
    const Datum<Terms> terms = load(context, query, key);
    if (!terms) return paint_notice(canvas, context, plot_, terms.loading() ? "Loading q and k." : terms.problem);
    terms_ = terms.value;
    const double u = context.unit;
    TextStyle style;
    style.size = 11;
    style.face = Face::Numbers;
    style.colour = context.theme.colour(inspection.locked().empty() ? "text" : "brush");
    canvas.push_clip(context.area);
    canvas.text({plot_.x, context.area.y + 4 * u}, "q " + geometry.name(query, context.cursor.branch) + " \u2192 k " + geometry.name(key, context.cursor.branch), style);
    style.colour = context.theme.colour("text2");
    char text[96];
    std::snprintf(text, sizeof text, "q.k / sqrt(%zu) = %.4f", terms_->terms.size(), terms_->logit);
    canvas.text({plot_.x, context.area.y + 19 * u}, text, style);
    canvas.pop_clip();
    paint_bars(canvas, context);
    paint_strip(canvas, context, {plot_.x, plot_.bottom() + 8 * u, plot_.width, 12 * u}, terms_->q, "q");
    paint_strip(canvas, context, {plot_.x, plot_.bottom() + 24 * u, plot_.width, 12 * u}, terms_->k, "k");
    style.face = Face::Words;
    style.horizontal = Align::Middle;
    canvas.text({plot_.x + plot_.width / 2, plot_.bottom() + 40 * u}, "dimension of the head; line: sum up to it", style);
  }

  std::string tooltip(Point at, const ViewContext& context) override {
    lay_out(context);
    if (!terms_ || at.x < plot_.x || at.x >= plot_.right() || at.y < plot_.y) return {};
    const auto d = static_cast<std::size_t>((at.x - plot_.x) / plot_.width * static_cast<double>(terms_->terms.size()));
    char text[128];
    std::snprintf(text, sizeof text, "dimension %zu: %+.4f of %.4f\nq %.4f, k %.4f", d, terms_->terms[d], terms_->logit, terms_->q[d], terms_->k[d]);
    return text;
  }

  std::vector<DataArray> data(const ViewContext& context) override {
    if (context.inspection.empty()) return {};
    const std::int64_t query = row_query(context.inspection);
    std::string problem;
    const std::int64_t key = key_of(context, query, &problem);
    if (key < 0) return {};
    const Datum<Terms> terms = load(context, query, key);
    if (!terms) return {};
    DataArray table{"logit_terms", {static_cast<std::int64_t>(terms->terms.size()), 3}, {}, {"term", "q", "k"}};
    for (std::size_t d = 0; d < terms->terms.size(); ++d) {
      for (const float value : {terms->terms[d], terms->q[d], terms->k[d]}) table.values.push_back(value);
    }
    return {table};
  }

 private:
  void lay_out(const ViewContext& context) {
    const double u = context.unit;
    plot_ = {context.area.x + 44 * u, context.area.y + 40 * u, std::max(context.area.width - 54 * u, 1.0), std::max(context.area.height - 100 * u, 1.0)};
  }

  /// The key under the mouse in any view, else the second locked token, else the largest key of the row.
  std::int64_t key_of(const ViewContext& context, std::int64_t query, std::string* problem) {
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    if (query < 0 || query >= geometry.tokens()) {
      *problem = context.inspection.exact_row(context.cursor, query).problem;
      return -1;
    }
    const std::int64_t hovered = context.inspection.hover().key;
    if (hovered >= 0 && hovered < geometry.tokens()) return hovered;
    if (context.inspection.locked().size() > 1) return context.inspection.locked()[1];
    const Datum<Inspection::ExactRow> row = context.inspection.exact_row(context.cursor, query);
    *problem = row.problem;
    if (!row) return -1;
    return std::max_element(row->probability.begin(), row->probability.end()) - row->probability.begin();
  }

  Datum<Terms> load(const ViewContext& context, std::int64_t query, std::int64_t key) {
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    const std::int64_t q = geometry.to_call(query), k = geometry.to_call(key), head = context.cursor.head;
    return context.inspection.fetch_exact<Terms>(
        context.cursor, "terms " + std::to_string(head) + " " + std::to_string(q) + " " + std::to_string(k),
        [q, k, head](const AttentionOperands& operands, CaptureReader&) {
          Terms terms;
          terms.terms = logit_terms(operands, head, q, k);
          const float* of_q = operands.q.data() + (head * operands.tokens + q) * operands.width;
          const float* of_k = operands.k.data() + (head * operands.tokens + k) * operands.width;
          terms.q.assign(of_q, of_q + operands.width);
          terms.k.assign(of_k, of_k + operands.width);
          terms.logit = std::accumulate(terms.terms.begin(), terms.terms.end(), 0.0);
          return terms;
        },
        4096);
  }

  void paint_bars(Canvas& canvas, const ViewContext& context) const {
    const auto count = static_cast<double>(terms_->terms.size());
    double low = 0, high = 0, sum = 0;
    for (const float term : terms_->terms) {
      if (!std::isfinite(term)) continue;
      sum += term;
      low = std::min({low, double(term), sum});
      high = std::max({high, double(term), sum});
    }
    if (high - low < 1e-9) high = low + 1;
    const double margin = (high - low) * 0.05;
    low -= margin;
    high += margin;
    const auto y_of = [&](double value) { return plot_.bottom() - (value - low) / (high - low) * plot_.height; };
    TextStyle style;
    style.size = 11;
    style.face = Face::Numbers;
    style.colour = context.theme.colour("text2");
    style.horizontal = Align::End;
    style.vertical = Align::Middle;
    for (const double tick : axis_ticks(low, high, {}, std::max(2, static_cast<int>(plot_.height / (40 * context.unit))))) {
      canvas.line({plot_.x, y_of(tick)}, {plot_.right(), y_of(tick)}, context.theme.colour(tick == 0 ? "edge" : "line"));
      canvas.text({plot_.x - 5 * context.unit, y_of(tick)}, ValueScale{}.text(tick), style);
    }
    std::vector<Point> line{{plot_.x, y_of(0)}};
    double running = 0;
    const double width = plot_.width / count;
    for (std::size_t d = 0; d < terms_->terms.size(); ++d) {
      const float term = terms_->terms[d];
      const double x = plot_.x + static_cast<double>(d) * width;
      if (!std::isfinite(term)) {
        canvas.fill({x, plot_.y, width, plot_.height}, std::isnan(term) ? ColourMap::kNan : ColourMap::kInfinity);
        continue;
      }
      const double top = std::min(y_of(term), y_of(0)), bottom = std::max(y_of(term), y_of(0));
      canvas.fill({x + width * 0.1, top, width * 0.8, std::max(bottom - top, 0.5)}, context.theme.colour(term < 0 ? "negative" : "positive"));
      running += term;
      line.push_back({x + width, y_of(running)});
    }
    canvas.polyline(line, context.theme.colour("text"), 1.5);
  }

  void paint_strip(Canvas& canvas, const ViewContext& context, const Rect& area, const std::vector<float>& values, const char* name) const {
    const ColourMap map("diverging", context.theme);
    const ValueRange range = autofit(values, {}, true);
    std::vector<std::uint8_t> rgba(values.size() * 4);
    map.paint(values, {}, range, rgba.data());
    canvas.image(make_bitmap(static_cast<int>(values.size()), 1, std::move(rgba)), area, {0, 0, double(values.size()), 1});
    TextStyle style;
    style.size = 11;
    style.face = Face::Numbers;
    style.colour = context.theme.colour("text2");
    style.horizontal = Align::End;
    style.vertical = Align::Middle;
    canvas.text({area.x - 5 * context.unit, area.y + area.height / 2}, name, style);
  }

  Rect plot_;
  std::shared_ptr<const Terms> terms_;
};

}  // namespace

std::unique_ptr<InspectView> make_qk_view() { return std::make_unique<QkView>(); }

}  // namespace ditscope::views
