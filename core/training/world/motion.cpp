#include <algorithm>
#include <array>
#include <cmath>

#include "core/training/world/track.h"

namespace ditscope::world {
namespace {

float median(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Whether an object, or the two pixels around it, cover this place.
bool is_object(const std::vector<Track>& tracks, std::size_t frame, int x, int y) {
  for (const Track& track : tracks) {
    if (!track.patches[frame]) continue;
    const Mask& mask = track.patches[frame]->mask;
    if (mask.get(x, y) || mask.get(x - 2, y) || mask.get(x + 2, y) || mask.get(x, y - 2) || mask.get(x, y + 2)) return true;
  }
  return false;
}

/// Place of the backdrop's pool of light, 0..1 across the frame (outside where it lies beyond): the top of a parabola through the
/// logarithm of the brightness of the columns above the horizon.
float light_place(const JudgedFrame& picture, const std::vector<Track>& tracks, std::size_t frame) {
  std::array<double, 5> powers{};  // sums of x^0 .. x^4
  std::array<double, 3> values{};  // sums of v, v x, v x^2
  const int rows = picture.height * 2 / 5;
  for (int x = 0; x < picture.width; ++x) {
    double sum = 0;
    int count = 0;
    for (int y = 0; y < rows; y += 2) {
      if (is_object(tracks, frame, x, y)) continue;
      const float* rgb = picture.at(x, y);
      sum += rgb[0] + rgb[1] + rgb[2];
      ++count;
    }
    if (count * 6 < rows) continue;
    const double place = 2 * (x + 0.5) / picture.width - 1, value = std::log(sum / count + 1e-3);
    double power = 1;
    for (int order = 0; order < 5; ++order, power *= place) {
      powers[order] += power;
      if (order < 3) values[order] += value * power;
    }
  }
  // Normal equations of c0 + c1 x + c2 x^2 by Cramer's rule; only c1 and c2 matter.
  const auto& p = powers;
  const double determinant =
      p[0] * (p[2] * p[4] - p[3] * p[3]) - p[1] * (p[1] * p[4] - p[2] * p[3]) + p[2] * (p[1] * p[3] - p[2] * p[2]);
  if (std::fabs(determinant) < 1e-6) return 0.5F;
  const double c1 = (p[0] * (values[1] * p[4] - p[3] * values[2]) - values[0] * (p[1] * p[4] - p[2] * p[3]) +
                     p[2] * (p[1] * values[2] - values[1] * p[2])) /
                    determinant;
  const double c2 = (p[0] * (p[2] * values[2] - values[1] * p[3]) - p[1] * (p[1] * values[2] - values[1] * p[2]) +
                     values[0] * (p[1] * p[3] - p[2] * p[2])) /
                    determinant;
  if (c2 > -0.02) return 0.5F;
  return static_cast<float>(0.5 + 0.5 * std::clamp(-c1 / (2 * c2), -1.6, 1.6));
}

/// How far the background of one frame is from that of another seen `zoom` times larger: mean difference of colour where neither
/// shows an object. Zooming keeps the stage's pivot in place (stage.cpp), 0.12 of the shorter side above the middle.
float zoomed_difference(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks, std::size_t from,
                        std::size_t to, float zoom) {
  const JudgedFrame &before = pictures[from], &after = pictures[to];
  const float pivot_x = 0.5F * static_cast<float>(before.width);
  const float pivot_y =
      0.5F * static_cast<float>(before.height) - 0.12F * static_cast<float>(std::min(before.width, before.height));
  double sum = 0;
  int count = 0;
  for (int y = 0; y < after.height; y += 2) {
    for (int x = 0; x < after.width; x += 2) {
      const int source_x = static_cast<int>(pivot_x + (static_cast<float>(x) + 0.5F - pivot_x) / zoom);
      const int source_y = static_cast<int>(pivot_y + (static_cast<float>(y) + 0.5F - pivot_y) / zoom);
      if (is_object(tracks, to, x, y) || is_object(tracks, from, source_x, source_y)) continue;
      const float *a = before.at(source_x, source_y), *b = after.at(x, y);
      sum += std::fabs(a[0] - b[0]) + std::fabs(a[1] - b[1]) + std::fabs(a[2] - b[2]);
      ++count;
    }
  }
  return static_cast<float>(sum / std::max(1, count));
}

/// One number of an object through the clip, where it is seen, in half frame heights.
struct Series {
  std::vector<float> values;
  float ends(bool last) const {
    const std::size_t count = std::max<std::size_t>(1, values.size() / 10);
    float sum = 0;
    for (std::size_t index = 0; index < count; ++index) sum += values[last ? values.size() - 1 - index : index];
    return sum / static_cast<float>(count);
  }
  float net() const { return ends(true) - ends(false); }
  float range() const {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return *high - *low;
  }
  /// Turns of direction, those smaller than `least` left out.
  int reversals(float least) const {
    int count = 0, direction = 0;
    float extreme = values[0], low = values[0], high = values[0];
    for (float value : values) {
      if (direction == 0) {
        low = std::min(low, value);
        high = std::max(high, value);
        if (value > low + least) direction = 1, extreme = value;
        if (value < high - least) direction = -1, extreme = value;
      } else if (direction * (value - extreme) > 0) {
        extreme = value;
      } else if (std::fabs(value - extreme) > least) {
        ++count;
        direction = -direction;
        extreme = value;
      }
    }
    return count;
  }
};

/// Colours of an object on a grid over its box; cells off the object stay at -1.
std::vector<float> face_of(const JudgedFrame& picture, const Patch& patch) {
  constexpr int kSide = 14;
  std::vector<float> face(kSide * kSide * 3, -1);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const int px = patch.left + (2 * x + 1) * (patch.right - patch.left + 1) / (2 * kSide);
      const int py = patch.top + (2 * y + 1) * (patch.bottom - patch.top + 1) / (2 * kSide);
      if (!patch.mask.get(px, py)) continue;
      for (int channel = 0; channel < 3; ++channel) face[3 * (y * kSide + x) + channel] = picture.at(px, py)[channel];
    }
  }
  return face;
}

/// How much an object's face and width change over a few frames: what a spin does and a flight does not.
float face_change(const std::vector<JudgedFrame>& pictures, const Track& track) {
  const std::size_t gap = std::max<std::size_t>(1, pictures.size() / 8);
  std::vector<float> changes;
  for (std::size_t frame = 0; frame + gap < pictures.size(); ++frame) {
    if (!track.patches[frame] || !track.patches[frame + gap]) continue;
    const Patch &before = *track.patches[frame], &after = *track.patches[frame + gap];
    if (before.touches_border || after.touches_border) continue;
    const std::vector<float> a = face_of(pictures[frame], before), b = face_of(pictures[frame + gap], after);
    float sum = 0;
    for (std::size_t at = 0; at < a.size(); ++at)
      sum += a[at] < 0 && b[at] < 0 ? 0 : a[at] < 0 || b[at] < 0 ? 0.3F : std::fabs(a[at] - b[at]);
    const auto proportion = [](const Patch& patch) {
      return std::log(static_cast<float>(patch.right - patch.left + 1) / static_cast<float>(patch.bottom - patch.top + 1));
    };
    changes.push_back(sum / static_cast<float>(a.size()) + 0.2F * std::fabs(proportion(before) - proportion(after)));
  }
  return median(changes);
}

Motion motion_of_one(const std::vector<JudgedFrame>& pictures, const Track& track, CameraMove camera) {
  Series x, y, height;
  const float unit = 2.0F / static_cast<float>(std::min(pictures[0].width, pictures[0].height));
  for (const auto& patch : track.patches) {
    if (!patch) continue;
    x.values.push_back(unit * 0.5F * static_cast<float>(patch->left + patch->right));
    y.values.push_back(-unit * 0.5F * static_cast<float>(patch->top + patch->bottom));
    height.values.push_back(unit * static_cast<float>(patch->bottom - patch->top + 1));
  }
  const bool pans = camera == CameraMove::PansLeft || camera == CameraMove::PansRight;
  const float x_range = x.range(), y_range = y.range();
  if (!pans) {
    if (x_range > 0.3F && x_range > y_range && std::fabs(x.net()) < 0.65F * x_range && x.reversals(0.25F * x_range) >= 1)
      return Motion::Orbits;
    if (std::fabs(x.net()) > 0.18F && std::fabs(x.net()) > 0.7F * x_range && x_range > y_range)
      return x.net() > 0 ? Motion::MovesRight : Motion::MovesLeft;
  }
  if (y_range > 0.15F && y.reversals(std::max(0.08F, 0.2F * y_range)) >= 2) return Motion::Bounces;
  const float growth = height.ends(true) / height.ends(false) / (camera == CameraMove::ZoomsIn ? 1.5F : 1.0F);
  if (growth > 1.35F) return Motion::Grows;
  if (camera == CameraMove::Still && std::fabs(y.net()) > 0.18F) return y.net() > 0 ? Motion::MovesUp : Motion::MovesDown;
  constexpr float kSpin = 0.06F;
  return face_change(pictures, track) > kSpin ? Motion::Spins : Motion::StaysStill;
}

}  // namespace

BackgroundDrift background_drift(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks) {
  const std::size_t count = std::max<std::size_t>(1, pictures.size() / 8);
  std::array<std::vector<float>, 2> light;
  std::vector<float> gains;
  for (std::size_t index = 0; index < count; ++index) {
    const std::size_t last = pictures.size() - 1 - index;
    light[0].push_back(light_place(pictures[index], tracks, index));
    light[1].push_back(light_place(pictures[last], tracks, last));
    const float still = zoomed_difference(pictures, tracks, index, last, 1);
    float zoomed = still;
    for (float zoom : {1.3F, 1.37F, 1.44F, 1.5F})
      zoomed = std::min(zoomed, zoomed_difference(pictures, tracks, index, last, zoom));
    constexpr float kUnmoved = 0.012F;  // below it the frames are the same but for noise
    gains.push_back((still - zoomed) / std::max(still, kUnmoved));
  }
  return {median(light[1]) - median(light[0]), median(gains)};
}

CameraMove camera_of(const BackgroundDrift& drift) {
  if (drift.sideways > 0.2F) return CameraMove::PansLeft;  // the view turns left: what it sees drifts to the right
  if (drift.sideways < -0.2F) return CameraMove::PansRight;
  return drift.zoom_gain > 0.2F ? CameraMove::ZoomsIn : CameraMove::Still;
}

Motion motion_of(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks, CameraMove camera) {
  if (tracks.empty()) return Motion::StaysStill;
  const Motion first = motion_of_one(pictures, tracks[0], camera);
  if (tracks.size() == 1) return first;
  const Motion second = motion_of_one(pictures, tracks[1], camera);
  if (first == second || first == Motion::Orbits || second == Motion::StaysStill) return first;
  return second;
}

}  // namespace ditscope::world
