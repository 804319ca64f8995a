#include "core/study/svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace ditscope::study {
namespace {

constexpr double kWidth = 620, kHeight = 340, kLeft = 52, kRight = 16, kTop = 12, kBottom = 44, kLegendRow = 15;
constexpr std::array<const char*, 10> kColours{"#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed",
                                               "#0891b2", "#be185d", "#4d7c0f", "#475569", "#92400e"};

std::string format(const char* text, auto... values) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, text, values...);
  return buffer;
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// A round distance between ticks, about five of them.
double tick_step(double span) {
  const double rough = span / 5, power = std::pow(10, std::floor(std::log10(rough))), part = rough / power;
  return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string number_text(double value, int digits) {
  return std::isfinite(value) ? format("%.*f", digits, value) : "–";
}

std::string svg(const Plot& plot) {
  Range xs, ys;
  for (const PlotLine& line : plot.lines) {
    for (const PlotPoint& point : line.points) {
      xs.add(plot.x_logarithmic ? std::log(point.x) : point.x);
      ys.add(point.y.low);
      ys.add(point.y.high);
    }
  }
  if (!(xs.low <= xs.high)) return "<p>" + escaped(plot.title) + ": nothing has been run yet.</p>\n";
  for (const PlotLevel& level : plot.levels) ys.add(level.y);
  const double x_room = std::max(xs.high - xs.low, 1e-6) * 0.04, y_room = std::max(ys.high - ys.low, 1e-6) * 0.06;
  xs = {xs.low - x_room, xs.high + x_room};
  ys = {ys.low - y_room, ys.high + y_room};
  const auto x_of = [&](double x) {
    return kLeft + ((plot.x_logarithmic ? std::log(x) : x) - xs.low) / (xs.high - xs.low) * (kWidth - kLeft - kRight);
  };
  const auto y_of = [&](double y) { return kHeight - kBottom - (y - ys.low) / (ys.high - ys.low) * (kHeight - kTop - kBottom); };

  const int columns = 3;
  const int rows = (static_cast<int>(plot.lines.size()) + columns - 1) / columns;
  std::string out = format("<figure><figcaption>%s</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n", escaped(plot.title).substr(0, 300).c_str(),
                           kWidth, kHeight + kLegendRow * rows + 6);
  const double step = tick_step(ys.high - ys.low);
  for (double y = std::ceil(ys.low / step) * step; y <= ys.high; y += step) {
    out += format("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", kLeft, kWidth - kRight, y_of(y), y_of(y));
    out += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", kLeft - 6, y_of(y) + 4, std::round(y * 1e6) / 1e6);
  }
  const auto x_tick = [&](double x, const std::string& label) {
    out += format("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x_of(x), x_of(x), kTop, kHeight - kBottom);
    out += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x_of(x), kHeight - kBottom + 15, label.c_str());
  };
  if (plot.x_logarithmic) {
    for (double x = 1; std::log(x) >= xs.low; x /= 2)
      if (std::log(x) <= xs.high) x_tick(x, format("%.3g %%", x * 100));
  } else {
    const double x_step = tick_step(xs.high - xs.low);
    for (double x = std::ceil(xs.low / x_step) * x_step; x <= xs.high; x += x_step) x_tick(x, format("%.3g %%", x * 100));
  }
  out += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>", (kLeft + kWidth) / 2, kHeight - 8, escaped(plot.x_label).c_str());
  out += format("<text x=\"12\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 12 %.1f)\">%s</text>\n", kHeight / 2, kHeight / 2,
                escaped(plot.y_label).c_str());
  for (const PlotLevel& level : plot.levels) {
    out += format("<line class=\"level\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", kLeft, kWidth - kRight, y_of(level.y), y_of(level.y));
    out += format("<text x=\"%.1f\" y=\"%.1f\">%s</text>\n", kLeft + 4, y_of(level.y) - 4, escaped(level.name).c_str());
  }
  for (std::size_t i = 0; i < plot.lines.size(); ++i) {
    const PlotLine& line = plot.lines[i];
    const char* colour = kColours[i % kColours.size()];
    const char* dash = i < kColours.size() ? "none" : "5 3";
    std::string path;
    for (const PlotPoint& point : line.points) {
      const double x = x_of(point.x), y = y_of(point.y.mean);
      path += format("%s%.1f %.1f", path.empty() ? "M" : "L", x, y);
      out += format("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" opacity=\".45\"/>", x, x, y_of(point.y.low),
                    y_of(point.y.high), colour);
      out += format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>", x, y, colour) + escaped(line.name) +
             format(": %.3g at %.3g %%</title></circle>\n", point.y.mean, point.x * 100);
    }
    if (line.connected) out += "<path d=\"" + path + format("\" fill=\"none\" stroke=\"%s\" stroke-dasharray=\"%s\"/>\n", colour, dash);
    const double legend_x = kLeft + static_cast<double>(i % columns) * (kWidth - kLeft) / columns;
    const double legend_y = kHeight + kLegendRow * (static_cast<double>(i / columns) + 0.5);
    out += format("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"3\" stroke-dasharray=\"%s\"/>", legend_x,
                  legend_x + 18, legend_y, legend_y, colour, dash);
    out += format("<text x=\"%.1f\" y=\"%.1f\">", legend_x + 23, legend_y + 4) + escaped(line.name) + "</text>\n";
  }
  return out + "</svg></figure>\n";
}

}  // namespace ditscope::study
