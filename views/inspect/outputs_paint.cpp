// How the outputs view draws a run, a pair, a difference, and where the locked token looks.
#include <algorithm>
#include <cmath>
#include <cstdio>

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
  if (chosen("look") == "overlay" && !context.inspection.locked().empty()) {
    const Datum<TokenLook> heat = look(context);
    if (heat) {
      const int grid = run.geometry.frames() == 1 ? 0 : run.geometry.grid_frame(side.frame);
      const auto bitmap = look_bitmap(*heat, run.geometry, grid, context.theme);
      paint_picture(canvas, pane, camera_, bitmap, frames.width, frames.height, false, 0.75F);
    }
  }
}

void OutputsView::paint_marks(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& side) {
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
  if (camera_.scale >= kPixelValuesFrom * context.unit) paint_pixel_values(canvas, pane, camera_, frames, side.frame);
  if (chosen("scope") != "off") paint_scope(canvas, context, pane, frames, side.frame, chosen("scope"));
  if (hover_ && on("magnifier")) paint_magnifier(canvas, context, pane, bitmaps_.get(side.frames.value, side.frame), *hover_);
  const std::string& mode = chosen("mode");
  if (mode == "difference" || mode == "temporal difference") return;
  paint_tag(canvas, context, pane, side.run, run.letter, run.record.name);
  Point probe{-1, -1};
  if (hover_) {
    probe = *hover_;
  } else if (!locked.empty() && !run.geometry.is_text(locked[0]) && locked[0] < run.geometry.tokens()) {
    const Rect area = run.geometry.pixels(locked[0]).area;
    probe = {area.x + area.width / 2, area.y + area.height / 2};
  }
  const std::string text = pixel_text(frames, side.frame, probe);
  if (!text.empty()) paint_corner(canvas, context, pane, text, Align::End, Align::Begin);
}

void OutputsView::paint_pair(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& first, const OutputSide& second) {
  const std::string& mode = chosen("mode");
  if (mode == "flicker") {
    CompareState state;
    state.flicker = true;
    state.flicker_hz = number("flicker");
    const OutputSide& now = flicker_shows_second(state, context.seconds) ? second : first;
    paint_side(canvas, context, pane, now);
    paint_marks(canvas, context, pane, now);
    return;
  }
  paint_side(canvas, context, pane, first);
  if (mode == "fade") {
    paint_side(canvas, context, pane, second, static_cast<float>(number("fade")));
    paint_marks(canvas, context, pane, first);
    paint_corner(canvas, context, pane, percent_text(number("fade")) + " " + context.inspection.run(second.run).letter, Align::End, Align::End);
    return;
  }
  const double x = pane.x + wipe_ * pane.width, u = context.unit;
  canvas.push_clip({x, pane.y, pane.right() - x, pane.height});
  canvas.fill(pane, context.theme.colour("view"));
  paint_side(canvas, context, pane, second);
  canvas.pop_clip();
  paint_marks(canvas, context, pane, first);
  canvas.line({x, pane.y}, {x, pane.bottom()}, Rgb{0.06F, 0.06F, 0.06F}, 4);
  canvas.line({x, pane.y}, {x, pane.bottom()}, Rgb{1, 1, 1}, 2);
  canvas.circle({x, pane.y + pane.height * 0.8}, 9 * u, Rgb{1, 1, 1});
  canvas.triangle({x - 2.5 * u, pane.y + pane.height * 0.8 - 3 * u}, {x - 2.5 * u, pane.y + pane.height * 0.8 + 3 * u}, {x - 6.5 * u, pane.y + pane.height * 0.8}, Rgb{});
  canvas.triangle({x + 2.5 * u, pane.y + pane.height * 0.8 - 3 * u}, {x + 2.5 * u, pane.y + pane.height * 0.8 + 3 * u}, {x + 6.5 * u, pane.y + pane.height * 0.8}, Rgb{});
  const InspectedRun& other = context.inspection.run(second.run);
  if (pane.right() - x > 40 * u) paint_tag(canvas, context, {x, pane.y, 26 * u, pane.height}, second.run, other.letter, "");
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

void OutputsView::paint_difference(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& first, const OutputSide& second, bool temporal) {
  if (!first.frames || !second.frames || first.frames->count == 0 || second.frames->count == 0) {
    return paint_notice(canvas, context, pane, first.frames.loading() || second.frames.loading() ? "Reading the frames." : "One of the runs has no frames.");
  }
  const std::string a = temporal ? "f(t-1)" : std::string(1, context.inspection.run(first.run).letter);
  const std::string b = temporal ? "f(t)" : std::string(1, context.inspection.run(second.run).letter);
  const PixelDifference mode = pixel_difference_of(chosen("difference"));
  const bool fixed = number("range") > 0;
  const int first_frame = temporal ? std::max(first.frame - 1, 0) : first.frame;
  double p99 = fixed ? number("range") : range_of(first, second, temporal ? 1 : second.frame - first.frame);
  // One range for all panes, or they could not be compared.
  for (const int run : temporal && !fixed ? shown_runs(context) : std::vector<int>{}) {
    const OutputSide other = side(context, run);
    if (other.frames && other.frames->count > 1) p99 = std::max(p99, range_of(other, other, 1));
  }
  const double range = p99 > 0 ? p99 : 4.0 / 255;
  const DifferenceOf key{first.frames.value.get(), second.frames.value.get(), first_frame, second.frame, chosen("difference"), range, context.theme.dark};
  std::shared_ptr<const Bitmap> bitmap;
  for (const auto& known : differences_) {
    if (known.first == key) bitmap = known.second;
  }
  if (!bitmap) {
    bitmap = difference_bitmap(mode, *first.frames, first_frame, *second.frames, second.frame, range, context.theme);
    if (!bitmap) return paint_notice(canvas, context, pane, "The videos differ in size; there is no difference to show.");
    if (differences_.size() >= 8) differences_.erase(differences_.begin());
    differences_.emplace_back(key, bitmap);
  }
  paint_picture(canvas, pane, camera_, bitmap, first.frames->width, first.frames->height, camera_.scale < 1);
  if (temporal) paint_tag(canvas, context, pane, first.run, context.inspection.run(first.run).letter, context.inspection.run(first.run).record.name);
  paint_corner(canvas, context, pane, difference_text(mode, a, b, range, fixed), Align::Begin, Align::End);
}

void OutputsView::paint_transport(Canvas& canvas, const ViewContext& context, const Rect& area) const {
  TextStyle style = number_style(context, "text2");
  style.size = 11;
  style.vertical = Align::Middle;
  style.horizontal = Align::End;
  const double u = context.unit, middle = area.y + area.height / 2;
  char text[64];
  std::snprintf(text, sizeof text, "frame %d / %d  %.2f s", playback_.frame(), std::max(playback_.frames - 1, 0), playback_.seconds());
  const double room = canvas.text_width(text, style) + 10 * u;
  canvas.text({area.right(), middle}, text, style);
  const Rect track{area.x, middle - 2 * u, std::max(area.width - room, 4.0), 4 * u};
  canvas.fill(track, context.theme.colour("line"), 2 * u);
  const double at = playback_.frames > 1 ? playback_.frame() / (playback_.frames - 1.0) : 0;
  canvas.fill({track.x, track.y, track.width * at, track.height}, context.theme.colour("accent"), 2 * u);
  canvas.circle({track.x + track.width * at, middle}, 5 * u, context.theme.colour("accent"));
}

void OutputsView::paint_look(Canvas& canvas, const ViewContext& context, const OutputLayout& layout, const OutputSide& side) {
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  const double u = context.unit;
  TextStyle strong = strong_style(context), small = number_style(context, "text3");
  small.size = 11;
  small.horizontal = Align::End;
  const auto& words = run.geometry.words(context.cursor.branch);
  canvas.text({layout.words_title.x, layout.words_title.y}, "Prompt words", strong);
  if (words.empty()) canvas.text({layout.words.x, layout.words.y}, "This branch has no words: its text is padding.", label_style(context));
  if (context.inspection.locked().empty()) {
    canvas.text({layout.strip_title.x, layout.strip_title.y}, "Where a token looks", strong);
    paint_notice(canvas, context, layout.strip, "Click a pixel or a word.");
    word_places_ = paint_words(canvas, context, layout.words, words, {});
    return;
  }
  const std::int64_t token = context.inspection.locked().front();
  const Datum<TokenLook> heat = look(context);
  canvas.text({layout.strip_title.x, layout.strip_title.y}, "Where " + run.geometry.name(token, context.cursor.branch) + " looks", strong);
  const double room = layout.strip_title.width - canvas.text_width("Where " + run.geometry.name(token, context.cursor.branch) + " looks", strong) - 10 * u;
  const std::string place = std::string("run ") + run.letter + ", L" + std::to_string(context.cursor.layer) + ", ";
  canvas.text({layout.strip_title.right(), layout.strip_title.y + 1 * u}, fit_text(canvas, place + (heat ? heat->source : ""), small, room), small);
  if (!heat) {
    paint_notice(canvas, context, layout.strip, heat.loading() ? "Computing the row of this token." : heat.problem);
    word_places_ = paint_words(canvas, context, layout.words, words, {});
    return;
  }
  const int tiles = run.geometry.frames();
  const double gap = 2 * u, width = std::min((layout.strip.width - gap * (tiles - 1)) / tiles, layout.strip.height * std::max(1.0, double(run.record.width_px) / std::max(run.record.height_px, 1)));
  const int own = token >= run.geometry.tokens() || run.geometry.is_text(token) ? -1 : run.geometry.place(token).frame;
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
  canvas.text({layout.words_title.right(), layout.words_title.y + 1 * u}, "text mass " + percent_text(heat->text_mass), small);
  word_places_ = paint_words(canvas, context, layout.words, words, word_weights(*heat, words));
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
