#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ditscope {

/// Which of 0 .. count-1: "none", "all", "every:5", or numbers and ranges such as "0,3-5,20-".
class IndexSet {
 public:
  IndexSet() = default;
  /// @throws Error{InvalidArgument} saying what is wrong
  explicit IndexSet(const std::string& text);
  bool contains(int index) const;
  bool empty() const { return ranges_.empty() && every_ == 0; }
  /// As it was given.
  const std::string& text() const { return text_; }
  /// How many of 0 .. count-1.
  int count(int count) const;

 private:
  std::string text_ = "none";
  std::vector<std::pair<int, int>> ranges_;  // first, last
  int every_ = 0;
};

/// What a capture keeps of a run.
struct CaptureOptions {
  enum class Level { Off, Summary, Full };
  Level level = Level::Off;
  std::int64_t budget_bytes = std::int64_t{1} << 30;  ///< the file never grows beyond; 0: no limit
  IndexSet layers, steps;  ///< q, k, v and exact maps are kept of these layers at these steps
  int runs = 1;            ///< that will share the budget
  IndexSet shadow;         ///< steps at which the dense pass runs beside the sparse one

  bool chosen(int step, int layer) const { return layers.contains(layer) && steps.contains(step); }
};

/// "off", "summary", "full". @throws Error{InvalidArgument}
CaptureOptions::Level parse_capture_level(const std::string& text);
const char* capture_level_name(CaptureOptions::Level level);
/// "500000000", "500MB", "1.5 GiB". @throws Error{InvalidArgument}
std::int64_t parse_bytes(const std::string& text);

/// Sizes that a capture's size depends on.
struct CaptureSizes {
  int steps = 0, layers = 0, branches = 0, heads = 0, head_width = 0;
  std::int64_t tokens = 0, text_tokens = 0;
  std::int64_t latent_bytes = 0, text_bytes = 0, preview_bytes = 0, frames_bytes = 0;
  int dense_steps = 0;  ///< steps whose attention is full, refresh or search
};

struct CaptureEstimate {
  std::map<std::string, std::int64_t> parts;  ///< bytes before compression: "latents" "scalars" "maps" "masks" ...
  std::int64_t bytes = 0;                     ///< their sum and 5 % for pages
  std::int64_t essential_step_bytes = 0;      ///< latents and scalars of one step: these always have room
  std::int64_t essential_end_bytes = 0;       ///< last latents and frames
};

/// What a run will write at most; masks of methods that choose anew at every call are counted as such.
CaptureEstimate estimate_capture(const CaptureOptions& options, const CaptureSizes& sizes);

/// A summary keeps the reasons of as many masks of a file; methods that choose anew at every call have one a head and call.
inline constexpr std::int64_t kSummaryReasons = 16;
/// Cells of a map along each axis, at most.
inline constexpr int kMap_cells = 512;
/// Cells of the sampled maps, at most; each has one query row that is measured at every call. A summary takes 16 to 64, by the number
/// of tokens: about a hundredth of them.
std::int64_t sampled_cells(CaptureOptions::Level level, std::int64_t tokens);

}  // namespace ditscope
