// How the timeline draws its lanes.
#include <algorithm>
#include <cmath>

#include "views/inspect/colour_map.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/timeline_view.h"

namespace ditscope::views {
namespace {

void paint_lane_name(Canvas& canvas, const ViewContext& context, const Rect& lane, const std::string& name, const std::string& unit) {
  TextStyle words = label_style(context), small = label_style(context, "text3");
  words.vertical = small.vertical = Align::Middle;
  small.size = 11;
  small.horizontal = Align::End;
  const double middle = lane.y + lane.height / 2, right = lane.x - 8 * context.unit, left = context.area.x + 10 * context.unit;
  canvas.text({left, middle}, name, words);
  if (right - left > canvas.text_width(name, words) + canvas.text_width(unit, small) + 6 * context.unit) canvas.text({right, middle}, unit, small);
}

/// A lens: where a mask is searched.
void paint_lens(Canvas& canvas, const ViewContext& context, Point middle) {
  const double u = context.unit;
  const Colour ink = context.theme.colour("text");
  canvas.circle({middle.x - 1 * u, middle.y - 1 * u}, 3.5 * u, ink, false);
  canvas.line({middle.x + 1.5 * u, middle.y + 1.5 * u}, {middle.x + 5 * u, middle.y + 5 * u}, ink, 1.5);
}

}  // namespace

void TimelineView::paint(Canvas& canvas, const ViewContext& context) {
  if (context.inspection.empty()) {
    return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
  }
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  const TimelineLanes lanes = lanes_of(context);
  const TimelineRange range = range_.clamped(steps);
  const TimelineFigures& shown = fetch(context);
  arrow_ = {};
  canvas.push_clip({context.area.x, lanes.body.y, lanes.body.right() - context.area.x, lanes.body.height});
  for (const Rect* lane : {&lanes.kept, &lanes.ratio, &lanes.error, &lanes.time, &lanes.preview}) {
    if (lane->height <= 0) continue;
    for (int step = std::max(0, static_cast<int>(range.first)); step < std::min<double>(steps, std::ceil(range.last)); ++step) {
      Rect ground = cell(range, step, *lane, 1 * context.unit);
      const double right = std::min(ground.right(), lane->right());
      ground.x = std::max(ground.x, lane->x);
      ground.width = right - ground.x;
      if (ground.width > 0) canvas.fill(ground, context.theme.colour("view"));
    }
  }
  paint_lane_name(canvas, context, lanes.kept, "Kept", "%");
  if (lanes.ratio.height > 0) paint_lane_name(canvas, context, lanes.ratio, "\u03c1\u0302 / \u03c1", "log2 \u00b10.5");
  if (lanes.error.height > 0) paint_lane_name(canvas, context, lanes.error, "Error", error_unit(shown.error));
  if (lanes.time.height > 0) paint_lane_name(canvas, context, lanes.time, "Attention", "ms");
  if (lanes.preview.height > 0) paint_lane_name(canvas, context, lanes.preview, "x\u03020", "preview");
  canvas.push_clip(lanes.body);
  paint_kept(canvas, context, lanes.kept, range, shown);
  if (lanes.ratio.height > 0) paint_ratio(canvas, context, lanes.ratio, range, shown);
  if (lanes.error.height > 0) paint_error(canvas, context, lanes.error, range, shown);
  if (lanes.time.height > 0) paint_time(canvas, context, lanes.time, range, shown);
  if (lanes.preview.height > 0) paint_previews(canvas, context, lanes.preview, range);
  canvas.pop_clip();
  canvas.pop_clip();
  canvas.push_clip({lanes.header.x, context.area.y, lanes.header.width, context.area.height});
  paint_header(canvas, context, lanes, range, steps);
  Rect box = cell(range, context.cursor.step, lanes.header, 1 * context.unit);
  box.height = std::min(lanes.kept.y + lanes.height, lanes.body.bottom()) - box.y;
  canvas.outline(box, context.theme.colour("accent"), 2);
  canvas.pop_clip();
  paint_scroll(canvas, context, lanes);
  if (shown.loading) paint_notice(canvas, context, lanes.body, "Reading the figures of this run.");
  if (!shown.problem.empty()) paint_notice(canvas, context, lanes.body, shown.problem);
}

/// Lanes that do not fit are counted above the names, and a bar says where the body stands.
void TimelineView::paint_scroll(Canvas& canvas, const ViewContext& context, const TimelineLanes& lanes) const {
  if (lanes.most_scroll() <= 0) return;
  int hidden = 0;
  for (const Rect* lane : {&lanes.kept, &lanes.ratio, &lanes.error, &lanes.time, &lanes.preview}) {
    const double middle = lane->y + lane->height / 2;
    hidden += lane->height > 0 && (middle < lanes.body.y || middle > lanes.body.bottom());
  }
  const double u = context.unit, share = lanes.body.height / lanes.height, at = scroll_ * u / lanes.height;
  const Rect bar{context.area.right() - 7 * u, lanes.body.y, 4 * u, lanes.body.height};
  canvas.fill(bar, context.theme.colour("line"), 2 * u);
  canvas.fill({bar.x, bar.y + bar.height * at, bar.width, bar.height * share}, context.theme.colour("edge"), 2 * u);
  TextStyle style = label_style(context, "accent");
  style.size = 11;
  style.vertical = Align::Middle;
  const double y = lanes.header.y + lanes.header.height / 2, x = context.area.x + 10 * u;
  const std::string text = hidden == 0 ? "all lanes" : std::to_string(hidden) + " more";
  canvas.text({x, y}, text, style);
  const double tip = x + canvas.text_width(text, style) + 8 * u, way = scroll_ > 0 ? -1 : 1;
  canvas.triangle({tip - 4 * u, y - 2 * u * way}, {tip + 4 * u, y - 2 * u * way}, {tip, y + 3 * u * way}, context.theme.colour("accent"));
}

void TimelineView::paint_header(Canvas& canvas, const ViewContext& context, const TimelineLanes& lanes, const TimelineRange& range, int steps) const {
  const double width = lanes.header.width / (range.last - range.first), u = context.unit;
  int every = 1;
  for (const int next : {1, 2, 5, 10, 20, 50, 100, 200, 500}) {
    every = next;
    if (width * next >= 24 * u) break;
  }
  TextStyle style = tick_style(context);
  style.horizontal = style.vertical = Align::Middle;
  for (int step = 0; step < steps; ++step) {
    const bool here = step == context.cursor.step;
    if (step % every != 0 && !here) continue;
    if (!here && std::abs(step - context.cursor.step) * width < 20 * u) continue;
    style.colour = context.theme.colour(here ? "text" : "text3");
    canvas.text({range.place(step + 0.5, lanes.header), lanes.header.y + lanes.header.height / 2}, std::to_string(step), style);
  }
  const int run_id = context.inspection.run(context.cursor.run).record.run_id;
  const auto marks = context.inspection.fetch<std::vector<CaptureBookmark>>(context.cursor.run, "run bookmarks",
                                                                            [run_id](CaptureReader& reader) { return reader.bookmarks(run_id); });
  if (!marks) return;
  for (std::size_t i = 0; i < marks->size(); ++i) {
    const double x = range.place((*marks)[i].step, lanes.header) + 1 * u;
    const Rect flag{x, lanes.header.y + 2 * u, 11 * u, 12 * u};
    canvas.fill(flag, context.theme.colour("warn"), 2 * u);
    TextStyle digit = style;
    digit.colour = context.theme.dark ? Rgb{0, 0, 0} : Rgb{1, 1, 1};
    canvas.text({flag.x + flag.width / 2, flag.y + flag.height / 2}, std::to_string(i + 1), digit);
  }
}

void TimelineView::paint_kept(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) const {
  const Theme& theme = context.theme;
  const double u = context.unit;
  const Rgb run = theme.run(context.cursor.run);
  TextStyle style = strong_style(context);
  style.size = 11;
  style.horizontal = style.vertical = Align::Middle;
  for (int step = 0; step < static_cast<int>(shown.actions.size()); ++step) {
    const Rect box = cell(range, step, lane, 1 * u);
    if (box.right() < lane.x || box.x > lane.right()) continue;
    const std::string& action = shown.actions[step];
    const Point middle{box.x + box.width / 2, box.y + box.height / 2};
    if (action == "full" || action == "refresh" || action == "search") {
      canvas.fill(box, Colour(theme.colour("line")));
      paint_hatch(canvas, box, Colour(theme.colour("edge"), 0.75F));
    }
    if (action == "refresh") {
      if (box.width > canvas.text_width("refresh", style) + 8 * u) {
        paint_plate(canvas, context, middle, "refresh", style);
      } else {
        canvas.circle(middle, 3 * u, theme.colour("text"));
      }
    } else if (action == "search") {
      paint_lens(canvas, context, middle);
    } else if (action == "cached") {
      canvas.outline({middle.x - 4 * u, middle.y - 4 * u, 8 * u, 8 * u}, theme.colour("text2"), 1);
    } else if (action == "sparse" && step < static_cast<int>(shown.kept.size()) && std::isfinite(shown.kept[step])) {
      const double height = std::max(std::clamp(shown.kept[step], 0.0, 1.0) * box.height, 2.5 * u);
      const Rect bar{box.x, box.bottom() - height, box.width, height};
      canvas.fill(bar, run);
      // A mask that an earlier step chose: its bar is dashed.
      if (step < static_cast<int>(shown.age.size()) && shown.age[step] > 0) {
        canvas.line({bar.x, bar.y}, {bar.right(), bar.y}, theme.colour("view"), 1.5, Dash::Dashed);
      }
    }
  }
  // One word for each stretch of full steps.
  for (std::size_t step = 0; step < shown.actions.size();) {
    std::size_t end = step;
    while (end < shown.actions.size() && shown.actions[end] == "full") ++end;
    if (end > step) {
      const double from = std::max(range.place(static_cast<double>(step), lane), lane.x);
      const double to = std::min(range.place(static_cast<double>(end), lane), lane.right());
      if (to - from > canvas.text_width("full", style) + 10 * u) paint_plate(canvas, context, {(from + to) / 2, lane.y + lane.height / 2}, "full", style);
    }
    step = std::max(end, step + 1);
  }
}

void TimelineView::paint_ratio(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) const {
  const ColourMap map("diverging", context.theme);
  const ValueScale scale{ValueScale::Kind::Log2, 1.0 / 1024};
  for (int step = 0; step < static_cast<int>(shown.ratio.size()); ++step) {
    if (std::isnan(shown.ratio[step])) continue;
    canvas.fill(cell(range, step, lane, 1 * context.unit), map.of(shown.ratio[step], scale, {-kRatioOctaves, kRatioOctaves}));
  }
}

void TimelineView::paint_error(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) {
  Extent extent;
  extent.add(shown.error);
  const double top = extent.empty() || extent.high <= 0 ? 1 : extent.high;
  for (int step = 0; step < static_cast<int>(shown.error.size()); ++step) {
    const double value = shown.error[step];
    if (std::isnan(value)) continue;
    const Rect box = cell(range, step, lane, 1 * context.unit);
    const double height = std::isinf(value) ? box.height : std::max(value / top * box.height, value > 0 ? 1.0 : 0.0);
    canvas.fill({box.x, box.bottom() - height, box.width, height}, std::isinf(value) ? inf_colour() : Colour(context.theme.colour("error"), 0.85F));
  }
  TextStyle style = label_style(context, "text2");
  style.size = 11;
  style.vertical = Align::Middle;
  style.halo = true;
  const double u = context.unit, middle = lane.y + lane.height / 2;
  if (!shown.divergence) {
    if (!extent.empty()) canvas.text({lane.x + 6 * u, middle}, fit_text(canvas, "no head passes " + plot_number(number("tolerance")), style, lane.width - 8 * u), style);
    return;
  }
  const Divergence& first = *shown.divergence;
  const std::string what = chosen("error") == "latent_error_ratio" ? "" : ", L" + std::to_string(first.layer) + " H" + std::to_string(first.head);
  const std::string brief = "> " + plot_number(number("tolerance")) + ": step " + std::to_string(first.step) + what;
  const double tip = std::clamp(range.place(first.step, lane), lane.x, lane.right()), tail = 26 * u;
  // In words where there is room before the step or after it, in short where there is less.
  const double room_before = tip - lane.x - tail - 10 * u, room_after = lane.right() - tip - tail - 10 * u;
  const std::string full = "first divergence " + brief;
  bool before = room_before >= room_after;
  std::string text = fit_text(canvas, brief, style, std::max(room_before, room_after));
  for (const auto& [words, ahead] : {std::pair(brief, false), std::pair(brief, true), std::pair(full, false), std::pair(full, true)}) {
    if (canvas.text_width(words, style) > (ahead ? room_before : room_after)) continue;
    text = words;
    before = ahead;
  }
  const double width = canvas.text_width(text, style);
  style.horizontal = before ? Align::End : Align::Begin;
  const double text_x = before ? tip - tail - 6 * u : tip + tail + 6 * u;
  canvas.text({text_x, middle}, text, style);
  const double from = before ? tip - tail : tip + tail, head = before ? -5 * u : 5 * u;
  canvas.line({from, middle}, {tip, middle}, context.theme.colour("text2"), 1);
  canvas.triangle({tip, middle}, {tip + head, middle - 3 * u}, {tip + head, middle + 3 * u}, context.theme.colour("text2"));
  arrow_ = before ? Rect{text_x - width, lane.y, tip - text_x + width, lane.height} : Rect{tip, lane.y, text_x + width - tip, lane.height};
}

void TimelineView::paint_time(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) const {
  Series both = shown.time;
  both.insert(both.end(), shown.reference_time.begin(), shown.reference_time.end());
  const double top = bar_top(both);
  if (top <= 0) return;
  const double u = context.unit;
  for (int step = 0; step < static_cast<int>(shown.time.size()); ++step) {
    const Rect box = cell(range, step, lane, 1 * u);
    const bool sparse = step < static_cast<int>(shown.actions.size()) && shown.actions[step] != "full" && shown.actions[step] != "refresh" && shown.actions[step] != "search";
    if (std::isfinite(shown.time[step])) {
      const double height = std::clamp(shown.time[step] / top * box.height, 1.0, box.height);
      canvas.fill({box.x, box.bottom() - height, box.width, height}, sparse ? Colour(context.theme.run(context.cursor.run)) : Colour(context.theme.colour("edge")));
    }
    // What is cut off says so.
    if (std::max(shown.time[step], std::isfinite(shown.reference_time[step]) ? shown.reference_time[step] : 0) > top) {
      canvas.triangle({box.x + box.width / 2 - 4 * u, box.y + 7 * u}, {box.x + box.width / 2 + 4 * u, box.y + 7 * u}, {box.x + box.width / 2, box.y + 1 * u},
                      context.theme.colour("warn"));
    }
    if (std::isfinite(shown.reference_time[step])) {
      const double height = std::clamp(shown.reference_time[step] / top * box.height, 1.0, box.height);
      canvas.outline({box.x, box.bottom() - height, box.width, height}, context.theme.run(0), 1);
    }
  }
  const int step = context.cursor.step;
  if (step < static_cast<int>(shown.time.size()) && std::isfinite(shown.time[step])) {
    TextStyle style = number_style(context);
    style.size = 11;
    style.horizontal = Align::Middle;
    style.halo = true;
    canvas.text({range.place(step + 0.5, lane), lane.y + 1 * u}, plot_number(shown.time[step], shown.time[step] >= 10 ? 1 : 0.01), style);
  }
}

void TimelineView::paint_previews(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range) {
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  double free_from = lane.x;  // narrow columns: every n-th preview
  for (const CaptureStep& step : run.steps) {
    const double from = range.place(step.step, lane), to = range.place(step.step + 1, lane);
    if (to < lane.x || from > lane.right()) continue;
    const double side = std::min(lane.height, std::max(to - from - context.unit, 22 * context.unit));
    const double left = (from + to) / 2 - side / 2;
    if (left < free_from - 0.5 * context.unit) continue;
    const Datum<Frames> preview = context.inspection.preview(context.cursor.run, step.step);
    if (!preview || preview->count == 0) continue;
    const auto bitmap = bitmaps_.get(preview.value, preview->count / 2);
    const double shape = static_cast<double>(bitmap->width) / bitmap->height;
    const double width = shape >= 1 ? side : side * shape, height = shape >= 1 ? side / shape : side;
    canvas.image(bitmap, {(from + to) / 2 - width / 2, lane.y + (lane.height - height) / 2, width, height},
                 {0, 0, double(bitmap->width), double(bitmap->height)}, true);
    free_from = left + side;
  }
}

}  // namespace ditscope::views
