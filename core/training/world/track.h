#pragma once
#include <optional>
#include <vector>

#include "core/training/world/caption.h"
#include "core/training/world/segment.h"

namespace ditscope::world {

/// One object through a clip: its patch in each frame where it is seen.
struct Track {
  float hue = 0;                              ///< degrees
  std::vector<std::optional<Patch>> patches;  // F
};

/// The objects of a clip, at most two, told apart by hue and by place; the one that starts further left first.
std::vector<Track> tracks_of(const std::vector<JudgedFrame>& pictures);

/// How the background drifts from the first frames to the last.
struct BackgroundDrift {
  float sideways = 0;   ///< of the backdrop's light, in frame widths; positive to the right
  float zoom_gain = 0;  ///< share of the difference between first and last background that a zoom explains, 0..1
};
BackgroundDrift background_drift(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks);

CameraMove camera_of(const BackgroundDrift& drift);

/// The motion of the objects on their stage, the camera's own move taken off.
Motion motion_of(const std::vector<JudgedFrame>& pictures, const std::vector<Track>& tracks, CameraMove camera);

}  // namespace ditscope::world
