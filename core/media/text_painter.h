#pragma once
#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "core/media/frames.h"

namespace ditscope {

/// Draws anti-aliased text into frames with the font that is built into the program (Inter Medium). Not thread-safe.
class TextPainter {
 public:
  using Colour = std::array<float, 3>;

  TextPainter();
  ~TextPainter();
  TextPainter(const TextPainter&) = delete;
  TextPainter& operator=(const TextPainter&) = delete;

  /// Width that draw() would cover.
  int width_px(std::string_view utf8, int size_px);
  /// Draws into one frame, blending by coverage; what falls outside is cut off. Broken UTF-8 and characters that the font
  /// lacks show as the font's empty box.
  /// @param left,baseline  px from the top left corner
  void draw(Frames& frames, int index, int left, int baseline, std::string_view utf8, int size_px, Colour colour);
  /// The text itself, or as much of its beginning as fits with an ellipsis behind it.
  std::string fit(std::string_view utf8, int size_px, int room_px);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ditscope
