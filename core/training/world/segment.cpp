#include "core/training/world/segment.h"

#include <algorithm>
#include <cmath>

namespace ditscope::world {
namespace {

constexpr int kJudgingSide = 128;

Mask blank(const Mask& like) {
  return {like.width, like.height, std::vector<std::uint8_t>(like.on.size())};
}

/// Spreads (or, inverted, shrinks) a mask by one pixel up, down, left and right. The border counts as `outside`.
Mask spread(const Mask& mask, bool value) {
  Mask result = mask;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      const bool near = (x > 0 && mask.get(x - 1, y) == value) || (x + 1 < mask.width && mask.get(x + 1, y) == value) ||
                        (y > 0 && mask.get(x, y - 1) == value) || (y + 1 < mask.height && mask.get(x, y + 1) == value);
      if (near) result.on[static_cast<std::size_t>(y) * mask.width + x] = value;
    }
  }
  return result;
}

struct Box {
  int left, right, top, bottom;  // inclusive
};

/// Places within a box connected to `start` that equal its value; marks them in `seen`.
std::vector<int> flood(const Mask& mask, Box box, int start, std::vector<std::uint8_t>& seen) {
  std::vector<int> found{start};
  seen[start] = 1;
  const std::uint8_t value = mask.on[start];
  for (std::size_t next = 0; next < found.size(); ++next) {
    const int x = found[next] % mask.width, y = found[next] / mask.width;
    const auto visit = [&](int nx, int ny) {
      if (nx < box.left || ny < box.top || nx > box.right || ny > box.bottom) return;
      const int at = ny * mask.width + nx;
      if (seen[at] || mask.on[at] != value) return;
      seen[at] = 1;
      found.push_back(at);
    };
    visit(x - 1, y);
    visit(x + 1, y);
    visit(x, y - 1);
    visit(x, y + 1);
  }
  return found;
}

void measure(Patch& patch) {
  patch.area = 0;
  patch.left = patch.mask.width;
  patch.top = patch.mask.height;
  patch.right = patch.bottom = -1;
  double x_sum = 0, y_sum = 0;
  for (int y = 0; y < patch.mask.height; ++y) {
    for (int x = 0; x < patch.mask.width; ++x) {
      if (!patch.mask.get(x, y)) continue;
      ++patch.area;
      x_sum += x;
      y_sum += y;
      patch.left = std::min(patch.left, x);
      patch.right = std::max(patch.right, x);
      patch.top = std::min(patch.top, y);
      patch.bottom = std::max(patch.bottom, y);
    }
  }
  patch.x = static_cast<float>(x_sum / std::max(1, patch.area));
  patch.y = static_cast<float>(y_sum / std::max(1, patch.area));
  patch.touches_border =
      patch.left == 0 || patch.top == 0 || patch.right == patch.mask.width - 1 || patch.bottom == patch.mask.height - 1;
}

/// Whether an enclosed gap is a highlight, or too small for the hole of a torus, which is narrow only where the ring is seen from
/// aside.
bool is_highlight(const std::vector<int>& gap, const JudgedFrame& picture, const Patch& patch) {
  constexpr float kHighlight = 0.84F;  // brighter than any floor or backdrop
  const bool broad = (patch.right - patch.left + 1) * 4 > (patch.bottom - patch.top + 1) * 3;
  if (static_cast<int>(gap.size()) * (broad ? 12 : 25) < patch.area) return true;
  if (static_cast<int>(gap.size()) * 4 > patch.area) return false;
  std::vector<float> darkest;
  for (int place : gap) {
    const float* rgb = picture.rgb.data() + 3 * static_cast<std::size_t>(place);
    darkest.push_back(std::min({rgb[0], rgb[1], rgb[2]}));
  }
  const auto bright = darkest.begin() + static_cast<std::ptrdiff_t>(darkest.size() * 4 / 5);
  std::nth_element(darkest.begin(), bright, darkest.end());
  return *bright >= kHighlight;
}

void fill_highlights(Patch& patch, const JudgedFrame& picture) {
  const Box box{patch.left, patch.right, patch.top, patch.bottom};
  std::vector<std::uint8_t> seen(patch.mask.on);
  for (int y = box.top; y <= box.bottom; ++y) {
    for (int x = box.left; x <= box.right; ++x) {
      const int at = y * patch.mask.width + x;
      if (seen[at]) continue;
      const std::vector<int> gap = flood(patch.mask, box, at, seen);
      const bool enclosed = std::none_of(gap.begin(), gap.end(), [&](int place) {
        const int gx = place % patch.mask.width, gy = place / patch.mask.width;
        return gx == box.left || gx == box.right || gy == box.top || gy == box.bottom;
      });
      if (!enclosed || !is_highlight(gap, picture, patch)) continue;
      for (int place : gap) patch.mask.on[place] = 1;
    }
  }
}

}  // namespace

HueValue hue_value(const float* rgb) {
  const float high = std::max({rgb[0], rgb[1], rgb[2]}), low = std::min({rgb[0], rgb[1], rgb[2]});
  const float chroma = high - low;
  HueValue result{0, high > 0 ? chroma / high : 0, high};
  if (chroma <= 0) return result;
  if (high == rgb[0]) {
    result.hue = (rgb[1] - rgb[2]) / chroma;
  } else if (high == rgb[1]) {
    result.hue = 2 + (rgb[2] - rgb[0]) / chroma;
  } else {
    result.hue = 4 + (rgb[0] - rgb[1]) / chroma;
  }
  result.hue = std::fmod(result.hue * 60 + 360, 360.0F);
  return result;
}

float hue_difference(float from, float to) {
  return std::fmod(to - from + 540, 360.0F) - 180;
}

std::vector<JudgedFrame> judging_pictures(const Frames& frames) {
  const int factor = std::max(1, std::min(frames.width, frames.height) / kJudgingSide);
  std::vector<JudgedFrame> pictures(frames.count);
  for (int index = 0; index < frames.count; ++index) {
    JudgedFrame& picture = pictures[index];
    picture.width = frames.width / factor;
    picture.height = frames.height / factor;
    picture.rgb.assign(static_cast<std::size_t>(picture.width) * picture.height * 3, 0);
    const float* from = frames.frame(index);
    const float share = 1.0F / static_cast<float>(factor * factor);
    for (int y = 0; y < picture.height * factor; ++y) {
      for (int x = 0; x < picture.width * factor; ++x) {
        float* to = picture.rgb.data() + 3 * (static_cast<std::size_t>(y / factor) * picture.width + x / factor);
        const float* pixel = from + 3 * (static_cast<std::size_t>(y) * frames.width + x);
        for (int channel = 0; channel < 3; ++channel) to[channel] += share * pixel[channel];
      }
    }
  }
  return pictures;
}

Mask coloured_pixels(const JudgedFrame& picture, float threshold) {
  constexpr float kLeastChroma = 0.11F;  // below it the hue of a dark pixel is noise
  Mask mask{picture.width, picture.height, std::vector<std::uint8_t>(static_cast<std::size_t>(picture.width) * picture.height)};
  for (std::size_t at = 0; at < mask.on.size(); ++at) {
    const float* rgb = picture.rgb.data() + 3 * at;
    const float high = std::max({rgb[0], rgb[1], rgb[2]}), chroma = high - std::min({rgb[0], rgb[1], rgb[2]});
    mask.on[at] = chroma > kLeastChroma && chroma > threshold * high;
  }
  return mask;
}

float saturation_threshold(const std::vector<JudgedFrame>& pictures) {
  // The upper corners show the backdrop and the lower ones the floor, whatever the objects do.
  std::vector<float> upper, lower;
  for (const JudgedFrame& picture : pictures) {
    for (int y = 0; y < picture.height; y += 2) {
      for (int x = 0; x < picture.width; x += 2) {
        const bool side = x < picture.width / 5 || x >= picture.width - picture.width / 5;
        if (side && y < picture.height / 4) upper.push_back(hue_value(picture.at(x, y)).saturation);
        if (side && y >= picture.height - picture.height / 4) lower.push_back(hue_value(picture.at(x, y)).saturation);
      }
    }
  }
  const auto median = [](std::vector<float>& values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
  };
  constexpr float kObject = 0.68F;  // what the paler parts of objects have
  return std::clamp(0.5F * (std::max(median(upper), median(lower)) + kObject), 0.42F, 0.58F);
}

std::vector<Patch> patches_of(const Mask& mask, const JudgedFrame& picture, int least_area) {
  if (std::count(mask.on.begin(), mask.on.end(), 1) * 2 < least_area) return {};  // closing does not double an area
  const Mask closed = spread(spread(mask, true), false);
  std::vector<std::uint8_t> seen(closed.on.size());
  std::vector<Patch> patches;
  for (int at = 0; at < static_cast<int>(seen.size()); ++at) {
    if (seen[at] || !closed.on[at]) continue;
    const std::vector<int> places = flood(closed, {0, closed.width - 1, 0, closed.height - 1}, at, seen);
    if (static_cast<int>(places.size()) < least_area) continue;
    Patch patch;
    patch.mask = blank(closed);
    for (int place : places) patch.mask.on[place] = 1;
    measure(patch);
    fill_highlights(patch, picture);
    measure(patch);
    patches.push_back(std::move(patch));
  }
  std::sort(patches.begin(), patches.end(), [](const Patch& a, const Patch& b) { return a.area > b.area; });
  return patches;
}

}  // namespace ditscope::world
