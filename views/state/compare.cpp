#include "views/state/compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ditscope::views {
namespace {

/// Smallest difference the logarithmic mode tells apart, as a part of the range: three decades.
constexpr double kLogFloor = 1e-3;

}  // namespace

const char* compare_mode_name(CompareMode mode) {
  switch (mode) {
    case CompareMode::A:
      return "A";
    case CompareMode::B:
      return "B";
    case CompareMode::Wipe:
      return "Wipe";
    case CompareMode::SideBySide:
      return "Side by side";
    case CompareMode::Difference:
      return "Difference";
    case CompareMode::Triple:
      return "A, B and wipe";
  }
  return "";
}

const char* difference_mode_name(DifferenceMode mode) {
  switch (mode) {
    case DifferenceMode::Signed:
      return "signed";
    case DifferenceMode::Absolute:
      return "absolute";
    case DifferenceMode::Root:
      return "square root";
    case DifferenceMode::Logarithmic:
      return "logarithmic";
  }
  return "";
}

const char* third_pane_name(ThirdPane pane) {
  switch (pane) {
    case ThirdPane::WipeVertical:
      return "Wipe, vertical";
    case ThirdPane::WipeHorizontal:
      return "Wipe, horizontal";
    case ThirdPane::Difference:
      return "Difference";
  }
  return "";
}

std::vector<Pane> layout_panes(const CompareState& state, double width, double height, double gap) {
  using Content = Pane::Content;
  std::vector<Pane> panes;
  switch (state.mode) {
    case CompareMode::A:
      panes = {{{}, Content::First, false}};
      break;
    case CompareMode::B:
      panes = {{{}, Content::Second, false}};
      break;
    case CompareMode::Wipe:
      panes = {{{}, Content::Wipe, state.wipe_horizontal}};
      break;
    case CompareMode::Difference:
      panes = {{{}, Content::Difference, false}};
      break;
    case CompareMode::SideBySide:
      panes = {{{}, Content::First, false}, {{}, Content::Second, false}};
      break;
    case CompareMode::Triple:
      panes = {{{}, Content::First, false}, {{}, Content::Second, false}};
      if (state.third == ThirdPane::Difference) {
        panes.push_back({{}, Content::Difference, false});
      } else {
        panes.push_back({{}, Content::Wipe, state.third == ThirdPane::WipeHorizontal});
      }
      break;
  }
  const double count = static_cast<double>(panes.size());
  const double each = std::max(1.0, (width - gap * (count - 1)) / count);
  for (std::size_t i = 0; i < panes.size(); ++i) panes[i].rect = {i * (each + gap), 0, each, std::max(1.0, height)};
  return panes;
}

bool flicker_shows_second(const CompareState& state, double seconds) {
  if (!state.flicker || state.flicker_hz <= 0) return false;
  // One period shows both runs.
  return std::fmod(seconds * state.flicker_hz, 1.0) >= 0.5;
}

DifferenceMode next_difference(DifferenceMode mode) {
  return static_cast<DifferenceMode>((static_cast<int>(mode) + 1) % 4);
}

double wipe_at(const Pane& pane, Point view) {
  const double at = pane.horizontal ? (view.y - pane.rect.y) / pane.rect.height : (view.x - pane.rect.x) / pane.rect.width;
  return std::clamp(at, 0.0, 1.0);
}

double difference_p99(const Frames& a, const Frames& b, int shift_b) {
  if (a.empty() || b.empty() || a.width != b.width || a.height != b.height) return 0;
  constexpr std::size_t kMost = 1'000'000;
  const int first = std::max(0, -shift_b), last = std::min(a.count, b.count - shift_b);
  if (last <= first) return 0;
  const std::size_t total = a.frame_size() * static_cast<std::size_t>(last - first);
  const std::size_t stride = std::max<std::size_t>(1, total / kMost) | 1;  // odd: not always the same channel
  std::vector<float> values;
  values.reserve(total / stride + 1);
  for (std::size_t i = 0; i < total; i += stride) {
    const int frame = first + static_cast<int>(i / a.frame_size());
    const std::size_t at = i % a.frame_size();
    values.push_back(std::fabs(a.frame(frame)[at] - b.frame(frame + shift_b)[at]));
  }
  const std::size_t rank = std::min(values.size() - 1, static_cast<std::size_t>(0.99 * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank), values.end());
  return std::max(4.0 / 255.0, static_cast<double>(values[rank]));
}

double difference_range(const CompareState& state, double p99) {
  return state.range > 0 ? state.range : std::max(p99, 4.0 / 255.0);
}

std::string difference_legend(const CompareState& state, double p99, char first, char second) {
  const double range = difference_range(state, p99);
  const char* origin = state.range > 0 ? "fixed" : "p99 of this pair";
  char text[128];
  switch (state.difference) {
    case DifferenceMode::Signed:
      std::snprintf(text, sizeof text, "%c - %c, -%.3f to +%.3f, %s", second, first, range, range, origin);
      break;
    case DifferenceMode::Absolute:
      std::snprintf(text, sizeof text, "|%c - %c|, 0 to %.3f, %s", first, second, range, origin);
      break;
    case DifferenceMode::Root:
      std::snprintf(text, sizeof text, "root of |%c - %c|, 0 to %.3f, %s", first, second, range, origin);
      break;
    case DifferenceMode::Logarithmic:
      std::snprintf(text, sizeof text, "log10 |%c - %c|, %.1e to %.3f, %s", first, second, range * kLogFloor, range, origin);
      break;
  }
  return text;
}

double difference_value(DifferenceMode mode, double a, double b, double range) {
  const double scaled = (b - a) / range, size = std::fabs(scaled);
  switch (mode) {
    case DifferenceMode::Signed:
      return std::clamp(scaled, -1.0, 1.0);
    case DifferenceMode::Absolute:
      return std::min(size, 1.0);
    case DifferenceMode::Root:
      return std::sqrt(std::min(size, 1.0));
    case DifferenceMode::Logarithmic:
      return std::clamp(std::log10(std::max(size, kLogFloor)) / -std::log10(kLogFloor) + 1.0, 0.0, 1.0);
  }
  return 0;
}

}  // namespace ditscope::views
