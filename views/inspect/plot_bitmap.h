#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "views/inspect/bitmap.h"

namespace ditscope::views {

/// The bitmap of these pixels: the very one that was given out before where it is among the last ones asked for, so that a small
/// picture that is made anew at each paint (a heat map, a colour bar) keeps its texture. Safe on any thread.
std::shared_ptr<const Bitmap> kept_bitmap(int width, int height, std::vector<std::uint8_t> rgba);

}  // namespace ditscope::views
