#include "core/media/side_by_side.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "core/media/text_painter.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Colour = TextPainter::Colour;
// The window's dark palette: panel, text, secondary text, and one colour a run.
constexpr Colour kBackground = {0x17 / 255.f, 0x18 / 255.f, 0x1A / 255.f};
constexpr Colour kText = {0xE9 / 255.f, 0xEA / 255.f, 0xEB / 255.f};
constexpr Colour kDetail = {0xB6 / 255.f, 0xB9 / 255.f, 0xBD / 255.f};
constexpr std::array<Colour, 4> kRuns = {Colour{0xE9 / 255.f, 0xEA / 255.f, 0xEB / 255.f}, Colour{0xFF / 255.f, 0xB0 / 255.f, 0x57 / 255.f},
                                         Colour{0xD2 / 255.f, 0xAE / 255.f, 0xFF / 255.f}, Colour{0x5E / 255.f, 0x93 / 255.f, 0xEA / 255.f}};

/// Where things lie, px.
struct Layout {
  int columns = 1, rows = 1;
  int pane_width = 0, pane_height = 0;
  int header = 0, gap = 0, margin = 0;
  int title_size = 0, detail_size = 0;

  int pane_left(int index) const { return margin + index % columns * (pane_width + gap); }
  int pane_top(int index) const { return margin + index / columns * (pane_height + header + gap) + header; }
  int width() const { return even(2 * margin + columns * pane_width + (columns - 1) * gap); }
  int height() const { return even(2 * margin + rows * (pane_height + header) + (rows - 1) * gap); }
  static int even(int value) { return value + value % 2; }
};

Layout make_layout(int count, int pane_width, int pane_height) {
  Layout layout;
  layout.columns = count <= 3 ? count : static_cast<int>(std::ceil(std::sqrt(count)));
  layout.rows = (count + layout.columns - 1) / layout.columns;
  layout.pane_width = pane_width;
  layout.pane_height = pane_height;
  const double scale = std::clamp(pane_width / 360.0, 0.8, 3.0);
  const auto scaled = [scale](double px) { return static_cast<int>(std::lround(px * scale)); };
  layout.margin = layout.gap = scaled(8);
  layout.title_size = scaled(15);
  layout.detail_size = scaled(12);
  layout.header = scaled(46);
  return layout;
}

void require_panes(const std::vector<Pane>& panes) {
  if (panes.empty()) throw Error(ErrorKind::InvalidArgument, "expected at least one video to compose, got none; run one first");
  const Frames* first = panes.front().frames;
  for (const Pane& pane : panes) {
    const Frames* frames = pane.frames;
    if (!frames || frames->count <= 0 || frames->height <= 0 || frames->width <= 0 ||
        frames->rgb.size() != frames->frame_size() * frames->count) {
      throw Error(ErrorKind::InvalidArgument, "expected frames for '" + pane.title + "', got none; run it to the end first");
    }
    if (frames->height != first->height || frames->width != first->width) {
      throw Error(ErrorKind::InvalidArgument,
                  "expected videos of one size, got " + std::to_string(first->width) + " x " + std::to_string(first->height) + " and " +
                      std::to_string(frames->width) + " x " + std::to_string(frames->height) + " px; compare runs of the same size");
    }
  }
}

/// The letter in the run's colour, the title beside it, the detail below; cut to the pane's width.
void draw_header(Frames& image, TextPainter& painter, const Layout& layout, const Pane& pane, int index) {
  const int left = layout.pane_left(index);
  const int top = layout.pane_top(index) - layout.header;
  const std::string letter = index < 26 ? std::string(1, static_cast<char>('A' + index)) : std::to_string(index + 1);
  const int title_baseline = top + layout.title_size + layout.header / 12;
  painter.draw(image, 0, left, title_baseline, letter, layout.title_size, kRuns[index % kRuns.size()]);
  const int indent = painter.width_px(letter, layout.title_size) + layout.gap;
  painter.draw(image, 0, left + indent, title_baseline, painter.fit(pane.title, layout.title_size, layout.pane_width - indent),
               layout.title_size, kText);
  painter.draw(image, 0, left, title_baseline + layout.detail_size + layout.header / 8,
               painter.fit(pane.detail, layout.detail_size, layout.pane_width), layout.detail_size, kDetail);
}

void copy_pane(const Frames& source, int source_index, Frames& target, int target_index, int left, int top) {
  for (int y = 0; y < source.height; ++y) {
    const float* row = source.frame(source_index) + static_cast<std::size_t>(y) * source.width * 3;
    std::copy(row, row + static_cast<std::size_t>(source.width) * 3,
              target.frame(target_index) + (static_cast<std::size_t>(top + y) * target.width + left) * 3);
  }
}

/// Catmull-Rom's four weights at a fraction between the second and third sample.
std::array<float, 4> catmull_rom(float t) {
  return {((-t + 2) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((-3 * t + 4) * t + 1) * t / 2, (t - 1) * t * t / 2};
}

struct Taps {
  std::array<int, 4> at;
  std::array<float, 4> weight;
};

std::vector<Taps> make_taps(int size, int factor) {
  std::vector<Taps> taps(static_cast<std::size_t>(size) * factor);
  for (int i = 0; i < size * factor; ++i) {
    const float position = (static_cast<float>(i) + 0.5f) / static_cast<float>(factor) - 0.5f;
    const int base = static_cast<int>(std::floor(position));
    taps[i].weight = catmull_rom(position - static_cast<float>(base));
    for (int k = 0; k < 4; ++k) taps[i].at[k] = std::clamp(base - 1 + k, 0, size - 1);
  }
  return taps;
}

}  // namespace

Frames enlarge(const Frames& frames, int factor) {
  if (factor <= 1) return frames;
  Frames large;
  large.count = frames.count;
  large.fps = frames.fps;
  large.height = frames.height * factor;
  large.width = frames.width * factor;
  large.rgb.resize(large.frame_size() * large.count);
  const std::vector<Taps> columns = make_taps(frames.width, factor);
  const std::vector<Taps> rows = make_taps(frames.height, factor);
  std::vector<float> wide(static_cast<std::size_t>(frames.height) * large.width * 3);  // (Y, X*factor, 3)
  for (int index = 0; index < frames.count; ++index) {
    for (int y = 0; y < frames.height; ++y) {
      const float* source = frames.frame(index) + static_cast<std::size_t>(y) * frames.width * 3;
      float* out = wide.data() + static_cast<std::size_t>(y) * large.width * 3;
      for (const Taps& taps : columns) {
        for (int c = 0; c < 3; ++c) {
          float sum = 0;
          for (int k = 0; k < 4; ++k) sum += taps.weight[k] * source[taps.at[k] * 3 + c];
          *out++ = sum;
        }
      }
    }
    const std::size_t row_values = static_cast<std::size_t>(large.width) * 3;
    for (int y = 0; y < large.height; ++y) {
      const Taps& taps = rows[y];
      float* out = large.frame(index) + y * row_values;
      for (std::size_t i = 0; i < row_values; ++i) {
        float sum = 0;
        for (int k = 0; k < 4; ++k) sum += taps.weight[k] * wide[taps.at[k] * row_values + i];
        out[i] = std::clamp(sum, 0.0f, 1.0f);
      }
    }
  }
  return large;
}

Frames side_by_side(const std::vector<Pane>& panes, const SideBySideOptions& options) {
  require_panes(panes);
  const Frames& first = *panes.front().frames;
  const int factor = std::clamp((options.pane_px + first.width - 1) / first.width, 1, 16);
  const Layout layout = make_layout(static_cast<int>(panes.size()), first.width * factor, first.height * factor);

  Frames image;  // one frame: background and headers
  image.count = 1;
  image.height = layout.height();
  image.width = layout.width();
  image.rgb.resize(image.frame_size());
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = kBackground[i % 3];
  TextPainter painter;
  for (std::size_t i = 0; i < panes.size(); ++i) draw_header(image, painter, layout, panes[i], static_cast<int>(i));

  Frames result;
  result.height = image.height;
  result.width = image.width;
  result.fps = first.fps;
  for (const Pane& pane : panes) result.count = std::max(result.count, pane.frames->count);
  result.rgb.reserve(result.frame_size() * result.count);
  for (int index = 0; index < result.count; ++index) result.rgb.insert(result.rgb.end(), image.rgb.begin(), image.rgb.end());
  for (std::size_t i = 0; i < panes.size(); ++i) {
    const Frames large = enlarge(*panes[i].frames, factor);
    for (int index = 0; index < result.count; ++index) {
      copy_pane(large, std::min(index, large.count - 1), result, index, layout.pane_left(static_cast<int>(i)),
                layout.pane_top(static_cast<int>(i)));
    }
  }
  return result;
}

}  // namespace ditscope
