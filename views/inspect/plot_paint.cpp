#include "views/inspect/plot_paint.h"

#include <algorithm>
#include <cmath>

#include "views/inspect/colour_map.h"

namespace ditscope::views {

TextStyle tick_style(const ViewContext& context) {
  TextStyle style;
  style.face = Face::Numbers;
  style.size = 11;
  style.colour = context.theme.colour("text3");
  return style;
}

TextStyle label_style(const ViewContext& context, const char* token) {
  TextStyle style;
  style.colour = context.theme.colour(token);
  return style;
}

TextStyle strong_style(const ViewContext& context) {
  TextStyle style = label_style(context, "text");
  style.face = Face::WordsStrong;
  return style;
}

TextStyle number_style(const ViewContext& context, const char* token) {
  TextStyle style = label_style(context, token);
  style.face = Face::Numbers;
  return style;
}

Colour nan_colour() { return ColourMap::kNan; }
Colour inf_colour() { return ColourMap::kInfinity; }

void paint_hatch(Canvas& canvas, const Rect& rect, const Colour& colour, double gap) {
  if (rect.width <= 0 || rect.height <= 0) return;
  canvas.push_clip(rect);
  const double step = gap * canvas.unit();
  // Anchored to the canvas, so that neighbours continue each other.
  for (double sum = std::floor((rect.x + rect.y) / step) * step; sum <= rect.right() + rect.bottom(); sum += step) {
    canvas.line({sum - rect.y, rect.y}, {sum - rect.bottom(), rect.bottom()}, colour, 1);
  }
  canvas.pop_clip();
}

Rect paint_plate(Canvas& canvas, const ViewContext& context, Point at, const std::string& text, TextStyle style) {
  const double unit = context.unit, pad = 3 * unit, width = canvas.text_width(text, style) + 2 * pad, height = (style.size + 5) * unit;
  Rect rect{at.x, at.y, width, height};
  if (style.horizontal == Align::Middle) rect.x -= width / 2;
  if (style.horizontal == Align::End) rect.x -= width;
  if (style.vertical == Align::Middle) rect.y -= height / 2;
  if (style.vertical == Align::End) rect.y -= height;
  canvas.fill(rect, Colour(context.theme.dark ? Rgb{0.06F, 0.06F, 0.06F} : Rgb{1, 1, 1}, 0.8F), 3 * unit);
  style.horizontal = Align::Begin;
  style.vertical = Align::Middle;
  canvas.text({rect.x + pad, rect.y + height / 2}, text, style);
  return rect;
}

std::string fit_text(const Canvas& canvas, const std::string& text, const TextStyle& style, double width) {
  if (canvas.text_width(text, style) <= width) return text;
  for (std::size_t length = text.size(); length > 0; --length) {
    if ((static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) continue;  // inside a character
    const std::string part = text.substr(0, length) + "...";
    if (canvas.text_width(part, style) <= width) return part;
  }
  return {};
}

void paint_readout(Canvas& canvas, const ViewContext& context, double left, double right, double y, const std::string& name,
                   const std::string& value, const char* token) {
  TextStyle number = number_style(context, token);
  number.horizontal = Align::End;
  const TextStyle words = label_style(context);
  const double room = right - left - canvas.text_width(value, number) - 6 * context.unit;
  canvas.text({left, y}, fit_text(canvas, name, words, room), words);
  canvas.text({right, y}, value, number);
}

PlotAxis step_axis(int steps) {
  PlotAxis axis;
  axis.low = -0.5;
  axis.high = std::max(steps, 1) - 0.5;
  return axis;
}

Plot::Plot(Canvas& canvas, const ViewContext& context, const Rect& area, PlotAxis x, PlotAxis y)
    : canvas_(canvas), context_(context), area_(area), x_(x), y_(y) {
  x_.begin = area.x;
  x_.end = area.right();
  y_.begin = area.bottom();
  y_.end = area.y;
}

void Plot::ground() const { canvas_.fill(area_, context_.theme.colour("view")); }

void Plot::y_ticks(int most, bool lines) const {
  TextStyle style = tick_style(context_);
  style.horizontal = Align::End;
  style.vertical = Align::Middle;
  const double half = style.size / 2 * context_.unit;
  for (const PlotTick& tick : plot_ticks(y_, most)) {
    const double at = y_.place(tick.value);
    if (lines) canvas_.line({area_.x, at}, {area_.right(), at}, Colour(context_.theme.colour("line"), 0.7F), 1);
    canvas_.text({area_.x - 5 * context_.unit, std::clamp(at, area_.y + half, area_.bottom() - half)}, tick.text, style);
  }
}

void Plot::x_ticks(int most) const {
  TextStyle style = tick_style(context_);
  style.horizontal = Align::Middle;
  for (const PlotTick& tick : plot_ticks(x_, most)) {
    canvas_.text({x_.place(tick.value), area_.bottom() + 3 * context_.unit}, tick.text, style);
  }
}

void Plot::y_name(double left, const std::string& name, const std::string& unit) const {
  canvas_.text({left, area_.y}, name, strong_style(context_));
  TextStyle small = label_style(context_, "text3");
  small.size = 11;
  canvas_.text({left, area_.y + 15 * context_.unit}, unit, small);
}

void Plot::step_ticks(double left, int steps, int cursor) const {
  TextStyle style = tick_style(context_);
  style.horizontal = Align::Middle;
  const double y = area_.bottom() + 4 * context_.unit, room = 34 * context_.unit;
  const double at_cursor = x_.place(cursor);
  int every = 1;
  for (const int next : {1, 2, 5, 10, 20, 50, 100, 200, 500}) {
    every = next;
    if ((x_.place(next) - x_.place(0)) >= room) break;
  }
  const bool shown = cursor >= 0 && cursor < steps && x_.contains(cursor);
  for (int step = 0; step < steps; step += every) {
    if (!x_.contains(step) || (shown && std::fabs(x_.place(step) - at_cursor) < 22 * context_.unit)) continue;
    canvas_.text({x_.place(step), y}, std::to_string(step), style);
  }
  TextStyle name = label_style(context_, "text3");
  name.size = 11;
  if (left < area_.x) canvas_.text({left, y}, "step", name);
  if (!shown) return;
  const std::string text = std::to_string(cursor);
  const double width = std::max(canvas_.text_width(text, style) + 8 * context_.unit, 20 * context_.unit);
  canvas_.fill({at_cursor - width / 2, y - 1 * context_.unit, width, 15 * context_.unit}, context_.theme.colour("accent"), 2 * context_.unit);
  style.colour = context_.theme.colour("on_accent");
  canvas_.text({at_cursor, y}, text, style);
}

void Plot::hatch_steps(const std::vector<std::string>& actions) const {
  for (std::size_t step = 0; step < actions.size();) {
    std::size_t end = step;
    while (end < actions.size() && actions[end] == "full") ++end;
    if (end > step) {
      const double from = std::max(x_.place(static_cast<double>(step) - 0.5), area_.x);
      const double to = std::min(x_.place(static_cast<double>(end) - 0.5), area_.right());
      paint_hatch(canvas_, {from, area_.y, to - from, area_.height}, Colour(context_.theme.colour("edge"), 0.3F));
    }
    step = std::max(end, step + 1);
  }
}

void Plot::mark_refreshes(const std::vector<std::string>& actions) const {
  const double size = 4 * context_.unit;
  for (std::size_t step = 0; step < actions.size(); ++step) {
    if ((actions[step] != "refresh" && actions[step] != "search") || !x_.contains(static_cast<double>(step))) continue;
    const double at = x_.place(static_cast<double>(step));
    canvas_.line({at, area_.y}, {at, area_.bottom()}, context_.theme.colour("edge"), 1, Dash::Dotted);
    canvas_.triangle({at - size, area_.y}, {at + size, area_.y}, {at, area_.y + 1.6 * size}, context_.theme.colour("text2"));
  }
}

void Plot::level(double value, const Colour& colour, Dash dash) const {
  const double at = y_.place(value);
  if (std::isfinite(at) && at >= area_.y && at <= area_.bottom()) canvas_.line({area_.x, at}, {area_.right(), at}, colour, 1, dash);
}

void Plot::dots(const Series& series, const Colour& colour, double width) const {
  const double size = 4 * context_.unit;
  for (std::size_t step = 0; step < series.size(); ++step) {
    const double x = x_.place(static_cast<double>(step)), value = series[step];
    if (std::isinf(value)) {
      const double edge = value > 0 ? area_.y : area_.bottom(), into = value > 0 ? size : -size;
      canvas_.triangle({x - size, edge + into}, {x + size, edge + into}, {x, edge}, inf_colour());
    }
    const bool left = step > 0 && std::isfinite(series[step - 1]);
    const bool right = step + 1 < series.size() && std::isfinite(series[step + 1]);
    if (!left && !right && std::isfinite(y_.place(value))) canvas_.circle({x, y_.place(value)}, (width + 0.5) * context_.unit, colour);
  }
}

void Plot::curve(const Series& series, const Colour& colour, double width, Dash dash) const {
  canvas_.push_clip(area_);
  canvas_.polyline(curve_points(series, x_, y_), colour, width, dash);
  dots(series, colour, width);
  canvas_.pop_clip();
}

void Plot::staircase(const Series& series, const Colour& colour, double width, Dash dash) const {
  canvas_.push_clip(area_);
  canvas_.polyline(staircase_points(series, x_, y_), colour, width, dash);
  canvas_.pop_clip();
}

void Plot::band(const Series& low, const Series& high, const Colour& colour) const {
  canvas_.push_clip(area_);
  canvas_.band(curve_points(low, x_, y_), curve_points(high, x_, y_), colour);
  canvas_.pop_clip();
}

void Plot::bars(const Series& series, double from, const Colour& above, const Colour& below) const {
  const double base = y_.place(from), half = std::max(0.5, (x_.place(1) - x_.place(0)) * 0.38);
  if (!std::isfinite(base)) return;
  canvas_.push_clip(area_);
  for (std::size_t step = 0; step < series.size(); ++step) {
    const double at = y_.place(series[step]), x = x_.place(static_cast<double>(step));
    if (!std::isfinite(at)) continue;
    canvas_.fill({x - half, std::min(at, base), 2 * half, std::fabs(at - base)}, at <= base ? above : below);
  }
  canvas_.pop_clip();
}

void Plot::cursor(double value) const {
  const double at = x_.place(value);
  if (!std::isfinite(at) || at < area_.x || at > area_.right()) return;
  canvas_.line({at, area_.y}, {at, area_.bottom()}, context_.theme.colour("accent"), 1.5);
}

void Plot::end_labels(const std::vector<Label>& labels) const {
  // Above the curve that ends highest, below the others.
  std::vector<double> ends, wanted;
  std::vector<const Label*> shown;
  for (const Label& label : labels) {
    const auto& values = *label.series;
    const auto last = std::find_if(values.rbegin(), values.rend(), [&](double value) { return std::isfinite(y_.place(value)); });
    if (last == values.rend()) continue;
    ends.push_back(y_.place(*last));
    shown.push_back(&label);
  }
  TextStyle style = label_style(context_);
  style.size = 11;
  style.horizontal = Align::End;
  style.vertical = Align::Middle;
  style.halo = true;
  const double half = 7 * context_.unit;
  const double top = ends.empty() ? 0 : *std::min_element(ends.begin(), ends.end());
  for (const double end : ends) wanted.push_back(end + (end == top ? -1.4 : 1.4) * half);
  wanted.resize(std::min(wanted.size(), static_cast<std::size_t>(std::max(area_.height / (2 * half), 0.0))));
  shown.resize(wanted.size());
  const std::vector<double> at = spread(wanted, 2 * half, area_.y + half, area_.bottom() - half);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    style.colour = shown[i]->colour;
    const double right = area_.right() - 4 * context_.unit;
    const std::string text = fit_text(canvas_, shown[i]->text, style, right - area_.x);
    const double width = canvas_.text_width(text, style);
    canvas_.text({right, at[i]}, text, style);
    labels_.push_back({right - width, at[i] - half, width, 2 * half});
  }
}

void Plot::note(const std::string& text, Align horizontal, Align vertical, const char* token) const {
  TextStyle style = label_style(context_, token);
  style.size = 11;
  style.horizontal = horizontal;
  style.vertical = vertical;
  style.halo = true;
  const double pad = 4 * context_.unit;
  const double x = horizontal == Align::Begin ? area_.x + pad : horizontal == Align::End ? area_.right() - pad : area_.x + area_.width / 2;
  const double y = vertical == Align::Begin ? area_.y + pad / 2 : vertical == Align::End ? area_.bottom() - pad / 2 : area_.y + area_.height / 2;
  double room = area_.width - 2 * pad;
  const double line = 14 * context_.unit, from = vertical == Align::Begin ? y : vertical == Align::End ? y - line : y - line / 2;
  for (const Rect& label : labels_) {
    if (horizontal == Align::Begin && label.y < from + line && label.bottom() > from) room = std::min(room, label.x - x - pad);
  }
  // A few letters of it would be none.
  if (room > 40 * context_.unit || canvas_.text_width(text, style) <= room) canvas_.text({x, y}, fit_text(canvas_, text, style, room), style);
}

}  // namespace ditscope::views
