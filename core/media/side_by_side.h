#pragma once
#include <string>
#include <vector>

#include "core/media/frames.h"

namespace ditscope {

/// One video of a comparison and what its header says.
struct Pane {
  const Frames* frames = nullptr;
  std::string title;   ///< "Re-ttention"
  std::string detail;  ///< "kept 12.5 %  ·  4.1 s  ·  31.2 dB"
};

struct SideBySideOptions {
  int pane_px = 320;  ///< videos narrower than this are enlarged by the smallest whole factor that reaches it
};

/// Composes videos into one, each under a header with its letter (A is the reference), title and detail. Up to three lie in
/// a row, more in a grid as square as it gets. All play at the first one's speed; a shorter one holds its last frame.
/// The result has even sides, so a 4:2:0 encoder adds nothing.
/// @throws Error{InvalidArgument} no pane, an empty video, or videos of different sizes
Frames side_by_side(const std::vector<Pane>& panes, const SideBySideOptions& options = {});

/// Enlarges by a whole factor with Catmull-Rom interpolation, values kept in 0..1. A factor of 1 copies.
Frames enlarge(const Frames& frames, int factor);

}  // namespace ditscope
