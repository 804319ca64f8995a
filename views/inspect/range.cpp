#include "views/inspect/range.h"

#include <algorithm>
#include <cmath>

namespace ditscope::views {
namespace {

std::vector<float> finite_axis(std::span<const float> values, const ValueScale& scale) {
  std::vector<float> axis;
  axis.reserve(values.size());
  for (const float value : values) {
    if (std::isfinite(value)) axis.push_back(static_cast<float>(scale.to_axis(value)));
  }
  return axis;
}

double quantile(std::vector<float>& values, double share) {
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(std::lround(share * static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

/// 1, 2 or 5 times a power of ten, not below.
double round_step(double step) {
  const double decade = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * decade >= step * (1 - 1e-9)) return factor * decade;
  }
  return 10 * decade;
}

}  // namespace

Histogram histogram_of(std::span<const float> values, const ValueScale& scale, int bins) {
  Histogram histogram;
  histogram.counts.assign(static_cast<std::size_t>(std::max(bins, 1)), 0);
  const std::vector<float> axis = finite_axis(values, scale);
  histogram.finite = static_cast<std::int64_t>(axis.size());
  for (const float value : values) {
    histogram.nan += std::isnan(value);
    histogram.infinite += std::isinf(value);
  }
  if (axis.empty()) return histogram;
  const auto [least, most] = std::minmax_element(axis.begin(), axis.end());
  const double margin = std::max((*most - *least) * 0.02, std::max(std::abs(*most) * 1e-6, 1e-9));
  histogram.low = *least - margin;
  histogram.high = *most + margin;
  const double per_unit = static_cast<double>(histogram.counts.size()) / (histogram.high - histogram.low);
  for (const float value : axis) {
    const auto bin = static_cast<std::int64_t>((value - histogram.low) * per_unit);
    ++histogram.counts[static_cast<std::size_t>(std::clamp<std::int64_t>(bin, 0, std::ssize(histogram.counts) - 1))];
  }
  return histogram;
}

ValueRange autofit(std::span<const float> values, const ValueScale& scale, bool centred, double centre) {
  std::vector<float> axis = finite_axis(values, scale);
  if (axis.empty()) return centred ? ValueRange{centre - 1, centre + 1} : ValueRange{0, 1};
  if (centred) {
    for (float& value : axis) value = std::abs(value - static_cast<float>(centre));
    double reach = quantile(axis, 0.999);
    if (reach <= 0) reach = *std::max_element(axis.begin(), axis.end());
    if (reach <= 0) reach = 1;
    return {centre - reach, centre + reach};
  }
  ValueRange range{quantile(axis, 0.01), quantile(axis, 0.999)};
  if (range.white <= range.black) {
    const auto [least, most] = std::minmax_element(axis.begin(), axis.end());
    range = {*least, *most};
  }
  if (range.white <= range.black) range = {range.black - 0.5, range.black + 0.5};
  return range;
}

double RangeControl::low() const {
  return dragging() ? frozen_low_ : std::min({histogram.low, range.black - 0.06 * (range.white - range.black)});
}

double RangeControl::high() const {
  return dragging() ? frozen_high_ : std::max({histogram.high, range.white + 0.06 * (range.white - range.black)});
}

double RangeControl::y_of(double axis, const Rect& area) const {
  return area.bottom() - (axis - low()) / (high() - low()) * area.height;
}

double RangeControl::axis_of(double y, const Rect& area) const {
  return low() + (area.bottom() - y) / std::max(area.height, 1e-9) * (high() - low());
}

RangeControl::Handle RangeControl::pick(Point at, const Rect& area, double unit) const {
  if (at.x < area.x || at.x >= area.right()) return Handle::None;
  const double black = std::abs(at.y - y_of(range.black, area)), white = std::abs(at.y - y_of(range.white, area));
  if (std::min(black, white) > 12 * unit) return Handle::None;
  if (black == white) return at.y > y_of(range.black, area) ? Handle::Black : Handle::White;
  return black < white ? Handle::Black : Handle::White;
}

void RangeControl::drag(Handle handle, double y, const Rect& area) {
  const double axis = std::clamp(axis_of(y, area), low(), high()), least = (high() - low()) * 1e-3;
  if (handle == Handle::Black) range.black = std::min(axis, range.white - least);
  if (handle == Handle::White) range.white = std::max(axis, range.black + least);
}

bool RangeControl::pointer(const PointerEvent& event, const Rect& area, double unit) {
  switch (event.kind) {
    case PointerEvent::Kind::Press:
      if (!event.left) return false;
      frozen_low_ = low();
      frozen_high_ = high();
      dragged_ = pick(event.at, area, unit);
      if (dragging()) always_fit = false;
      return dragging();
    case PointerEvent::Kind::Move:
      if (!dragging()) return false;
      drag(dragged_, event.at.y, area);
      return true;
    case PointerEvent::Kind::Release: {
      const bool was = dragging();
      dragged_ = Handle::None;
      return was;
    }
    default: return false;
  }
}

void RangeControl::paint(Canvas& canvas, const ViewContext& context, const Rect& area, const ColourMap& map, const ValueScale& scale) const {
  const double u = context.unit, width = 10 * u;
  const Rect bar{area.x, area.y, width, area.height};
  // The bar shows each value in its colour: flat beyond the handles. Strips of a device pixel or more keep vector files small.
  const int strips = static_cast<int>(std::clamp(area.height, 1.0, 256.0));
  for (int i = 0; i < strips; ++i) {
    const double top = area.y + area.height * i / strips, bottom = area.y + area.height * (i + 1) / strips;
    canvas.fill({bar.x, top, width, bottom - top}, map.at(range.position(axis_of((top + bottom) / 2, area))));
  }
  const std::int64_t most = histogram.counts.empty() ? 0 : *std::max_element(histogram.counts.begin(), histogram.counts.end());
  const double room = std::max(area.width - width - 2 * u, 0.0);
  const Colour grey(context.theme.colour("edge"), 0.55F);
  for (std::size_t bin = 0; most > 0 && bin < histogram.counts.size(); ++bin) {
    if (histogram.counts[bin] == 0) continue;
    const double step = (histogram.high - histogram.low) / static_cast<double>(histogram.counts.size());
    const double top = y_of(histogram.low + step * static_cast<double>(bin + 1), area);
    const double bottom = y_of(histogram.low + step * static_cast<double>(bin), area);
    // The square root lets the tails be seen.
    const double length = room * std::sqrt(static_cast<double>(histogram.counts[bin]) / static_cast<double>(most));
    canvas.fill({bar.right() + u, top, std::max(length, u), std::max(bottom - top - 0.5 * u, 0.5 * u)}, grey);
  }
  TextStyle tick;
  tick.face = Face::Numbers;
  tick.size = 11;
  tick.colour = context.theme.colour("text2");
  tick.vertical = Align::Middle;
  tick.horizontal = Align::End;
  tick.halo = true;
  std::string last;
  for (const double axis : axis_ticks(low(), high(), scale, std::max(2, static_cast<int>(area.height / (28 * u))))) {
    const double y = y_of(axis, area);
    if (y < area.y + 6 * u || y > area.bottom() - 6 * u) continue;
    const std::string text = scale.text(axis);
    if (text == last) continue;  // closer than its digits tell
    last = text;
    canvas.line({bar.right(), y}, {bar.right() + 3 * u, y}, context.theme.colour("text2"));
    canvas.text({area.right() - 12 * u, y}, text, tick);
  }
  for (const auto& [axis, colour] : {std::pair{range.white, Rgb{1, 1, 1}}, std::pair{range.black, Rgb{0.06F, 0.06F, 0.06F}}}) {
    const double y = y_of(axis, area);
    canvas.line({area.x - 2 * u, y}, {area.right() - 8 * u, y}, context.theme.colour("text"));
    const Rect grip{area.right() - 9 * u, y - 4 * u, 8 * u, 8 * u};
    canvas.fill(grip, colour);
    canvas.outline(grip, context.theme.colour("text"));
  }
}

std::vector<double> axis_ticks(double low, double high, const ValueScale& scale, int most) {
  std::vector<double> ticks;
  if (!(high > low) || most < 1) return ticks;
  double step = round_step((high - low) / most);
  if (scale.kind != ValueScale::Kind::Linear && high - low >= 2) step = std::ceil(std::max(step, 1.0));
  for (double tick = std::ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) {
    ticks.push_back(std::abs(tick) < step * 1e-6 ? 0 : tick);
  }
  return ticks;
}

}  // namespace ditscope::views
