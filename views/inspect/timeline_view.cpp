// Steps from left to right, what happened in each in lanes: kept, rho used over true, error, milliseconds, the predicted video.
#include "views/inspect/timeline_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"

namespace ditscope::views {

Rect timeline_columns(const ViewContext& context) {
  const double u = context.unit, label = (context.area.width < 560 * u ? 76 : 112) * u;
  return {context.area.x + label, context.area.y, std::max(context.area.width - label - 10 * u, 10.0), context.area.height};
}

TimelineLanes lay_out_timeline(const ViewContext& context, const std::string& which, double column_px, double scroll_px) {
  const double u = context.unit, gap = 3 * u;
  const Rect columns = timeline_columns(context);
  TimelineLanes lanes;
  lanes.header = {columns.x, columns.y + 2 * u, columns.width, 18 * u};
  const double top = lanes.header.bottom() + gap;
  lanes.body = {columns.x, top, columns.width, std::max(context.area.bottom() - 2 * u - top, 1.0)};
  struct Lane {
    Rect* rect;
    double least, good, most;
    bool shown;
  };
  // A preview is never wider than its column allows, so more height would be empty.
  const double picture = std::clamp(column_px / u, 22.0, 120.0);
  const bool all = which == "all";
  Lane each[] = {{&lanes.kept, 16, 22, 90, true},
                 {&lanes.ratio, 11, 15, 60, which != "previews"},
                 {&lanes.error, 16, 22, 110, which != "previews"},
                 {&lanes.time, 16, 22, 110, which != "previews"},
                 {&lanes.preview, 22, std::min(picture, 36.0), picture, all || which == "previews"}};
  double least = -gap, good = -gap, most = -gap;
  for (const Lane& lane : each) {
    if (!lane.shown) continue;
    least += lane.least * u + gap;
    good += lane.good * u + gap;
    most += lane.most * u + gap;
  }
  const auto share = [](double from, double to, double room) { return to > from ? std::clamp((room - from) / (to - from), 0.0, 1.0) : 0.0; };
  const double to_good = share(least, good, lanes.body.height), to_most = share(good, most, lanes.body.height);
  double y = 0;
  for (const Lane& lane : each) {
    if (!lane.shown) continue;
    const double height = (lane.least + (lane.good - lane.least) * to_good + (lane.most - lane.good) * to_most) * u;
    *lane.rect = {columns.x, y, columns.width, height};
    y += height + gap;
  }
  lanes.height = std::max(y - gap, 0.0);
  const double from = top - std::clamp(scroll_px, 0.0, lanes.most_scroll());
  for (const Lane& lane : each) lane.rect->y += from;
  return lanes;
}

TimelineLanes TimelineView::lanes_of(const ViewContext& context) const {
  const TimelineRange range = range_.clamped(context.inspection.run(context.cursor.run).record.steps);
  const double column = timeline_columns(context).width / std::max(range.last - range.first, 1.0);
  return lay_out_timeline(context, chosen("lanes"), column, scroll_ * context.unit);
}

bool TimelineView::scroll_by(const ViewContext& context, double px) {
  const double before = scroll_;
  scroll_ = std::clamp(scroll_ + px / context.unit, 0.0, lanes_of(context).most_scroll() / context.unit);
  return scroll_ != before;
}

const TimelineFigures& TimelineView::fetch(const ViewContext& context) {
  Inspection& inspection = context.inspection;
  const bool latents = chosen("error") == "latent_error_ratio", whole = chosen("scope") == "run";
  const char* const columns[] = {"kept_ratio_achieved", "rho_used_mean", "rho_true_mean", "age_steps"};
  std::vector<Datum<HeadValues>> data;
  for (const char* column : columns) data.push_back(inspection.head_values(context.cursor.run, column));
  data.push_back(latents ? Datum<HeadValues>{} : inspection.head_values(context.cursor.run, chosen("error")));
  data.push_back(whole ? Datum<HeadValues>{} : inspection.head_values(context.cursor.run, "execute_ms"));
  data.push_back(whole || context.cursor.run == 0 ? Datum<HeadValues>{} : inspection.head_values(0, "execute_ms"));
  Memo<TimelineFigures>::Sources sources;
  std::string problems;
  for (const auto& datum : data) {
    sources.push_back(datum.value);
    problems += datum.problem;
  }
  const InspectCursor& at = context.cursor;
  const InspectedRun& run = inspection.run(at.run);
  std::string key = inspection.captures()[run.capture].string() + " " + std::to_string(at.run) + " " + std::to_string(run.steps.size()) + " " + chosen("scope") +
                    " " + chosen("error") + " " + chosen("tolerance") + " " + problems;
  if (!whole) key += " " + std::to_string(at.layer) + " " + std::to_string(at.branch);
  if (chosen("scope") == "head") key += " " + std::to_string(at.head);
  return shown_.get(std::move(sources), key, [&] { return make(context, data); });
}

TimelineFigures TimelineView::make(const ViewContext& context, const std::vector<Datum<HeadValues>>& data) const {
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  const int steps = run.record.steps;
  HeadChoice choice;
  if (chosen("scope") != "run") {
    choice.layer = context.cursor.layer;
    choice.branch = context.cursor.branch;
  }
  if (chosen("scope") == "head") choice.head = context.cursor.head;
  static const HeadValues kNone;
  const auto values = [&](std::size_t i) -> const HeadValues& { return data[i] ? *data[i] : kNone; };
  TimelineFigures shown;
  shown.loading = data[0].loading();
  shown.problem = data[0].problem;
  shown.actions = step_actions(run, choice.layer);
  shown.kept = mean_by_step(values(0), steps, choice);
  shown.ratio = mean_by_step(ratio_of(values(1), values(2)), steps, choice);
  shown.age = mean_by_step(values(3), steps, choice);
  const double none = std::nan("");
  Series latents(steps, none);
  shown.reference_time = shown.time = latents;
  for (const CaptureStep& step : run.steps) {
    if (step.step >= steps) continue;
    if (step.attention_ms) shown.time[step.step] = *step.attention_ms;
    if (step.latent_error_ratio) latents[step.step] = *step.latent_error_ratio;
  }
  if (choice.layer >= 0) {
    shown.time = mean_by_step(values(5), steps, choice);
    shown.reference_time = mean_by_step(values(6), steps, choice);
  } else if (context.cursor.run != 0) {
    for (const CaptureStep& step : context.inspection.run(0).steps) {
      if (step.step < steps && step.attention_ms) shown.reference_time[step.step] = *step.attention_ms;
    }
  }
  if (chosen("error") != "latent_error_ratio") {
    shown.error = mean_by_step(values(4), steps, choice);
    shown.divergence = first_divergence(values(4), number("tolerance"), choice);
    return shown;
  }
  shown.error = latents;
  for (int step = 0; step < steps && !shown.divergence; ++step) {
    const bool passes = latents[step] > number("tolerance");
    if (passes) shown.divergence = Divergence{step, context.cursor.layer, context.cursor.head, context.cursor.branch, latents[step]};
  }
  return shown;
}

bool TimelineView::jump(const ViewContext& context, const Divergence& to) const {
  InspectCursor cursor = context.inspection.cursor();
  cursor.step = to.step;
  cursor.layer = to.layer;
  cursor.head = to.head;
  cursor.branch = to.branch;
  context.inspection.set_cursor(cursor);
  return true;
}

bool TimelineView::pointer(const PointerEvent& event, const ViewContext& context) {
  if (context.inspection.empty()) return false;
  const TimelineLanes lanes = lanes_of(context);
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  const TimelineRange range = range_.clamped(steps);
  switch (event.kind) {
    case PointerEvent::Kind::Wheel:
      if (event.at.x < lanes.body.x) return scroll_by(context, -24 * context.unit * event.notches);
      range_ = zoom_timeline(range, range.column(event.at.x, lanes.kept), event.notches * (event.shift ? 0.125 : event.control ? 8 : 1), steps);
      return true;
    case PointerEvent::Kind::Release:
    case PointerEvent::Kind::Leave:
      scrubbing_ = scrolling_ = false;
      return false;
    case PointerEvent::Kind::Press:
      scrolling_ = event.left && event.at.x < lanes.body.x && lanes.most_scroll() > 0;
      last_y_ = event.at.y;
      // The word above the names goes to the lanes that are out of sight, and back.
      if (scrolling_ && lanes.header.y <= event.at.y && event.at.y < lanes.header.bottom()) return scroll_by(context, scroll_ > 0 ? -1e9 : 1e9);
      if (event.left && arrow_.contains(event.at) && lanes.body.contains(event.at)) {
        const TimelineFigures& shown = fetch(context);
        return shown.divergence && jump(context, *shown.divergence);
      }
      scrubbing_ = event.left && range.step_at(event.at.x, lanes.kept, steps) >= 0;
      break;
    default:
      break;
  }
  if (scrolling_) return scroll_by(context, std::exchange(last_y_, event.at.y) - event.at.y);
  if (!scrubbing_) return false;
  const int step = range.step_at(std::clamp(event.at.x, lanes.kept.x, lanes.kept.right() - 1e-6), lanes.kept, steps);
  if (step < 0 || step == context.cursor.step) return false;
  InspectCursor cursor = context.inspection.cursor();
  cursor.step = step;
  context.inspection.set_cursor(cursor);
  return true;
}

bool TimelineView::key(const std::string& key, const ViewContext& context) {
  if (context.inspection.empty()) return false;
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  if (key == "W" || key == "S") {
    range_ = zoom_timeline(range_, context.cursor.step + 0.5, key == "W" ? 4 : -4, steps);
  } else if (key == "A" || key == "D") {
    range_ = pan_timeline(range_, key == "A" ? -0.25 : 0.25, steps);
  } else if (key == "F") {
    range_ = {};
  } else {
    return false;
  }
  return true;
}

std::string TimelineView::tooltip(Point at, const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const TimelineLanes lanes = lanes_of(context);
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  const int step = range_.clamped(steps).step_at(at.x, lanes.kept, steps);
  if (step < 0) return at.x < lanes.body.x && lanes.most_scroll() > 0 ? "The wheel scrolls the lanes; a click on the word above goes to those out of sight." : "";
  const TimelineFigures& shown = fetch(context);
  const std::string head = "Step " + std::to_string(step) + (shown.actions[step].empty() ? ", not captured" : ", " + shown.actions[step]) + "\n";
  if (at.y < lanes.body.y) return head;
  if (arrow_.contains(at)) return "First divergence: the first step, layer and head whose error passes the tolerance. Click to go there.";
  if (lanes.kept.contains(at)) return head + "kept ratio " + plot_number(shown.kept[step]) + "\npairs kept / all pairs, text included; a refresh counts 1 + kept";
  if (lanes.ratio.contains(at)) return head + "rho used / true " + plot_number(shown.ratio[step]) + ", mean of heads\nRe-ttention, Eq. 8 and its code";
  if (lanes.error.contains(at)) return head + chosen("error") + " " + plot_number(shown.error[step]);
  if (lanes.time.contains(at)) {
    return head + "attention " + plot_number(shown.time[step]) + " ms, run A " + plot_number(shown.reference_time[step]) + " ms\nwithout shadow passes and capture";
  }
  if (lanes.preview.contains(at)) return head + "the clean video that this step predicts, its middle latent frame";
  return head;
}

std::string TimelineView::spoken(const ViewContext& context) {
  if (context.inspection.empty()) return info().title;
  const TimelineFigures& shown = fetch(context);
  const int step = context.cursor.step;
  return "Timeline, step " + std::to_string(step) + ", " + shown.actions[step] + ", kept ratio " + plot_number(shown.kept[step]) + ", error " +
         plot_number(shown.error[step]);
}

std::vector<DataArray> TimelineView::data(const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const TimelineFigures& shown = fetch(context);
  const std::int64_t steps = static_cast<std::int64_t>(shown.kept.size());
  DataArray table{"timeline", {steps, 6}, {}, {"step", "kept_ratio", "rho_used_over_true", chosen("error"), "attention_ms", "reference_attention_ms"}};
  for (std::int64_t step = 0; step < steps; ++step) {
    const double row[] = {static_cast<double>(step), shown.kept[step], shown.ratio[step], shown.error[step], shown.time[step], shown.reference_time[step]};
    table.values.insert(table.values.end(), std::begin(row), std::end(row));
  }
  return {table};
}

std::unique_ptr<InspectView> make_timeline_view() { return std::make_unique<TimelineView>(); }

}  // namespace ditscope::views
