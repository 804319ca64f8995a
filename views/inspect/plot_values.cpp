#include "views/inspect/plot_values.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

namespace ditscope::views {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Mean {
  double sum = 0;
  std::int64_t count = 0;
  void add(double value) {
    if (std::isnan(value)) return;
    sum += value;
    ++count;
  }
  double value() const { return count ? sum / static_cast<double>(count) : kNone; }
};

std::vector<double> values_of(const std::vector<Mean>& means) {
  std::vector<double> values;
  values.reserve(means.size());
  for (const Mean& mean : means) values.push_back(mean.value());
  return values;
}

auto place_of(const CaptureReader::HeadValue& value) { return std::tuple(value.step, value.layer, value.branch, value.head); }
bool before(const CaptureReader::HeadValue& a, const CaptureReader::HeadValue& b) { return place_of(a) < place_of(b); }

}  // namespace

Series mean_by_step(const HeadValues& values, int steps, const HeadChoice& choice) {
  std::vector<Mean> means(static_cast<std::size_t>(std::max(steps, 0)));
  for (const auto& value : values) {
    if (value.step >= 0 && value.step < steps && choice.takes(value)) means[value.step].add(value.value);
  }
  return values_of(means);
}

Extent ValueGrid::extent() const {
  Extent extent;
  extent.add(values);
  return extent;
}

ValueGrid mean_by_step_and_layer(const HeadValues& values, int steps, int layers, const HeadChoice& choice) {
  std::vector<Mean> means(static_cast<std::size_t>(std::max(steps, 0)) * std::max(layers, 0));
  for (const auto& value : values) {
    const bool inside = value.step >= 0 && value.step < steps && value.layer >= 0 && value.layer < layers;
    if (inside && choice.takes(value)) means[static_cast<std::size_t>(value.layer) * steps + value.step].add(value.value);
  }
  return {layers, steps, values_of(means)};
}

ValueGrid mean_by_layer_and_head(const HeadValues& values, int layers, int heads, const HeadChoice& choice) {
  std::vector<Mean> means(static_cast<std::size_t>(std::max(layers, 0)) * std::max(heads, 0));
  for (const auto& value : values) {
    const bool inside = value.layer >= 0 && value.layer < layers && value.head >= 0 && value.head < heads;
    if (inside && choice.takes(value)) means[static_cast<std::size_t>(value.layer) * heads + value.head].add(value.value);
  }
  return {layers, heads, values_of(means)};
}

HeadValues in_order(HeadValues values) {
  if (!std::is_sorted(values.begin(), values.end(), before)) std::sort(values.begin(), values.end(), before);
  return values;
}

double value_at(const HeadValues& values, const CaptureReader::HeadValue& place) {
  const auto at = std::lower_bound(values.begin(), values.end(), place, before);
  return at != values.end() && place_of(*at) == place_of(place) ? at->value : kNone;
}

HeadValues ratio_of(const HeadValues& a, const HeadValues& b) {
  const HeadValues sorted = in_order(b);
  HeadValues ratios = a;
  for (auto& ratio : ratios) {
    const double by = value_at(sorted, ratio);
    ratio.value = by != 0 ? ratio.value / by : kNone;
  }
  return ratios;
}

std::optional<Divergence> first_divergence(const HeadValues& errors, double tolerance, const HeadChoice& choice) {
  std::optional<Divergence> first;
  for (const auto& error : errors) {
    if (!(error.value > tolerance) || !choice.takes(error)) continue;  // NaN passes nothing
    const auto place = std::tuple(error.step, error.layer);
    const bool earlier = !first || place < std::tuple(first->step, first->layer);
    const bool worse = first && place == std::tuple(first->step, first->layer) && error.value > first->value;
    if (earlier || worse) first = Divergence{error.step, error.layer, error.head, error.branch, error.value};
  }
  return first;
}

std::vector<std::string> step_actions(const InspectedRun& run, int layer) {
  std::vector<std::string> actions(static_cast<std::size_t>(std::max(run.record.steps, 0)));
  for (const CaptureStep& step : run.steps) {
    if (step.step >= 0 && step.step < run.record.steps) actions[step.step] = step.action;
  }
  if (layer < 0) return actions;
  const auto schedule = nlohmann::json::parse(run.record.schedule, nullptr, false);
  if (!schedule.is_array()) return actions;
  for (std::size_t step = 0; step < std::min(actions.size(), schedule.size()); ++step) {
    const auto& layers = schedule[step];
    const bool known = layers.is_array() && layer < static_cast<int>(layers.size()) && layers[layer].is_string();
    if (known && !actions[step].empty()) actions[step] = layers[layer].get<std::string>();
  }
  return actions;
}

double quantile(std::vector<float>& values, double q) {
  const auto last = std::partition(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
  const auto count = last - values.begin();
  if (count == 0) return kNone;
  const double at = q * static_cast<double>(count - 1);
  const auto low = values.begin() + static_cast<std::ptrdiff_t>(at);
  std::nth_element(values.begin(), low, last);
  const double below = *low;
  if (low + 1 == last) return below;
  return below + (at - std::floor(at)) * (*std::min_element(low + 1, last) - below);
}

std::vector<double> histogram(const std::vector<float>& values, double low, double high, int bins) {
  std::vector<double> shares(static_cast<std::size_t>(std::max(bins, 1)), 0.0);
  std::int64_t count = 0;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const double at = high > low ? (value - low) / (high - low) * bins : 0;
    ++shares[static_cast<std::size_t>(std::clamp(at, 0.0, bins - 1.0))];
    ++count;
  }
  for (double& share : shares) share /= static_cast<double>(std::max<std::int64_t>(count, 1));
  return shares;
}

}  // namespace ditscope::views
