// The decoded videos of the runs beside each other, the locked token on all of them, and where it looks: controls, pointer, keys.
#include "views/inspect/outputs_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/metrics/psnr.h"
#include "views/inspect/outputs_difference.h"
#include "views/inspect/outputs_panes.h"
#include "views/inspect/outputs_picking.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/views.h"
#include "views/state/compare.h"
#include "views/state/words.h"

namespace ditscope::views {

OutputsView::OutputsView()
    : ControlledView(
          {choice_control("mode", "Show", {"side by side", "wipe", "difference", "flicker", "fade", "temporal difference", "grid", "difference grid", "A", "B"},
                          "A is the reference; B is the run of the cursor, or the second one. Grid: all runs, or all against A. Hold Shift to flicker."),
           choice_control("difference", "Difference", pixel_difference_names(), "B - A; its size; squared; over A + 0.01."),
           number_control("range", "Range", 0, 0, 100, "What is drawn at full strength; 0: the 99th percentile of the pair."),
           choice_control("look", "Where it looks", {"strip", "overlay", "off"},
                          "Attention of the locked tokens over the frames; overlay: on the videos too, each run its own."),
           choice_control("heat", "Heat", {"attention", "rho true", "rho used / true"},
                          "Of the locked tokens; or the denominators of all rows, each at its token."),
           choice_control("direction", "Token", {"looks at", "is looked at by"}, "Its row of the softmax, or its column: who looks at it."),
           choice_control("heads", "Heads", {"head", "mean"}, "The head under the cursor, or the mean over all heads."),
           number_control("frame", "Frame", 0, 0, 1e6, "Frame of the video."), switch_control("play", "Play", false, "Plays the videos, round and round (Space)."),
           choice_control("speed", "Speed", {"1", "0.25", "0.5", "2", "4"}, "Times the clip's own."),
           number_control("flicker", "Flicker", 2, 0, 8, "How often A and B take turns, Hz; 0: B stands still."), number_control("fade", "Fade", 0.5, 0, 1, "Share of B in the mixture."),
           choice_control("wipe", "Wipe", {"vertical", "horizontal"}, "The line between A and B."),
           switch_control("follow", "Line follows mouse", false, "The wipe's line goes where the mouse is (M)."), number_control("shift_a", "Shift A", 0, -64, 64, "Frames that A is ahead."),
           number_control("shift_b", "Shift B", 0, -64, 64, "Frames that B is ahead."), switch_control("swap", "Swap", false, "A and B change places."),
           switch_control("magnifier", "Magnifier", false, "What lies under the pointer, enlarged on every output."),
           choice_control("scope", "Scope", {"off", "waveform", "histogram"}, "Of the frame shown.")}) {}

const ViewInfo& OutputsView::info() const {
  static const ViewInfo kInfo{"outputs",
                              "Outputs",
                              "The decoded videos beside each other, and where the locked token looks.",
                              "difference = B - A on RGB 0..1 before encoding; heat = softmax(q.k / sqrt d) of the locked token, log10",
                              "heat: Vaswani et al. 2017, arXiv:1706.03762, Eq. 1",
                              "wheel zoom, right drag pan, F fit, click lock, drag lasso, Space play, hold Shift flicker",
                              280};
  return kInfo;
}

std::vector<Control> OutputsView::controls(const ViewContext& context) const {
  std::vector<Control> all = ControlledView::controls(context);
  for (Control& control : all) {
    if (control.name == "frame") {
      control.value = std::to_string(playback_.frame());
      control.most = std::max(playback_.frames - 1, 0);
    }
    if (control.name == "play") control.value = playback_.playing ? "on" : "off";
  }
  return all;
}

void OutputsView::set_control(const std::string& name, const std::string& value) {
  ControlledView::set_control(name, value);
  if (name == "frame") {
    playback_.position = number("frame");  // paint() clamps it to the clip
    frame_chosen_ = seconds_ < 0;
  } else if (name == "play") {
    playback_.playing = on("play");
  } else if (name == "speed") {
    playback_.speed = std::strtod(chosen("speed").c_str(), nullptr);
  }
}

const std::string& OutputsView::mode() const {
  static const std::string kFlicker = "flicker";
  return held_ ? kFlicker : chosen("mode");
}

std::vector<int> OutputsView::shown_runs(const ViewContext& context) const {
  const int count = static_cast<int>(context.inspection.runs().size());
  if (mode() == "grid" || (mode() == "difference grid" && count > 1)) {
    std::vector<int> all;
    for (int run = mode() == "grid" ? 0 : 1; run < count; ++run) all.push_back(run);
    return all;
  }
  int first = 0, second = context.cursor.run > 0 ? context.cursor.run : count > 1 ? 1 : 0;
  if (on("swap")) std::swap(first, second);
  if (mode() == "A") return {first};
  if (mode() == "B") return {second};
  if (first == second) return {first};
  return {first, second};
}

OutputSide OutputsView::side(const ViewContext& context, int run) const {
  OutputSide side;
  side.run = run;
  side.frames = context.inspection.frames(run);
  const int shift = static_cast<int>(number(run == 0 ? "shift_a" : "shift_b"));
  if (side.frames) side.frame = shifted_frame(playback_.frame(), shift, side.frames->count);
  return side;
}

OutputLayout OutputsView::lay_out(const ViewContext& context) const {
  const double u = context.unit, pad = 8 * u;
  const Rect area{context.area.x + pad, context.area.y + 4 * u, std::max(context.area.width - 2 * pad, 10.0), std::max(context.area.height - 8 * u, 10.0)};
  OutputLayout layout;
  double bottom = area.bottom();
  const bool looks = chosen("look") != "off" && area.height > 200 * u;
  if (looks) {
    const InspectedRun& run = context.inspection.run(context.cursor.run);
    // About as many lines as the words take.
    double letters = 0;
    for (const auto& word : run.geometry.words(context.cursor.branch)) letters += 1.6 + static_cast<double>(word.text.size());
    const double lines = std::clamp(std::ceil(letters * 7 * u / area.width), 1.0, area.height > 420 * u ? 4.0 : 2.0);
    layout.words = {area.x, bottom - lines * 24 * u, area.width, lines * 24 * u};
    layout.words_title = {area.x, layout.words.y - 19 * u, area.width, 18 * u};
    const int tiles = std::max(run.geometry.frames(), 1);
    const double tile = std::min({(area.width - 2 * u * (tiles - 1)) / tiles, 64 * u, area.height * 0.16});
    layout.strip = {area.x, layout.words_title.y - tile - 18 * u, area.width, tile};
    layout.strip_title = {area.x, layout.strip.y - 20 * u, area.width, 18 * u};
    bottom = layout.strip_title.y - 2 * u;
  }
  if (area.height > 120 * u) {
    const double height = (area.height > 340 * u && context.inspection.runs().size() > 1 ? 32 : 16) * u;
    layout.transport = {area.x, bottom - height - 2 * u, area.width, height};
    layout.track = {area.x, layout.transport.y, std::max(area.width - (area.width > 400 * u ? 172 : 76) * u, 4.0), height};
    bottom = layout.transport.y - 4 * u;
  }
  layout.panes = {area.x, area.y, area.width, std::max(bottom - area.y, 10.0)};
  return layout;
}

std::vector<Rect> OutputsView::panes_of(const ViewContext& context, const OutputLayout& layout, const Frames* shape) const {
  const int count = two_at_once() ? 1 : static_cast<int>(shown_runs(context).size());
  return tile_panes(layout.panes, count, shape && shape->height > 0 ? static_cast<double>(shape->width) / shape->height : 1, 4 * context.unit);
}

Datum<TokenLook> OutputsView::look(const ViewContext& context, int of) {
  if (!has_heat(context)) return {};
  const InspectedRun& run = context.inspection.run(of);
  InspectCursor at = context.cursor;
  at.run = of;
  at.layer = std::clamp(at.layer, 0, std::max(run.record.model.layers - 1, 0));
  at.head = std::clamp(at.head, 0, std::max(run.record.model.heads - 1, 0));
  at.branch = std::clamp(at.branch, 0, std::max(static_cast<int>(run.record.branches.size()) - 1, 0));
  const LookWish wish{context.inspection.locked(), chosen("direction") != "looks at", chosen("heads") == "mean"};
  const std::string key = context.inspection.captures()[run.capture].string() + " " + std::to_string(run.record.run_id) + " " + chosen("heat") + " " + wish.key() +
                          " " + std::to_string(context.inspection.sources());
  Looked& known = looks_[of];
  if (known.look && known.key == key && known.at == at) {
    Datum<TokenLook> same;
    same.value = known.look;
    return same;
  }
  const Datum<TokenLook> found = heat() == TokenLook::Heat::Attention ? token_look(context.inspection, at, wish) : row_heat(context.inspection, at, heat());
  known = {key, at, found && found->settled ? found.value : nullptr};
  return found;
}

std::string OutputsView::look_title(const ViewContext& context) const {
  const std::vector<std::int64_t>& locked = context.inspection.locked();
  const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
  const bool to = chosen("direction") != "looks at";
  if (heat() == TokenLook::Heat::Rho) return "\u03c1 true of each token's row";
  if (heat() == TokenLook::Heat::Drift) return "\u03c1\u0302 / \u03c1 of each token's row";
  if (locked.empty()) return to ? "Who looks at a token" : "Where a token looks";
  std::string name = locked.size() == 1 ? geometry.name(locked.front(), context.cursor.branch) : std::to_string(locked.size()) + " tokens";
  bool one = locked.size() == 1;
  for (const TokenGeometry::Word& word : geometry.words(context.cursor.branch)) {
    if (word.tokens != locked) continue;
    name = "'" + word.text + "'";
    one = true;
  }
  return to ? "Who looks at " + name : "Where " + name + (one ? " looks" : " look");
}

Datum<Series> OutputsView::psnr_of(const ViewContext& context, int run) const {
  const OutputSide reference = side(context, 0), other = side(context, run);
  if (!reference.frames || !other.frames || run == 0) return {};
  if (reference.frames->width != other.frames->width || reference.frames->height != other.frames->height) {
    Datum<Series> none;
    none.problem = "the videos differ in size";
    return none;
  }
  const int shift_a = static_cast<int>(number("shift_a")), shift_b = static_cast<int>(number("shift_b"));
  const InspectedRun& a = context.inspection.run(0);
  const std::string key = "psnr " + context.inspection.captures()[a.capture].string() + " " + std::to_string(a.record.run_id) + " " +
                          std::to_string(shift_a) + " " + std::to_string(shift_b);
  return context.inspection.fetch<Series>(run, key, [first = reference.frames.value, second = other.frames.value, shift_a, shift_b](CaptureReader&) {
    Series series;
    for (int frame = 0; frame < std::max(first->count, second->count); ++frame) {
      series.push_back(frame_psnr(*second, shifted_frame(frame, shift_b, second->count), *first, shifted_frame(frame, shift_a, first->count)));
    }
    return series;
  });
}

/// A token that was locked anywhere is shown on its frame.
void OutputsView::follow_lock(const ViewContext& context) {
  const std::int64_t token = context.inspection.locked().empty() ? -1 : context.inspection.locked().front();
  if (token == followed_) return;
  followed_ = token;
  const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
  if (std::exchange(frame_chosen_, false) || playback_.playing || token < 0 || token >= geometry.tokens() || geometry.is_text(token)) return;
  const TokenPixels pixels = geometry.pixels(token);
  if (playback_.frame() < pixels.first_frame || playback_.frame() > pixels.last_frame) playback_ = seek(playback_, pixels.last_frame);
}

void OutputsView::follow_clip(const ViewContext& context, const Frames& frames) {
  playback_.frames = frames.count;
  playback_.fps = frames.fps;
  if (seconds_ >= 0) playback_ = advance(playback_, context.seconds - seconds_);
  seconds_ = context.seconds;
  playback_.position = std::clamp(playback_.position, 0.0, std::max(frames.count - 1e-6, 0.0));
}

void OutputsView::paint(Canvas& canvas, const ViewContext& context) {
  if (context.inspection.empty()) {
    return paint_notice(canvas, context, context.area, "No run is open. Open a capture, or generate with capture on.");
  }
  const OutputLayout layout = lay_out(context);
  const std::vector<int> runs = shown_runs(context);
  std::vector<OutputSide> sides;
  for (const int run : runs) sides.push_back(side(context, run));
  const OutputSide* some = nullptr;
  for (const OutputSide& each : sides) {
    if (!some && each.frames && each.frames->count > 0) some = &each;
  }
  const Frames* shape = some ? some->frames.value.get() : nullptr;
  if (shape) {
    follow_clip(context, *shape);
    follow_lock(context);
    for (OutputSide& each : sides) each = side(context, each.run);
  }
  const std::vector<Rect> panes = panes_of(context, layout, shape);
  if (shape) camera_ = follow(camera_, panes[0], shape->width, shape->height);
  for (const Rect& pane : panes) canvas.fill(pane, context.theme.colour("view"));
  const bool grid = mode() == "difference grid" && runs.front() != 0, temporal = mode() == "temporal difference";
  if (!shape) {
    const Datum<Frames>& frames = sides[0].frames;
    paint_notice(canvas, context, layout.panes, frames.loading() ? "Reading the frames." : kNoFrames);
  } else if (mode() == "difference" && sides.size() == 2) {
    const double taken = paint_difference(canvas, context, panes[0], sides[0], sides[1], false);
    paint_marks(canvas, context, panes[0], sides[1], &sides[0], taken);
  } else if (two_at_once() && sides.size() == 2) {
    paint_pair(canvas, context, panes[0], sides[0], sides[1]);
  } else {
    for (std::size_t i = 0; i < panes.size() && i < sides.size(); ++i) {
      OutputSide less = grid ? side(context, 0) : sides[i];
      if (temporal) less.frame = std::max(less.frame - 1, 0);
      double taken = 0;
      if (grid || temporal) {
        taken = paint_difference(canvas, context, panes[i], less, sides[i], temporal);
      } else {
        paint_side(canvas, context, panes[i], sides[i]);
      }
      paint_marks(canvas, context, panes[i], sides[i], grid || temporal ? &less : nullptr, taken);
    }
    if (sides.size() == 1 && !grid && (two_at_once() || mode() == "difference grid")) {
      paint_corner(canvas, context, panes[0], "one run: nothing to compare with", Align::Middle, Align::End);
    }
  }
  if (drag_ == OutputDrag::Lasso) paint_lasso(canvas, drag_pane_);
  if (layout.transport.height > 0) paint_transport(canvas, context, layout);
  word_places_.clear();
  if (layout.strip.height > 0) paint_look(canvas, context, layout, side(context, context.cursor.run));
}

bool OutputsView::seek_to(double px, const Rect& area) {
  playback_ = seek(playback_, static_cast<int>(std::floor((px - area.x) / std::max(area.width, 1.0) * playback_.frames)));
  return true;
}

void OutputsView::finish_lasso(const ViewContext& context, bool add) {
  const std::vector<int> runs = shown_runs(context);
  const OutputSide shown = side(context, runs.front());
  const TokenGeometry& geometry = context.inspection.run(shown.run).geometry;
  double low_x = 1e9, high_x = -1e9, low_y = 1e9, high_y = -1e9;
  for (const Point& point : outline_) {
    low_x = std::min(low_x, point.x), high_x = std::max(high_x, point.x);
    low_y = std::min(low_y, point.y), high_y = std::max(high_y, point.y);
  }
  const bool click = std::max(high_x - low_x, high_y - low_y) * camera_.scale < 5 * context.unit;
  if (click) {
    const std::int64_t token = geometry.token_at(shown.frame, outline_.front().x, outline_.front().y);
    if (token >= 0) context.inspection.lock(token, add);
  } else {
    std::vector<std::int64_t> tokens = add ? context.inspection.locked() : std::vector<std::int64_t>{};
    for (const std::int64_t token : lasso_tokens(geometry, shown.frame, outline_)) {
      if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
    }
    context.inspection.set_locked(std::move(tokens));
  }
  outline_.clear();
}

bool OutputsView::pointer(const PointerEvent& event, const ViewContext& context) {
  using Kind = PointerEvent::Kind;
  if (context.inspection.empty()) return false;
  const OutputLayout layout = lay_out(context);
  const OutputSide shown = side(context, shown_runs(context).front());
  if (!shown.frames || shown.frames->count == 0) return false;
  const Frames& frames = *shown.frames;
  const std::vector<Rect> panes = panes_of(context, layout, &frames);
  const auto pane = std::find_if(panes.begin(), panes.end(), [&](const Rect& each) { return each.contains(event.at); });
  const Rect& wipe_pane = panes.front();
  const double u = context.unit;
  const bool wipes = mode() == "wipe" && wipe_pane.contains(event.at), on_wipe = wipes && !on("follow") && wipe_distance(wipe_pane, event.at) < 6 * u;
  if (wipes && on("follow") && event.kind == Kind::Move) wipe_ = wipe_at({wipe_pane, Pane::Content::Wipe, chosen("wipe") == "horizontal"}, event.at);
  const Point before = last_;
  last_ = event.at;
  switch (event.kind) {
    case Kind::Leave: {
      hover_.reset();
      if (context.inspection.hover().view == info().id) context.inspection.set_hover({});
      return true;
    }
    case Kind::Wheel:
      if (pane == panes.end()) return false;
      camera_ = zoom_about(camera_, *pane, event.at, event.notches * (event.shift ? 0.125 : event.control ? 8 : 1));
      return true;
    case Kind::DoubleClick:
      if (pane != panes.end()) camera_ = fit(*pane, frames.width, frames.height);
      return pane != panes.end();
    case Kind::Press: {
      if (layout.transport.contains(event.at)) {
        drag_ = OutputDrag::Seek;
        return seek_to(event.at.x, layout.track);
      }
      if (layout.strip.height > 0 && layout.strip.contains(event.at)) {
        const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
        const double gap = 2 * u, count = geometry.frames();
        const CaptureRun& record = context.inspection.run(context.cursor.run).record;
        const double width = std::min((layout.strip.width - gap * (count - 1)) / count, layout.strip.height * std::max(1.0, double(record.width_px) / std::max(record.height_px, 1)));
        const int tile = static_cast<int>((event.at.x - layout.strip.x) / (width + gap));
        if (tile >= 0 && tile < geometry.frames()) playback_ = seek(playback_, geometry.pixels(geometry.token(tile, 0, 0)).last_frame);
        return true;
      }
      const auto& words = context.inspection.run(context.cursor.run).geometry.words(context.cursor.branch);
      for (std::size_t i = 0; i < std::min(words.size(), word_places_.size()); ++i) {
        if (!word_places_[i].contains(event.at) || words[i].tokens.empty()) continue;
        context.inspection.set_locked(words[i].tokens);
        return true;
      }
      if (pane == panes.end()) return false;
      drag_pane_ = *pane;
      if (event.right) {
        drag_ = OutputDrag::Pan;
      } else if (on_wipe) {
        drag_ = OutputDrag::Wipe;
      } else if (event.left) {
        drag_ = OutputDrag::Lasso;
        outline_ = {camera_.to_image(event.at, drag_pane_)};
      }
      return true;
    }
    case Kind::Release: {
      const bool lasso = drag_ == OutputDrag::Lasso && !outline_.empty();
      const bool was = drag_ != OutputDrag::None;
      drag_ = OutputDrag::None;
      if (lasso) finish_lasso(context, event.shift);
      return was;
    }
    case Kind::Move:
      break;
  }
  switch (drag_) {
    case OutputDrag::Pan:
      camera_ = pan(camera_, drag_pane_, {event.at.x - before.x, event.at.y - before.y}, frames.width, frames.height);
      return true;
    case OutputDrag::Wipe:
      wipe_ = wipe_at({wipe_pane, Pane::Content::Wipe, chosen("wipe") == "horizontal"}, event.at);
      return true;
    case OutputDrag::Seek:
      return seek_to(event.at.x, layout.track);
    case OutputDrag::Lasso:
      outline_.push_back(camera_.to_image(event.at, drag_pane_));
      return true;
    case OutputDrag::None:
      break;
  }
  hover_.reset();
  std::int64_t token = -1;
  const auto& words = context.inspection.run(context.cursor.run).geometry.words(context.cursor.branch);
  for (std::size_t i = 0; i < std::min(words.size(), word_places_.size()); ++i) {
    if (word_places_[i].contains(event.at) && !words[i].tokens.empty()) token = words[i].tokens.front();
  }
  if (pane != panes.end()) {
    hover_ = camera_.to_image(event.at, *pane);
    token = context.inspection.run(shown.run).geometry.token_at(shown.frame, hover_->x, hover_->y);
  }
  context.inspection.set_hover(token >= 0 ? InspectHover{token, -1, info().id} : InspectHover{});
  return true;
}

bool OutputsView::key(const std::string& key, const ViewContext& context) {
  static const char* const kModes[] = {"A", "B", "wipe", "side by side", "difference"};
  if (key.size() == 1 && key[0] >= '1' && key[0] <= '5') {
    set_control("mode", kModes[key[0] - '1']);
  } else if (key == "0") {
    const auto& names = pixel_difference_names();
    const auto now = std::find(names.begin(), names.end(), chosen("difference")) - names.begin();
    set_control("difference", names[(now + 1) % names.size()]);
  } else if (key == "Space" || key == " ") {
    playback_ = toggle(playback_);
  } else if (key == "," || key == ".") {
    playback_ = step_frames(playback_, key == "," ? -1 : 1);
  } else if (key == "S") {
    set_control("swap", on("swap") ? "off" : "on");
  } else if (key == "M") {
    set_control("follow", on("follow") ? "off" : "on");
  } else if (key == "Shift") {
    held_ = true;
  } else if (key == "F") {
    camera_ = {};
  } else if (key == "Ctrl+0") {
    const OutputSide shown = side(context, shown_runs(context).front());
    if (!shown.frames) return false;
    camera_ = one_to_one(shown.frames->width, shown.frames->height, context.ratio);
  } else {
    return false;
  }
  return true;
}

bool OutputsView::key_released(const std::string& key, const ViewContext&) { return key == "Shift" && std::exchange(held_, false); }

std::string OutputsView::tooltip(Point at, const ViewContext& context) {
  if (context.inspection.empty()) return {};
  const OutputLayout layout = lay_out(context);
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  const auto& words = run.geometry.words(context.cursor.branch);
  for (std::size_t i = 0; i < std::min(words.size(), word_places_.size()); ++i) {
    if (!word_places_[i].contains(at)) continue;
    const Datum<TokenLook> heat_there = look(context, context.cursor.run);
    if (!heat_there) return {};
    if (heat() != TokenLook::Heat::Attention) return "'" + words[i].text + "': " + plot_number(word_weights(*heat_there, words, true)[i]) + ", mean of its rows";
    const bool to = chosen("direction") != "looks at";
    return "'" + words[i].text + "': " + plot_number(word_weights(*heat_there, words, to)[i]) + (to ? " of its softmax goes to the locked tokens\nmean" : " of the softmax\nsum") +
           " over its " + std::to_string(words[i].tokens.size()) + " tokens";
  }
  if (layout.transport.contains(at) && playback_.frames > 0) {
    const int frame = std::clamp(static_cast<int>((at.x - layout.track.x) / layout.track.width * playback_.frames), 0, playback_.frames - 1);
    std::string text = "Frame " + std::to_string(frame);
    for (int other = 1; other < static_cast<int>(context.inspection.runs().size()); ++other) {
      const Datum<Series> psnr = psnr_of(context, other);
      if (psnr && frame < static_cast<int>(psnr->size())) text += std::string("\n") + context.inspection.run(other).letter + ": " + decibel_text((*psnr)[frame]) + " against A";
    }
    return text + "\n" + std::string(psnr_formula()) + "; here on the 8 bits that the capture holds";
  }
  if (layout.strip.height > 0 && layout.strip.contains(at)) {
    if (heat() != TokenLook::Heat::Attention) return "rho of each token's row, Re-ttention Eq. 8: true from 0 to 1; used / true from 0.5 to 2, centred on 1\nclick shows the frame";
    return (chosen("direction") == "looks at" ? "The row of the locked token: softmax(q.k / sqrt d)" : "The column of the locked token: p(query, token)") +
           std::string(", three decades below the largest video weight; several tokens are pooled\nclick shows the frame");
  }
  if (!hover_ || !layout.panes.contains(at)) return {};
  const OutputSide shown = side(context, shown_runs(context).front());
  const std::int64_t token = run.geometry.token_at(shown.frame, hover_->x, hover_->y);
  if (token < 0 || !shown.frames) return {};
  return "token " + run.geometry.name(token, context.cursor.branch) + ", row " + std::to_string(token) + "\npixel (" +
         std::to_string(static_cast<int>(hover_->x)) + ", " + std::to_string(static_cast<int>(hover_->y)) + ") of frame " + std::to_string(shown.frame) + ": " +
         pixel_text(*shown.frames, shown.frame, *hover_);
}

std::string OutputsView::spoken(const ViewContext& context) {
  if (context.inspection.empty() || context.inspection.locked().empty()) return info().title;
  const InspectedRun& run = context.inspection.run(context.cursor.run);
  std::string text = "Outputs, locked token " + run.geometry.name(context.inspection.locked().front(), context.cursor.branch);
  const Datum<TokenLook> there = look(context, context.cursor.run);
  if (there && heat() == TokenLook::Heat::Attention && chosen("direction") == "looks at") text += ", text mass " + percent_text(there->text_mass);
  return text;
}

std::vector<DataArray> OutputsView::data(const ViewContext& context) {
  std::vector<DataArray> arrays;
  if (context.inspection.empty()) return arrays;
  const Datum<TokenLook> there = look(context, context.cursor.run);
  if (there) {
    const TokenGeometry& geometry = context.inspection.run(context.cursor.run).geometry;
    const auto begin = there->weight.begin() + geometry.visual_begin();
    const bool attention = heat() == TokenLook::Heat::Attention;
    arrays.push_back({!attention ? "heat" : chosen("direction") == "looks at" ? "where_it_looks" : "who_looks_at_it", {geometry.frames(), geometry.rows(), geometry.columns()}, {begin, begin + geometry.visual_tokens()}, {}});
    const auto& words = geometry.words(context.cursor.branch);
    arrays.push_back({"words", {static_cast<std::int64_t>(words.size())}, word_weights(*there, words, !attention || chosen("direction") != "looks at"), {}});
  }
  for (const int run : shown_runs(context)) {
    const OutputSide shown = side(context, run);
    if (!shown.frames || shown.frames->count == 0) continue;
    const float* rgb = shown.frames->frame(shown.frame);
    arrays.push_back({std::string("frame_") + context.inspection.run(run).letter, {shown.frames->height, shown.frames->width, 3},
                      {rgb, rgb + shown.frames->frame_size()}, {}});
    if (const Datum<Series> psnr = psnr_of(context, run)) {
      arrays.push_back({std::string("psnr_") + context.inspection.run(run).letter, {static_cast<std::int64_t>(psnr->size())}, *psnr, {}});
    }
  }
  return arrays;
}

std::unique_ptr<InspectView> make_outputs_view() { return std::make_unique<OutputsView>(); }

}  // namespace ditscope::views
