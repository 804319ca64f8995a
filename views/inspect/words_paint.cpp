#include "views/inspect/words_paint.h"

#include <algorithm>

#include "views/inspect/colour_map.h"
#include "views/inspect/plot_paint.h"

namespace ditscope::views {

std::vector<Rect> paint_words(Canvas& canvas, const ViewContext& context, const Rect& area, const std::vector<TokenGeometry::Word>& words,
                              const std::vector<double>& weights) {
  const double u = context.unit, line = 24 * u, gap = 9 * u;
  const double most = weights.empty() ? 0 : *std::max_element(weights.begin(), weights.end());
  const ColourMap map("magma", context.theme);
  std::vector<Rect> places(words.size());
  Point pen{area.x, area.y};
  for (std::size_t i = 0; i < words.size(); ++i) {
    TextStyle style = label_style(context, "text2");
    const bool strongest = most > 0 && weights[i] == most;
    if (strongest) style = strong_style(context);
    const auto& tokens = words[i].tokens;
    const auto& locked = context.inspection.locked();
    const bool chosen = std::any_of(tokens.begin(), tokens.end(), [&](std::int64_t token) { return std::count(locked.begin(), locked.end(), token) > 0; });
    if (chosen) style.colour = context.theme.colour("brush");
    const double width = canvas.text_width(words[i].text, style);
    if (pen.x > area.x && pen.x + width > area.right()) pen = {area.x, pen.y + line};
    if (pen.y + line > area.bottom() + 2 * u) break;
    places[i] = {pen.x, pen.y, width, line};
    canvas.text(pen, words[i].text, style);
    const InspectHover& hover = context.inspection.hover();
    if (std::any_of(tokens.begin(), tokens.end(), [&](std::int64_t token) { return token == hover.query || token == hover.key; })) {
      canvas.outline({pen.x - 3 * u, pen.y - 2 * u, width + 6 * u, line - 2 * u}, context.theme.dark ? Rgb{1, 1, 1} : Rgb{0, 0, 0}, 1, Dash::Dashed);
    }
    const Rect track{pen.x, pen.y + 16 * u, width, 3 * u};
    canvas.fill(track, context.theme.colour("line"), 1.5 * u);
    if (most > 0 && weights[i] > 0) {
      const double share = weights[i] / most;
      canvas.fill({track.x, track.y, std::max(track.width * share, 2 * u), track.height}, map.at(0.35 + 0.5 * share), 1.5 * u);
    }
    pen.x += width + gap;
  }
  return places;
}

}  // namespace ditscope::views
