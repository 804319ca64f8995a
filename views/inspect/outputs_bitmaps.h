#pragma once
#include <map>
#include <memory>
#include <vector>

#include "core/media/frames.h"
#include "views/inspect/bitmap.h"

namespace ditscope::views {

/// A frame as a bitmap, 8 bits a channel, rounded. NaN is red, infinity green.
std::shared_ptr<const Bitmap> bitmap_of(const Frames& frames, int frame);

/// Bitmaps of frames that were shown, each made once. Forgets the oldest beyond `most`.
class FrameBitmaps {
 public:
  explicit FrameBitmaps(std::size_t most = 256) : most_(most) {}
  std::shared_ptr<const Bitmap> get(const std::shared_ptr<const Frames>& frames, int frame);

 private:
  struct Entry {
    std::weak_ptr<const Frames> frames;
    std::shared_ptr<const Bitmap> bitmap;
    std::uint64_t used = 0;
  };
  std::map<std::pair<const Frames*, int>, Entry> entries_;
  std::size_t most_;
  std::uint64_t clock_ = 0;
};

}  // namespace ditscope::views
