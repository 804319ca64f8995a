#pragma once
#include "core/attention/layer_call.h"
#include "kernels/block_mask.h"

namespace ditscope {

/// W of Sparse VideoGen's band: with s' = s - 2C/N and width = N (1 - sqrt(1 - s')), 128 floor(width / 128) where there is text, else
/// 128 ceil(width / 128). At least 1, so that a budget that text alone uses up leaves the diagonal.
std::int64_t svg_band_tokens(const TokenLayout& layout, double kept_ratio);

/// The mask that both kinds of heads run, over visual tokens in the head's order and text in place: |q - k| < W or text; without
/// text |q - k| <= W.
/// @param first_frame  also the keys of the first frame's worth of visual tokens
BlockMask svg_mask(const TokenLayout& layout, double kept_ratio, bool first_frame);

}  // namespace ditscope
