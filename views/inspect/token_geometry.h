#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/capture/capture_reader.h"
#include "views/state/camera.h"

namespace ditscope::views {

/// A rectangle of pixels of frames first_frame .. last_frame of the decoded video.
struct TokenPixels {
  int first_frame = 0, last_frame = 0;
  Rect area;  ///< image px
};

/// Where the tokens of a run come from, and where they lie: raster order (text, then frame, row, column; text last where the model
/// has it last), the order of the attention calls, and the pixels of the video. Token numbers are raster order unless called `call_`.
class TokenGeometry {
 public:
  TokenGeometry() = default;
  explicit TokenGeometry(const CaptureRun& run);

  std::int64_t tokens() const { return text_tokens_ + visual_tokens(); }
  std::int64_t text_tokens() const { return text_tokens_; }
  std::int64_t visual_tokens() const { return std::int64_t{frames_} * rows_ * columns_; }
  std::int64_t visual_begin() const { return text_first_ ? text_tokens_ : 0; }
  int frames() const { return frames_; }
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  bool text_first() const { return text_first_; }
  bool position_major() const { return position_major_; }

  bool is_text(std::int64_t token) const;
  /// -1 where the token is no text. Position in the text span.
  std::int64_t text_index(std::int64_t token) const;
  TokenPlace place(std::int64_t token) const;  ///< frame -1 for text, as token_place() does
  std::int64_t token(int frame, int row, int column) const;
  /// "(4, 6, 8)", or the word of the prompt: "'red'", "(pad 12)".
  std::string name(std::int64_t token, int branch) const;

  std::int64_t to_call(std::int64_t token) const;
  std::int64_t from_call(std::int64_t call_token) const;

  /// Which pixels a visual token covers. Frame 0 of the latents is one frame of the video, each later one several, as causal video
  /// VAEs have it; a model of images has one.
  TokenPixels pixels(std::int64_t token) const;
  /// The visual token over a pixel; -1 outside the picture.
  std::int64_t token_at(int video_frame, double x_px, double y_px) const;
  /// The grid frame that shows a frame of the video.
  int grid_frame(int video_frame) const;

  /// Words of the prompt of a branch: which text tokens each one is made of, in order.
  struct Word {
    std::string text;
    std::vector<std::int64_t> tokens;
  };
  const std::vector<Word>& words(int branch) const;

 private:
  struct Piece {
    std::string text;
    bool special = false;
  };
  std::int64_t text_tokens_ = 0;
  bool text_first_ = true, position_major_ = false;
  int frames_ = 1, rows_ = 1, columns_ = 1;
  int video_frames_ = 1, width_px_ = 0, height_px_ = 0;
  std::vector<std::vector<Piece>> pieces_;  ///< per branch
  std::vector<std::vector<Word>> words_;    ///< per branch
};

}  // namespace ditscope::views
