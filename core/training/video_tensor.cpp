#include "core/training/video_tensor.h"

#include <ATen/ATen.h>

namespace ditscope {

at::Tensor video_bytes(const RenderedClip& clip) {
  const auto bytes = at::from_blob(const_cast<std::uint8_t*>(clip.rgb.data()), {clip.frames, clip.size, clip.size, 3}, at::kByte);
  return bytes.permute({3, 0, 1, 2});  // (3,F,Y,X)
}

at::Tensor video_values(const at::Tensor& bytes) { return bytes.to(at::kFloat).div_(127.5).sub_(1.0); }

at::Tensor video_tensor(const RenderedClip& clip) { return video_values(video_bytes(clip)); }

}  // namespace ditscope
