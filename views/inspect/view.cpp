#include "views/inspect/view.h"

#include <algorithm>

#include "kernels/error.h"
#include "views/inspect/plot_paint.h"

namespace ditscope::views {

void InspectView::set_control(const std::string& name, const std::string&) {
  throw Error{ErrorKind::InvalidArgument, "the view '" + info().id + "' has no control '" + name + "'"};
}

std::vector<std::string> wrapped(const Canvas& canvas, const std::string& text, const TextStyle& style, double width) {
  std::vector<std::string> lines(1);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const std::string longer = lines.back().empty() ? word : lines.back() + " " + word;
    if (!lines.back().empty() && canvas.text_width(longer, style) > width) {
      lines.push_back(word);
    } else {
      lines.back() = longer;
    }
    at = end + 1;
  }
  return lines;
}

void paint_notice(Canvas& canvas, const ViewContext& context, const Rect& area, const std::string& text) {
  TextStyle style;
  style.colour = context.theme.colour("text2");
  style.horizontal = Align::Middle;
  style.vertical = Align::Middle;
  std::vector<std::string> lines = wrapped(canvas, text, style, area.width * 0.9);
  const double step = 18 * context.unit, letter = 14 * context.unit;
  // What does not fit is told by dots: the place for more is a tooltip, or a larger view.
  const auto room = static_cast<std::size_t>(std::max((area.height - letter) / step + 1, 1.0));
  if (lines.size() > room) {
    lines.resize(room);
    lines.back() += " ...";
  }
  for (std::string& line : lines) line = fit_text(canvas, line, style, area.width);
  double y = area.y + area.height / 2 - step * (static_cast<double>(lines.size()) - 1) / 2;
  canvas.push_clip(area);
  for (const std::string& line : lines) {
    canvas.text({area.x + area.width / 2, y}, line, style);
    y += step;
  }
  canvas.pop_clip();
}

}  // namespace ditscope::views
