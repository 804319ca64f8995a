#pragma once
#include <cstdint>

#include "core/training/world/caption.h"

namespace ditscope::world {

/// Renders a clip: the same scene and size give the same pixels on the same program. One thread, for a trainer that runs many.
/// @param rgb (F,Y,X,3) sRGB bytes, frames * height * width * 3 of them
/// @throws Error{InvalidArgument} where a size or the frame count is below 1
void render(const Scene& scene, int width, int height, int frames, std::uint8_t* rgb);  // (F,Y,X,3)

/// Renders one moment of the clip: 0 is its first frame, 1 its last.
void render_frame(const Scene& scene, float moment, int width, int height, std::uint8_t* rgb);  // (Y,X,3)

}  // namespace ditscope::world
