// Steps from left to right, what happened in each in lanes: kept, rho used over true, error, milliseconds, the predicted video.
#include "views/inspect/timeline_view.h"

#include <algorithm>
#include <cmath>

#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"

namespace ditscope::views {

TimelineLanes lay_out_timeline(const ViewContext& context) {
  const double u = context.unit, gap = 3 * u, label = (context.area.width < 560 * u ? 76 : 112) * u;
  const double x = context.area.x + label, width = std::max(context.area.width - label - 10 * u, 10.0);
  double y = context.area.y + 2 * u;
  const auto take = [&](double height) {
    const Rect lane{x, y, width, height};
    y += height + gap;
    return lane;
  };
  const double room = context.area.height / u;
  TimelineLanes lanes;
  lanes.header = take(18 * u);
  lanes.kept = take((room < 112 ? 18 : 22) * u);
  lanes.ratio = take((room < 112 ? 12 : 15) * u);
  lanes.error = take((room < 112 ? 18 : 22) * u);
  if (room >= 112) lanes.time = take(22 * u);
  const double rest = context.area.bottom() - y - 2 * u;
  if (rest >= 24 * u) lanes.preview = take(rest);
  return lanes;
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
  const TimelineLanes lanes = lay_out_timeline(context);
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  const TimelineRange range = range_.clamped(steps);
  switch (event.kind) {
    case PointerEvent::Kind::Wheel:
      range_ = zoom_timeline(range, range.column(event.at.x, lanes.kept), event.notches * (event.shift ? 0.125 : event.control ? 8 : 1), steps);
      return true;
    case PointerEvent::Kind::Release:
    case PointerEvent::Kind::Leave:
      scrubbing_ = false;
      return false;
    case PointerEvent::Kind::Press:
      if (event.left && arrow_.contains(event.at)) {
        const TimelineFigures& shown = fetch(context);
        return shown.divergence && jump(context, *shown.divergence);
      }
      scrubbing_ = event.left && range.step_at(event.at.x, lanes.kept, steps) >= 0;
      break;
    default:
      break;
  }
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
  const TimelineLanes lanes = lay_out_timeline(context);
  const int steps = context.inspection.run(context.cursor.run).record.steps;
  const int step = range_.clamped(steps).step_at(at.x, lanes.kept, steps);
  if (step < 0) return {};
  const TimelineFigures& shown = fetch(context);
  const std::string head = "Step " + std::to_string(step) + (shown.actions[step].empty() ? ", not captured" : ", " + shown.actions[step]) + "\n";
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
