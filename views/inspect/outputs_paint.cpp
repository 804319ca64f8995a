// How the outputs view draws a run, a pair, a difference, and where the locked token looks.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "views/inspect/outputs_difference.h"
#include "views/inspect/outputs_panes.h"
#include "views/inspect/outputs_view.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/words_paint.h"
#include "views/state/compare.h"
#include "views/state/words.h"

namespace ditscope::views {

void OutputsView::paint_side(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& side, float alpha) {
  const InspectedRun& run = context.inspection.run(side.run);
  if (!side.frames || side.frames->count == 0) {
    paint_notice(canvas, context, pane, side.frames.loading() ? "Reading the frames." : kNoFrames);
    return;
  }
  const Frames& frames = *side.frames;
  paint_picture(canvas, pane, camera_, bitmaps_.get(side.frames.value, side.frame), frames.width, frames.height, camera_.scale < 1, alpha);
  if (chosen("look") == "overlay" && has_heat(context)) {
    const Datum<TokenLook> heat = look(context, side.run);
    if (heat) {
      const int grid = run.geometry.frames() == 1 ? 0 : run.geometry.grid_frame(side.frame);
      const auto bitmap = look_bitmap(*heat, run.geometry, grid, context.theme);
      paint_picture(canvas, pane, camera_, bitmap, frames.width, frames.height, false, 0.75F);
    }
  }
}

void OutputsView::paint_marks(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& side, const OutputSide* less,
                              double taken, const OutputSide* second) {
  if (!side.frames || side.frames->count == 0) return;
  const Frames& frames = *side.frames;
  const InspectedRun& run = context.inspection.run(side.run);
  const auto& locked = context.inspection.locked();
  for (std::size_t i = 0; i < locked.size(); ++i) {
    if (locked[i] >= run.geometry.tokens() || run.geometry.is_text(locked[i])) continue;
    const TokenPixels pixels = run.geometry.pixels(locked[i]);
    const bool here = side.frame >= pixels.first_frame && side.frame <= pixels.last_frame;
    if (here || locked.size() == 1) paint_token_box(canvas, context, pane, camera_, pixels, here, locked.size() == 1);
  }
  for (const std::int64_t token : {context.inspection.hover().query, context.inspection.hover().key}) {
    if (token < 0 || token >= run.geometry.tokens() || run.geometry.is_text(token)) continue;
    const TokenPixels pixels = run.geometry.pixels(token);
    if (side.frame < pixels.first_frame || side.frame > pixels.last_frame) continue;
    const Point from = camera_.to_view({pixels.area.x, pixels.area.y}, pane);
    canvas.push_clip(pane);
    canvas.outline({from.x, from.y, pixels.area.width * camera_.scale, pixels.area.height * camera_.scale},
                   context.theme.dark ? Rgb{1, 1, 1} : Rgb{0, 0, 0}, 1, Dash::Dashed);
    canvas.pop_clip();
  }
  const bool differs = less && less->frames && less->frames->width == frames.width && less->frames->height == frames.height && less->frames->count > 0;
  const PixelDifference difference = pixel_difference_of(chosen("difference"));
  if (camera_.scale >= kPixelValuesFrom * context.unit) paint_pixels(canvas, pane, side, differs ? less : nullptr, second);
  const std::string letter = second ? std::string(1, run.letter) + " " : "";
  if (chosen("scope") != "off") paint_scope(canvas, context, pane, frames, side.frame, chosen("scope"), letter);
  const double scope_px = chosen("scope") == "off" ? 0 : scope_area(context, pane).right() - pane.x;
  if (hover_ && on("magnifier")) {
    const bool behind = second && second->frames && mode() == "wipe" && wiped(pane).second.contains(camera_.to_view(*hover_, pane));
    const OutputSide& under = behind ? *second : side;
    paint_magnifier(canvas, context, pane, bitmaps_.get(under.frames.value, under.frame), *hover_, scope_px);
  }
  if (!less) {
    const Datum<Series> psnr = side.run > 0 && mode() == "grid" ? psnr_of(context, side.run) : Datum<Series>{};
    const auto frame = static_cast<std::size_t>(playback_.frame());
    taken = paint_tag(canvas, context, pane, side.run, run.letter, run.record.name + (psnr && frame < psnr->size() ? ", " + decibel_text((*psnr)[frame]) : ""));
  }
  Point probe{-1, -1};
  if (hover_) {
    probe = *hover_;
  } else if (!locked.empty() && !run.geometry.is_text(locked[0]) && locked[0] < run.geometry.tokens()) {
    const Rect area = run.geometry.pixels(locked[0]).area;
    probe = {area.x + area.width / 2, area.y + area.height / 2};
  }
  std::string text = pixel_text(frames, side.frame, probe);
  if (less && !text.empty()) {
    text.clear();
    if (!differs) return;
    for (const std::string& value : difference_values(difference, *less->frames, less->frame, frames, side.frame, static_cast<int>(probe.x), static_cast<int>(probe.y))) {
      text += (text.empty() ? "" : " ") + value;
    }
  }
  if (second && second->frames && !text.empty()) {
    const std::string other = pixel_text(*second->frames, second->frame, probe);
    text = letter + text + (other.empty() ? "" : std::string("  ") + context.inspection.run(second->run).letter + " " + other);
  }
  if (mode() == "wipe" && chosen("wipe") != "horizontal") taken = std::max(taken, pane.x + wipe_ * pane.width + 26 * context.unit);
  if (!text.empty()) paint_value(canvas, context, pane, text, taken);
}

/// What is written in a pixel is of the run that is seen there.
void OutputsView::paint_pixels(Canvas& canvas, const Rect& pane, const OutputSide& side, const OutputSide* less,
                               const OutputSide* second) const {
  const Frames& frames = *side.frames;
  const auto own = [&](const OutputSide& of) {
    return [&of](int x, int y) { return pixel_lines(*of.frames, of.frame, x, y); };
  };
  const bool two = second && second->frames && second->frames->width == frames.width && second->frames->height == frames.height && second->frames->count > 0;
  if (less) {
    const PixelDifference difference = pixel_difference_of(chosen("difference"));
    paint_pixel_values(canvas, pane, pane, camera_, frames.width, frames.height, [&](int x, int y) {
      const auto values = difference_values(difference, *less->frames, less->frame, frames, side.frame, x, y);
      return PixelLines{{values[0], values[1], values[2]}, false};
    });
  } else if (two && mode() == "fade") {
    paint_pixel_values(canvas, pane, pane, camera_, frames.width, frames.height, [&](int x, int y) {
      return pixel_lines(frames, side.frame, *second->frames, second->frame, number("fade"), x, y);
    });
  } else if (two) {
    const auto [front, behind] = wiped(pane);
    for (const auto& [part, of] : {std::pair{front, &side}, std::pair{behind, second}}) {
      paint_pixel_values(canvas, pane, part, camera_, frames.width, frames.height, own(*of));
    }
  } else {
    paint_pixel_values(canvas, pane, pane, camera_, frames.width, frames.height, own(side));
  }
}

std::pair<Rect, Rect> OutputsView::wiped(const Rect& pane) const {
  const double x = pane.x + wipe_ * pane.width, y = pane.y + wipe_ * pane.height;
  if (chosen("wipe") == "horizontal") return {{pane.x, pane.y, pane.width, y - pane.y}, {pane.x, y, pane.width, pane.bottom() - y}};
  return {{pane.x, pane.y, x - pane.x, pane.height}, {x, pane.y, pane.right() - x, pane.height}};
}

void OutputsView::paint_pair(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& first, const OutputSide& second) {
  if (mode() == "flicker") {
    CompareState state;
    state.flicker = true;
    state.flicker_hz = number("flicker");
    const OutputSide& now = state.flicker_hz <= 0 || flicker_shows_second(state, context.seconds) ? second : first;
    paint_side(canvas, context, pane, now);
    paint_marks(canvas, context, pane, now);
    return;
  }
  paint_side(canvas, context, pane, first);
  if (mode() == "fade") {
    paint_side(canvas, context, pane, second, static_cast<float>(number("fade")));
    paint_marks(canvas, context, pane, first, nullptr, 0, &second);
    paint_corner(canvas, context, pane, percent_text(number("fade")) + " " + context.inspection.run(second.run).letter, Align::End, Align::End);
    return;
  }
  const bool lies = chosen("wipe") == "horizontal";
  const Rect behind = wiped(pane).second;
  canvas.push_clip(behind);
  canvas.fill(pane, context.theme.colour("view"));
  paint_side(canvas, context, pane, second);
  canvas.pop_clip();
  paint_marks(canvas, context, pane, first, nullptr, 0, &second);
  paint_wipe_line(canvas, context, pane);
  const InspectedRun& other = context.inspection.run(second.run);
  if ((lies ? behind.height : behind.width) > 40 * context.unit) paint_tag(canvas, context, {behind.x, behind.y, 26 * context.unit, behind.height}, second.run, other.letter, "");
}

void OutputsView::paint_wipe_line(Canvas& canvas, const ViewContext& context, const Rect& pane) const {
  const bool lies = chosen("wipe") == "horizontal";
  const double u = context.unit, at = lies ? pane.y + wipe_ * pane.height : pane.x + wipe_ * pane.width;
  const Point from = lies ? Point{pane.x, at} : Point{at, pane.y}, to = lies ? Point{pane.right(), at} : Point{at, pane.bottom()};
  canvas.line(from, to, Rgb{0.06F, 0.06F, 0.06F}, 4);
  canvas.line(from, to, Rgb{1, 1, 1}, 2);
  const Point knob = lies ? Point{pane.x + pane.width * 0.8, at} : Point{at, pane.y + pane.height * 0.8};
  canvas.circle(knob, 9 * u, Rgb{1, 1, 1});
  for (const double side : {-1.0, 1.0}) {  // two arrows away from the line
    const auto place = [&](double along, double across) {
      return lies ? Point{knob.x + across * u, knob.y + side * along * u} : Point{knob.x + side * along * u, knob.y + across * u};
    };
    canvas.triangle(place(2.5, -3), place(2.5, 3), place(6.5, 0), Rgb{});
  }
}

double OutputsView::wipe_distance(const Rect& pane, Point at) const {
  return chosen("wipe") == "horizontal" ? std::fabs(at.y - pane.y - wipe_ * pane.height) : std::fabs(at.x - pane.x - wipe_ * pane.width);
}

double OutputsView::range_of(const OutputSide& first, const OutputSide& second, int shift) {
  const DifferenceOf key{first.frames.value.get(), second.frames.value.get(), shift, 0, chosen("difference"), 0, true};
  for (const auto& known : ranges_) {
    if (known.first == key) return known.second;
  }
  const double range = difference_p99(pixel_difference_of(chosen("difference")), *first.frames, *second.frames, shift);
  if (ranges_.size() > 32) ranges_.clear();
  ranges_.emplace_back(key, range);
  return range;
}

/// One range for all panes, or they could not be compared.
double OutputsView::common_range(const ViewContext& context, const OutputSide& first, const OutputSide& second, bool temporal) {
  double range = range_of(first, second, temporal ? 1 : second.frame - first.frame);
  for (const int run : mode() == "difference" ? std::vector<int>{} : shown_runs(context)) {
    const OutputSide other = side(context, run);
    if (other.frames && other.frames->count > (temporal ? 1 : 0)) range = std::max(range, temporal ? range_of(other, other, 1) : range_of(first, other, other.frame - first.frame));
  }
  return range > 0 ? range : 4.0 / 255;
}

double OutputsView::paint_difference(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& first, const OutputSide& second, bool temporal) {
  if (!first.frames || !second.frames || first.frames->count == 0 || second.frames->count == 0) {
    paint_notice(canvas, context, pane, first.frames.loading() || second.frames.loading() ? "Reading the frames." : "One of the runs has no frames.");
    return 0;
  }
  const std::string a = temporal ? "f(t-1)" : std::string(1, context.inspection.run(first.run).letter);
  const std::string b = temporal ? "f(t)" : std::string(1, context.inspection.run(second.run).letter);
  const PixelDifference kind = pixel_difference_of(chosen("difference"));
  const bool fixed = number("range") > 0;
  const int first_frame = first.frame;
  const double range = fixed ? number("range") : common_range(context, first, second, temporal);
  const DifferenceOf key{first.frames.value.get(), second.frames.value.get(), first_frame, second.frame, chosen("difference"), range, context.theme.dark};
  std::shared_ptr<const Bitmap> bitmap;
  for (const auto& known : differences_) {
    if (known.first == key) bitmap = known.second;
  }
  if (!bitmap) {
    bitmap = difference_bitmap(kind, *first.frames, first_frame, *second.frames, second.frame, range, context.theme);
    if (!bitmap) {
      paint_notice(canvas, context, pane, "The videos differ in size; there is no difference to show.");
      return 0;
    }
    if (differences_.size() >= 8) differences_.erase(differences_.begin());
    differences_.emplace_back(key, bitmap);
  }
  paint_picture(canvas, pane, camera_, bitmap, first.frames->width, first.frames->height, camera_.scale < 1);
  const InspectedRun& shown = context.inspection.run(second.run);
  paint_corner(canvas, context, pane, difference_text(kind, a, b, range, fixed), Align::Begin, Align::End);
  return mode() == "difference" ? 0 : paint_tag(canvas, context, pane, second.run, shown.letter, shown.record.name);
}

void OutputsView::paint_transport(Canvas& canvas, const ViewContext& context, const OutputLayout& layout) const {
  const Rect& area = layout.transport;
  const double u = context.unit;
  const bool tall = area.height > 24 * u;
  TextStyle style = number_style(context, "text2");
  style.size = 11;
  style.vertical = Align::Middle;
  style.horizontal = Align::End;
  char text[64];
  const int last = std::max(playback_.frames - 1, 0);
  if (area.right() - layout.track.right() > 100 * u) {
    std::snprintf(text, sizeof text, "frame %d / %d  %.2f s", playback_.frame(), last, playback_.seconds());
  } else {
    std::snprintf(text, sizeof text, "%d / %d", playback_.frame(), last);
  }
  canvas.text({area.right(), tall ? area.y + 8 * u : area.y + area.height / 2}, text, style);
  const double column = layout.track.width / std::max(playback_.frames, 1), x = layout.track.x + (playback_.frame() + 0.5) * column;
  const Rect bar{layout.track.x, layout.track.bottom() - (tall ? 4 : area.height / 2 / u + 2) * u, layout.track.width, 4 * u};
  canvas.fill(bar, context.theme.colour("line"), 2 * u);
  canvas.fill({bar.x, bar.y, x - bar.x, bar.height}, context.theme.colour("accent"), 2 * u);
  if (tall) paint_psnr(canvas, context, {layout.track.x, layout.track.y, layout.track.width, layout.track.height - 5 * u}, area.right());
  if (tall) canvas.line({x, layout.track.y}, {x, bar.bottom()}, context.theme.colour("accent"), 2);
  canvas.circle({x, bar.y + bar.height / 2}, 5 * u, context.theme.colour("accent"));
}

/// PSNR of each frame against run A: what is scrubbed along shows where the runs part.
void OutputsView::paint_psnr(Canvas& canvas, const ViewContext& context, const Rect& area, double right) const {
  canvas.fill(area, context.theme.colour("view"));
  std::vector<int> runs;
  for (const int run : shown_runs(context)) {
    if (run > 0) runs.push_back(run);
  }
  Extent extent;
  std::vector<Datum<Series>> all;
  std::string problem;
  for (const int run : std::exchange(runs, {})) {
    const Datum<Series> psnr = psnr_of(context, run);
    if (!psnr.problem.empty()) {
      problem = psnr.problem;
      continue;
    }
    runs.push_back(run);
    all.push_back(psnr);
    for (const double value : all.back() ? *all.back() : Series{}) {
      if (value < 99.5) extent.add(value);  // equal frames have the floor of the recipe, 100 dB
    }
  }
  TextStyle style = number_style(context, "text3");
  style.size = 11;
  style.halo = true;
  const double u = context.unit;
  if (runs.empty()) {
    style.vertical = Align::Middle;
    canvas.text({area.x + 4 * u, area.y + area.height / 2}, fit_text(canvas, "PSNR: " + (problem.empty() ? "show two runs" : problem), style, area.width - 8 * u), style);
    return;
  }
  const double low = extent.empty() ? 0 : std::floor(extent.low - 1), high = extent.empty() ? 100 : std::max(std::ceil(extent.high), low + 5);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!all[i] || all[i]->empty()) continue;
    const Series& psnr = *all[i];
    const double column = area.width / static_cast<double>(psnr.size());
    std::vector<Point> top;
    for (std::size_t frame = 0; frame < psnr.size(); ++frame) {
      const double height = std::clamp((psnr[frame] - low) / (high - low), 0.0, 1.0) * area.height, x = area.x + static_cast<double>(frame) * column;
      if (runs.size() == 1 && height > 0) canvas.fill({x, area.bottom() - height, std::max(column - (column > 4 * u ? u : 0), 0.5), height}, Colour(context.theme.run(runs[i]), 0.55F));
      if (std::isnan(psnr[frame])) canvas.fill({x, area.y, std::max(column, 1.0), area.height}, nan_colour());
      top.push_back({x, area.bottom() - height});
      top.push_back({x + column, area.bottom() - height});
    }
    if (runs.size() > 1) canvas.polyline(top, context.theme.run(runs[i]), 1.5);
  }
  char text[64];
  std::snprintf(text, sizeof text, "PSNR to A, %.0f to %.0f dB", low, high);
  style.halo = false;
  style.vertical = Align::Middle;
  style.colour = context.theme.colour("text2");
  paint_plate(canvas, context, {area.x + 4 * u, area.y + 8 * u}, fit_text(canvas, extent.empty() ? "PSNR to A" : text, style, area.width), style);
  // The figure of the frame that is shown: of the cursor's run, or of the only one.
  const auto own = std::find(runs.begin(), runs.end(), context.cursor.run);
  const std::size_t which = own == runs.end() ? 0 : static_cast<std::size_t>(own - runs.begin());
  const auto frame = static_cast<std::size_t>(playback_.frame());
  if (!all[which] || frame >= all[which]->size()) return;
  style.horizontal = Align::End;
  style.colour = context.theme.run(runs[which]);
  canvas.text({right, area.bottom() - 4 * u}, std::string(1, context.inspection.run(runs[which]).letter) + " " + decibel_text((*all[which])[frame]), style);
}

void OutputsView::paint_look(Canvas& canvas, const ViewContext& context, const OutputLayout& layout, const OutputSide& side) {
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  const double u = context.unit;
  TextStyle strong = strong_style(context), small = number_style(context, "text3");
  small.size = 11;
  small.horizontal = Align::End;
  const auto& words = run.geometry.words(context.cursor.branch);
  canvas.text({layout.words_title.x, layout.words_title.y}, "Prompt words", strong);
  if (words.empty()) canvas.text({layout.words.x, layout.words.y}, fit_text(canvas, "This branch has no words: its text is padding.", label_style(context), layout.words.width), label_style(context));
  if (!has_heat(context)) {
    canvas.text({layout.strip_title.x, layout.strip_title.y}, look_title(context), strong);
    paint_notice(canvas, context, layout.strip, "Click a pixel or a word.");
    word_places_ = paint_words(canvas, context, layout.words, words, {});
    return;
  }
  const std::int64_t token = context.inspection.locked().empty() ? -1 : context.inspection.locked().front();
  const Datum<TokenLook> heat = look(context, context.cursor.run);
  const std::string title = look_title(context);
  canvas.text({layout.strip_title.x, layout.strip_title.y}, title, strong);
  const double room = layout.strip_title.width - canvas.text_width(title, strong) - 10 * u;
  const std::string place = std::string("run ") + run.letter + ", L" + std::to_string(context.cursor.layer) + ", ";
  canvas.text({layout.strip_title.right(), layout.strip_title.y + 1 * u}, fit_text(canvas, place + (heat ? heat->source : ""), small, room), small);
  if (!heat) {
    paint_notice(canvas, context, layout.strip, heat.loading() ? "Computing what this token looks at." : heat.problem);
    word_places_ = paint_words(canvas, context, layout.words, words, {});
    return;
  }
  const bool to = chosen("direction") != "looks at";
  const int tiles = run.geometry.frames();
  const double gap = 2 * u, width = std::min((layout.strip.width - gap * (tiles - 1)) / tiles, layout.strip.height * std::max(1.0, double(run.record.width_px) / std::max(run.record.height_px, 1)));
  const int own = token < 0 || token >= run.geometry.tokens() || run.geometry.is_text(token) ? -1 : run.geometry.place(token).frame;
  TextStyle tick = tick_style(context);
  tick.horizontal = Align::Middle;
  for (int grid = 0; grid < tiles; ++grid) {
    const Rect tile{layout.strip.x + grid * (width + gap), layout.strip.y, width, layout.strip.height};
    canvas.fill(tile, context.theme.colour("view"));
    const TokenPixels pixels = run.geometry.pixels(run.geometry.token(grid, 0, 0));
    if (side.frames && side.frames->count > 0) {
      const auto frame = bitmaps_.get(side.frames.value, std::clamp(pixels.last_frame, 0, side.frames->count - 1));
      canvas.image(frame, tile, {0, 0, double(frame->width), double(frame->height)}, true, 0.7F);
    }
    const auto bitmap = look_bitmap(*heat, run.geometry, grid, context.theme);
    canvas.image(bitmap, tile, {0, 0, double(bitmap->width), double(bitmap->height)}, false, 0.75F);
    const bool shown = run.geometry.frames() > 1 && run.geometry.grid_frame(playback_.frame()) == grid;
    if (grid == own) {
      canvas.outline(tile, context.theme.colour("brush"), 2);
    } else if (shown) {
      canvas.outline(tile, context.theme.colour("accent"), 1);
    }
    tick.colour = context.theme.colour(grid == own ? "brush" : "text3");
    if (width > 12 * u || grid % 5 == 0) canvas.text({tile.x + tile.width / 2, tile.bottom() + 2 * u}, std::to_string(grid), tick);
  }
  const TokenLook::Heat kind = heat->heat;
  const std::string legend = kind == TokenLook::Heat::Rho ? "0 to 1" : kind == TokenLook::Heat::Drift ? "0.5 to 2, centred on 1"
                             : to ? factor_text(heat->sum) + " uniform" : "text mass " + percent_text(heat->text_mass);
  const double beside = layout.words_title.width - canvas.text_width("Prompt words", strong) - 10 * u;
  canvas.text({layout.words_title.right(), layout.words_title.y + 1 * u}, fit_text(canvas, legend, small, beside), small);
  std::vector<double> weights;
  if (kind != TokenLook::Heat::Drift) weights = word_weights(*heat, words, to || kind == TokenLook::Heat::Rho);
  word_places_ = paint_words(canvas, context, layout.words, words, weights);
}

void OutputsView::paint_lasso(Canvas& canvas, const Rect& pane) const {
  std::vector<Point> points;
  for (const Point& point : outline_) points.push_back(camera_.to_view(point, pane));
  if (points.size() > 1) points.push_back(points.front());
  canvas.push_clip(pane);
  canvas.polyline(points, Rgb{0.06F, 0.06F, 0.06F}, 3);
  canvas.polyline(points, Rgb{0x2E / 255.0F, 0xE6 / 255.0F, 0xC5 / 255.0F}, 1.5);
  canvas.pop_clip();
}

}  // namespace ditscope::views
