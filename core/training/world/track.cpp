#include "core/training/world/track.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/training/world/colour_names.h"

namespace ditscope::world {
namespace {

float median(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

int least_patch(const JudgedFrame& picture) {
  return picture.width * picture.height / 110;
}

/// The pixels of a mask whose hue names one of these colours.
Mask of_colours(const JudgedFrame& picture, const Mask& mask, const std::array<bool, kColourNames.size()>& wanted) {
  Mask result = mask;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (!mask.get(x, y)) continue;
      const Colour colour = nearest_colour(hue_value(picture.at(x, y)).hue);
      result.on[static_cast<std::size_t>(y) * mask.width + x] = wanted[static_cast<std::size_t>(colour)];
    }
  }
  return result;
}

/// Hue in the middle of a patch's pixels, as an angle around the patch's commonest colour.
float hue_of(const std::vector<JudgedFrame>& pictures, const Track& track) {
  std::array<int, kColourNames.size()> counts{};
  std::vector<float> hues;
  for (std::size_t frame = 0; frame < pictures.size(); ++frame) {
    if (!track.patches[frame]) continue;
    const Patch& patch = *track.patches[frame];
    for (int y = patch.top; y <= patch.bottom; ++y) {
      for (int x = patch.left; x <= patch.right; ++x) {
        const bool inner =
            patch.mask.get(x - 1, y) && patch.mask.get(x + 1, y) && patch.mask.get(x, y - 1) && patch.mask.get(x, y + 1);
        if (!inner || (x + y) % 2 != 0) continue;
        const HueValue value = hue_value(pictures[frame].at(x, y));
        if (value.saturation < 0.5F) continue;
        ++counts[static_cast<std::size_t>(nearest_colour(value.hue))];
        hues.push_back(value.hue);
      }
    }
  }
  const auto commonest = static_cast<Colour>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  const float centre = reference_hue(commonest);
  for (float& hue : hues) hue = hue_difference(centre, hue);
  return centre + median(hues);
}

struct ColourUse {
  Colour colour = Colour::Red;
  float area = 0;      ///< median of its largest patch, pixels; 0 in frames without
  float presence = 0;  ///< share of the frames
};

std::vector<ColourUse> colour_uses(const std::vector<JudgedFrame>& pictures, const std::vector<Mask>& masks) {
  std::vector<ColourUse> uses;
  for (std::size_t colour = 0; colour < kColourNames.size(); ++colour) {
    std::array<bool, kColourNames.size()> wanted{};
    wanted[colour] = true;
    std::vector<float> areas;
    int present = 0;
    for (std::size_t frame = 0; frame < pictures.size(); ++frame) {
      const auto patches =
          patches_of(of_colours(pictures[frame], masks[frame], wanted), pictures[frame], least_patch(pictures[frame]));
      areas.push_back(patches.empty() ? 0.0F : static_cast<float>(patches[0].area));
      present += patches.empty() ? 0 : 1;
    }
    uses.push_back(
        {static_cast<Colour>(colour), median(areas), static_cast<float>(present) / static_cast<float>(pictures.size())});
  }
  std::sort(uses.begin(), uses.end(), [](const ColourUse& a, const ColourUse& b) { return a.area > b.area; });
  return uses;
}

Track track_of_colours(const std::vector<JudgedFrame>& pictures, const std::vector<Mask>& masks, Colour own, Colour other) {
  Track track;
  std::array<bool, kColourNames.size()> wanted{};
  for (std::size_t colour = 0; colour < wanted.size(); ++colour) {
    const float hue = reference_hue(static_cast<Colour>(colour));
    const float to_own = std::fabs(hue_difference(hue, reference_hue(own))),
                to_other = std::fabs(hue_difference(hue, reference_hue(other)));
    wanted[colour] = to_own < to_other && to_own < 60;
  }
  for (std::size_t frame = 0; frame < pictures.size(); ++frame) {
    auto patches = patches_of(of_colours(pictures[frame], masks[frame], wanted), pictures[frame], least_patch(pictures[frame]));
    track.patches.push_back(patches.empty() ? std::nullopt : std::optional(std::move(patches[0])));
  }
  return track;
}

/// Whether the second track's patches mostly lie inside the first one's box: a tint on the same object.
bool lies_within(const Track& inner, const Track& outer) {
  int within = 0, both = 0;
  for (std::size_t frame = 0; frame < inner.patches.size(); ++frame) {
    if (!inner.patches[frame] || !outer.patches[frame]) continue;
    const Patch &a = *inner.patches[frame], &b = *outer.patches[frame];
    ++both;
    within += a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1 ? 1 : 0;
  }
  return both > 0 && within * 2 > both;
}

/// One colour: the largest patch of each frame, or the two largest where a second one is there most of the time.
std::vector<Track> tracks_by_place(const std::vector<JudgedFrame>& pictures, const std::vector<Mask>& masks) {
  std::vector<std::vector<Patch>> found;
  int doubles = 0;
  for (std::size_t frame = 0; frame < pictures.size(); ++frame) {
    found.push_back(patches_of(masks[frame], pictures[frame], least_patch(pictures[frame])));
    const auto& patches = found.back();
    doubles += patches.size() >= 2 && patches[1].area * 4 > patches[0].area ? 1 : 0;
  }
  const bool two = doubles * 10 > static_cast<int>(pictures.size()) * 6;
  std::vector<Track> tracks(two ? 2 : 1);
  for (auto& patches : found) {
    if (two && patches.size() >= 2 && patches[1].x < patches[0].x) std::swap(patches[0], patches[1]);
    for (std::size_t index = 0; index < tracks.size(); ++index) {
      tracks[index].patches.push_back(index < patches.size() ? std::optional(std::move(patches[index])) : std::nullopt);
    }
  }
  return tracks;
}

int frames_seen(const Track& track) {
  return static_cast<int>(
      std::count_if(track.patches.begin(), track.patches.end(), [](const auto& patch) { return patch.has_value(); }));
}

float first_place(const Track& track) {
  for (const auto& patch : track.patches) {
    if (patch) return patch->x;
  }
  return 0;
}

}  // namespace

std::vector<Track> tracks_of(const std::vector<JudgedFrame>& pictures) {
  const float threshold = saturation_threshold(pictures);
  std::vector<Mask> masks;
  for (const JudgedFrame& picture : pictures) masks.push_back(coloured_pixels(picture, threshold));
  std::vector<Track> tracks;
  const std::vector<ColourUse> uses = colour_uses(pictures, masks);
  for (std::size_t second = 1; second < 3 && tracks.empty(); ++second) {
    if (uses[second].presence < 0.6F || uses[second].area < 0.1F * uses[0].area) continue;
    Track a = track_of_colours(pictures, masks, uses[0].colour, uses[second].colour);
    Track b = track_of_colours(pictures, masks, uses[second].colour, uses[0].colour);
    if (lies_within(b, a) || lies_within(a, b)) continue;
    tracks.push_back(std::move(a));
    tracks.push_back(std::move(b));
  }
  if (tracks.empty()) tracks = tracks_by_place(pictures, masks);
  const int least_frames = std::max(1, static_cast<int>(pictures.size()) / 4);
  std::erase_if(tracks, [&](const Track& track) { return frames_seen(track) < least_frames; });
  std::sort(tracks.begin(), tracks.end(), [](const Track& a, const Track& b) { return first_place(a) < first_place(b); });
  for (Track& track : tracks) track.hue = hue_of(pictures, track);
  return tracks;
}

}  // namespace ditscope::world
