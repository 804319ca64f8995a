#include "core/study/matching.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace ditscope::study {
namespace {

constexpr int kHalvings = 9;

const Parameter* find(const MethodEntry& entry, const std::string& key) {
  const auto found = std::find_if(entry.parameters.begin(), entry.parameters.end(), [&](const Parameter& p) { return p.key == key; });
  return found == entry.parameters.end() ? nullptr : &*found;
}

Knob along(const MethodChoice& base, const Parameter& parameter, bool logarithmic) {
  const double low = parameter.minimum, high = parameter.maximum;
  return {parameter.key,
          [=, key = parameter.key](double position) {
            MethodChoice choice = base;
            choice.parameters[key] = logarithmic ? low * std::pow(high / low, position) : low + (high - low) * position;
            return choice;
          },
          {}};
}

/// Windows of tiles: odd sizes of each axis, rows as columns, by their number of tiles.
Knob of_windows(const MethodChoice& base) {
  std::vector<std::pair<std::int64_t, std::int64_t>> sizes;
  for (const std::int64_t frames : {1, 3, 5, 7, 9})
    for (const std::int64_t sites : {1, 3, 5, 7, 9}) sizes.emplace_back(frames, sites);
  std::stable_sort(sizes.begin(), sizes.end(),
                   [](const auto& a, const auto& b) { return a.first * a.second * a.second < b.first * b.second * b.second; });
  Knob knob;
  knob.parameter = "window_frames/rows/columns";
  for (std::size_t i = 0; i < sizes.size(); ++i) knob.positions.push_back(static_cast<double>(i) / static_cast<double>(sizes.size() - 1));
  knob.at = [base, sizes](double position) {
    const auto [frames, sites] = sizes[static_cast<std::size_t>(std::lround(position * static_cast<double>(sizes.size() - 1)))];
    MethodChoice choice = base;
    choice.parameters["window_frames"] = frames;
    choice.parameters["window_rows"] = choice.parameters["window_columns"] = sites;
    return choice;
  };
  return knob;
}

}  // namespace

std::optional<Knob> knob_of(const MethodChoice& base) {
  const MethodEntry& entry = find_method(base.key);
  MethodChoice fixed = base;
  if (const Parameter* kept = find(entry, "kept_ratio")) {
    if (find(entry, "top_p")) fixed.parameters.try_emplace("top_p", 0.0);
    return along(fixed, *kept, kept->minimum > 0);
  }
  if (find(entry, "window_frames")) return of_windows(fixed);
  if (find(entry, "least_ratio")) fixed.parameters.try_emplace("least_ratio", 0.0);
  for (const char* key : {"top_p", "threshold", "decay"}) {
    if (const Parameter* parameter = find(entry, key)) return along(fixed, *parameter, false);
  }
  return std::nullopt;
}

std::vector<Match> match_ratios(const Knob& knob, const std::vector<double>& targets,
                                const std::function<double(const MethodChoice&)>& kept) {
  std::map<double, double> tried;  // position -> kept
  const auto ask = [&](double position) {
    const auto [found, is_new] = tried.try_emplace(position, 0);
    if (is_new) found->second = kept(knob.at(position));
    return found->second;
  };
  for (const double position : knob.positions) ask(position);
  if (knob.positions.empty()) {
    ask(0);
    ask(1);
    for (const double target : targets) {
      for (int i = 0; i < kHalvings; ++i) {
        // The narrowest pair of neighbours that the target lies between; none where it lies outside.
        auto above = std::find_if(tried.begin(), tried.end(), [&](const auto& t) { return t.second >= target; });
        if (above == tried.end() || above == tried.begin()) break;
        const double low = std::prev(above)->first, high = above->first;
        if (std::fabs(above->second - target) < 0.005 * target || std::fabs(std::prev(above)->second - target) < 0.005 * target) break;
        ask((low + high) / 2);
      }
    }
  }
  std::vector<Match> matches;
  for (const double target : targets) {
    const auto nearest = std::min_element(tried.begin(), tried.end(), [&](const auto& a, const auto& b) {
      return std::fabs(a.second - target) < std::fabs(b.second - target);
    });
    matches.push_back({target, nearest->second, std::fabs(nearest->second - target) <= kTolerance * target, knob.at(nearest->first)});
  }
  return matches;
}

}  // namespace ditscope::study
