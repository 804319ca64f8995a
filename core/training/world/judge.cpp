#include "core/training/world/judge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/training/world/colour_names.h"
#include "core/training/world/segment.h"
#include "core/training/world/silhouette.h"
#include "core/training/world/stage.h"
#include "core/training/world/track.h"
#include "kernels/error.h"

namespace ditscope::world {
namespace {

template <class Number>
Number percentile(std::vector<Number> values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Frames by which to judge an object's outline: whole in the picture and apart from the other object, or else where it is seen;
/// a dozen, spread over the clip.
std::vector<std::size_t> clear_frames(const std::vector<Track>& tracks, std::size_t index) {
  std::vector<std::size_t> clear, seen;
  for (std::size_t frame = 0; frame < tracks[index].patches.size(); ++frame) {
    const auto& patch = tracks[index].patches[frame];
    if (!patch) continue;
    seen.push_back(frame);
    bool apart = true;
    for (std::size_t other = 0; other < tracks.size(); ++other) {
      const auto& beside = tracks[other].patches[frame];
      if (other == index || !beside) continue;
      apart = patch->right + 1 < beside->left || beside->right + 1 < patch->left || patch->bottom + 1 < beside->top ||
              beside->bottom + 1 < patch->top;
    }
    if (apart && !patch->touches_border) clear.push_back(frame);
  }
  std::vector<std::size_t>& kept = clear.empty() ? seen : clear;
  constexpr std::size_t kEnough = 12;
  if (kept.size() <= kEnough) return kept;
  for (std::size_t place = 0; place < kEnough; ++place) kept[place] = kept[place * (kept.size() - 1) / (kEnough - 1)];
  kept.resize(kEnough);
  return kept;
}

Shape shape_of(const Track& track, const std::vector<std::size_t>& frames) {
  std::array<float, kShapeNames.size()> unlike{};
  for (std::size_t frame : frames) {
    const Silhouette seen = silhouette_of(*track.patches[frame]);
    for (std::size_t shape = 0; shape < unlike.size(); ++shape)
      unlike[shape] += nearest_view(seen, static_cast<Shape>(shape)).unlikeness;
  }
  return static_cast<Shape>(std::min_element(unlike.begin(), unlike.end()) - unlike.begin());
}

/// Radius of the unit solid, world units as seen at the stage's origin.
float radius_of(const Track& track, const std::vector<std::size_t>& frames, Shape shape, int side, CameraMove camera,
                Motion motion) {
  const float pixel = 2 * kHalfView / static_cast<float>(side);
  std::vector<float> radii;
  for (std::size_t frame : frames) {
    const float moment = static_cast<float>(frame) / static_cast<float>(std::max<std::size_t>(1, track.patches.size() - 1));
    const Patch& patch = *track.patches[frame];
    const float unit = nearest_view(silhouette_of(patch), shape).unit_radius;
    float radius = pixel * std::sqrt(static_cast<float>((patch.right - patch.left + 1) * (patch.bottom - patch.top + 1))) / unit;
    if (camera == CameraMove::ZoomsIn) radius /= 1 + 0.5F * moment;
    if (motion == Motion::Grows) radius /= 0.8F + 0.64F * moment;
    radii.push_back(radius);
  }
  return percentile(radii, 0.5);
}

/// Glossy surfaces have a small white highlight; metal is paler all over than its colour; matte is neither.
Material material_of(const std::vector<JudgedFrame>& pictures, const Track& track, const std::vector<std::size_t>& frames,
                     Colour colour) {
  constexpr std::array<float, kColourNames.size()> kMatteSaturation{0.89F, 0.95F, 0.91F, 0.81F, 0.92F, 0.87F, 0.78F, 0.71F};
  std::vector<float> saturations;
  for (std::size_t frame : frames) {
    const Patch& patch = *track.patches[frame];
    for (int y = patch.top; y <= patch.bottom; ++y) {
      for (int x = patch.left; x <= patch.right; ++x) {
        const bool inner = patch.mask.get(x, y) && patch.mask.get(x, y - 2) && patch.mask.get(x, y + 2) &&
                           patch.mask.get(x - 2, y) && patch.mask.get(x + 2, y);
        if (inner) saturations.push_back(hue_value(pictures[frame].at(x, y)).saturation);
      }
    }
  }
  if (percentile(saturations, 0.01) < 0.48F * percentile(saturations, 0.5)) return Material::Glossy;
  const float paler = kMatteSaturation[static_cast<std::size_t>(colour)] - percentile(saturations, 0.3);
  return paler > 0.028F ? Material::Metallic : Material::Matte;
}

/// Calls `use` with the pixels of every fourth frame, rows `first`..`last` of its height, objects and what is near them left out.
template <class Use>
void visit_background(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks, double first, double last,
                      Use use) {
  for (std::size_t frame = 0; frame < pictures.size(); frame += 4) {
    const JudgedFrame& picture = pictures[frame];
    for (int y = static_cast<int>(first * picture.height); y < static_cast<int>(last * picture.height); ++y) {
      for (int x = 1; x < picture.width; ++x) {
        const bool object = std::any_of(tracks.begin(), tracks.end(), [&](const Track& track) {
          const auto& patch = track.patches[frame];
          return patch && x >= patch->left - 3 && x <= patch->right + 3 && y >= patch->top - 3 && y <= patch->bottom + 3;
        });
        if (!object) use(picture.at(x, y), picture.at(x - 1, y));
      }
    }
  }
}

Backdrop backdrop_of(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks) {
  // The upper quartile of each channel above the horizon: the pool of light on the wall.
  constexpr std::array<std::array<float, 3>, kBackdropNames.size()> kLit{{{0.50F, 0.59F, 0.66F},
                                                                          {0.55F, 0.75F, 0.91F},
                                                                          {0.85F, 0.75F, 0.56F},
                                                                          {0.58F, 0.84F, 0.69F},
                                                                          {0.73F, 0.62F, 0.87F},
                                                                          {0.29F, 0.29F, 0.30F}}};
  std::array<std::vector<float>, 3> channels;
  visit_background(pictures, tracks, 0, 0.35, [&](const float* rgb, const float*) {
    for (int channel = 0; channel < 3; ++channel) channels[channel].push_back(rgb[channel]);
  });
  std::size_t best = 0;
  float least = 1e9F;
  for (std::size_t backdrop = 0; backdrop < kLit.size(); ++backdrop) {
    float difference = 0;
    for (int channel = 0; channel < 3; ++channel)
      difference += std::fabs(percentile(channels[channel], 0.75) - kLit[backdrop][channel]);
    if (difference < least) least = difference, best = backdrop;
  }
  return static_cast<Backdrop>(best);
}

Floor floor_of(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks) {
  std::vector<float> saturations, values;
  visit_background(pictures, tracks, 0.66, 1, [&](const float* rgb, const float*) {
    const HueValue value = hue_value(rgb);
    saturations.push_back(value.saturation);
    values.push_back((rgb[0] + rgb[1] + rgb[2]) / 3);
  });
  if (percentile(saturations, 0.5) > 0.22F) return Floor::Wooden;
  // Tiles are of two tones in equal parts; a plain floor has one, and shadows on a small part of it.
  return percentile(values, 0.8) > 1.45F * percentile(values, 0.3) ? Floor::Checkered : Floor::Plain;
}

constexpr float kSmallBelow = 0.77F;  // between the radii of small and large, a lone object
constexpr float kAlikeBelow = 1.2F;   // ratio of two radii

/// Sign of the difference in size: -1, 0, 1.
int size_order(float first, float second) {
  if (first > kAlikeBelow * second) return 1;
  return second > kAlikeBelow * first ? -1 : 0;
}

/// The order of the judged objects that fits the asked ones best: by colour, then by shape.
std::array<int, 2> matching(const Scene& asked, const Judgement& judgement) {
  const auto likeness = [&](int wanted, int found) {
    if (found >= static_cast<int>(judgement.objects.size())) return 0;
    const SceneObject& object = asked.objects[wanted];
    return (judgement.objects[found].colour == object.colour ? 2 : 0) + (judgement.objects[found].shape == object.shape ? 1 : 0);
  };
  if (asked.object_count == 1) return {likeness(0, 1) > likeness(0, 0) ? 1 : 0, 1};
  const bool swapped = likeness(0, 1) + likeness(1, 0) > likeness(0, 0) + likeness(1, 1);
  return swapped ? std::array<int, 2>{1, 0} : std::array<int, 2>{0, 1};
}

float size_score(const Scene& asked, const Judgement& judgement, const std::array<int, 2>& match) {
  if (asked.object_count != static_cast<int>(judgement.objects.size())) return 0;
  if (asked.object_count == 1) return judgement.size == asked.objects[0].size ? 1.0F : 0.0F;
  const int wanted = static_cast<int>(asked.objects[0].size) - static_cast<int>(asked.objects[1].size);
  return size_order(judgement.objects[match[0]].radius, judgement.objects[match[1]].radius) == wanted ? 1.0F : 0.0F;
}

}  // namespace

Judgement judge(const Frames& frames) {
  if (frames.empty() || frames.width < 32 || frames.height < 32) {
    throw Error{ErrorKind::InvalidArgument, "expected at least one frame of 32 x 32 pixels or more, got " +
                                                std::to_string(frames.count) + " of " + std::to_string(frames.width) + " x " +
                                                std::to_string(frames.height) + "; judge a decoded clip"};
  }
  const std::vector<JudgedFrame> pictures = judging_pictures(frames);
  const std::vector<Track> tracks = tracks_of(pictures);
  Judgement judgement;
  judgement.camera = camera_of(background_drift(pictures, tracks));
  judgement.motion = motion_of(pictures, tracks, judgement.camera);
  judgement.backdrop = backdrop_of(pictures, tracks);
  judgement.floor = floor_of(pictures, tracks);
  const int side = std::min(pictures[0].width, pictures[0].height);
  for (std::size_t index = 0; index < tracks.size(); ++index) {
    const std::vector<std::size_t> clear = clear_frames(tracks, index);
    JudgedObject object;
    object.colour = nearest_colour(tracks[index].hue);
    object.shape = shape_of(tracks[index], clear);
    object.material = material_of(pictures, tracks[index], clear, object.colour);
    object.radius = radius_of(tracks[index], clear, object.shape, side, judgement.camera, judgement.motion);
    judgement.objects.push_back(object);
  }
  if (!judgement.objects.empty()) judgement.size = judgement.objects[0].radius < kSmallBelow ? Size::Small : Size::Large;
  return judgement;
}

float Score::of(std::string_view attribute) const {
  const auto place = std::find(kScoredAttributes.begin(), kScoredAttributes.end(), attribute);
  if (place == kScoredAttributes.end()) {
    throw Error{ErrorKind::NotFound,
                "expected a scored attribute such as \"colour\", got \"" + std::string(attribute) + "\"; see kScoredAttributes"};
  }
  return values[static_cast<std::size_t>(place - kScoredAttributes.begin())];
}

float Score::mean() const {
  float sum = 0;
  for (float value : values) sum += value;
  return sum / static_cast<float>(values.size());
}

Score compare(const Scene& asked, const Judgement& judgement) {
  const std::array<int, 2> match = matching(asked, judgement);
  float colour = 0, shape = 0, material = 0;
  const float share = 1.0F / static_cast<float>(asked.object_count);
  for (int index = 0; index < asked.object_count; ++index) {
    if (match[index] >= static_cast<int>(judgement.objects.size())) continue;
    const JudgedObject& found = judgement.objects[match[index]];
    const SceneObject& wanted = asked.objects[index];
    colour += found.colour == wanted.colour ? share : 0;
    shape += found.shape == wanted.shape ? share : 0;
    material += found.material == wanted.material ? share : 0;
  }
  const auto same = [](bool value) { return value ? 1.0F : 0.0F; };
  return Score{{same(asked.object_count == static_cast<int>(judgement.objects.size())), colour, shape,
                size_score(asked, judgement, match), material, same(asked.motion == judgement.motion),
                same(asked.camera == judgement.camera), same(asked.floor == judgement.floor),
                same(asked.backdrop == judgement.backdrop)}};
}

}  // namespace ditscope::world
