#pragma once
#include "core/attention/layer_call.h"
#include "kernels/block_mask.h"

namespace ditscope {

/// The static window of Re-ttention: query i keeps key j iff one of them is text or |site(i) - site(j)| <= half, where site is
/// the position within its frame in raster order and half = floor(floor(sites * kept_ratio) / 2). The same window lies in every
/// frame; with one frame it is a band along the raster, truncated at its ends. The diagonal is always kept.
///
/// Position-major tokens make it one band; frame-major ones one interval per frame. Both keep the same pairs.
/// @see Re-ttention, its code (github.com/cccrrrccc/Re-ttention)
BlockMask window_mask(const TokenLayout& layout, double kept_ratio);

/// DiTFastAttn's: |i - j| <= floor(visual tokens * kept_ratio / 2) along the visual tokens as they come; text always.
BlockMask band_mask(const TokenLayout& layout, double kept_ratio);

}  // namespace ditscope
