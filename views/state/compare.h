#pragma once
#include <string>
#include <vector>

#include "core/media/frames.h"
#include "views/state/camera.h"

namespace ditscope::views {

enum class CompareMode { A, B, Wipe, SideBySide, Difference, Triple };
/// How a - b becomes a picture. Signed: mean over channels through the diverging map; the others channel by channel.
enum class DifferenceMode { Signed, Absolute, Root, Logarithmic };
/// What the third pane of Triple shows.
enum class ThirdPane { WipeVertical, WipeHorizontal, Difference };

const char* compare_mode_name(CompareMode mode);        ///< "Side by side"
const char* difference_mode_name(DifferenceMode mode);  ///< "signed"
const char* third_pane_name(ThirdPane pane);            ///< "Wipe, vertical"

/// Everything that decides what the compare view draws, apart from the clips, the camera and the time.
struct CompareState {
  CompareMode mode = CompareMode::Triple;
  ThirdPane third = ThirdPane::WipeVertical;
  bool wipe_horizontal = false;  ///< orientation of CompareMode::Wipe: the line lies, A above
  double wipe = 0.57;            ///< where the line is, 0..1 of the pane
  bool wipe_follows_mouse = false;
  DifferenceMode difference = DifferenceMode::Absolute;
  double range = 0;       ///< half width of the signed range, top of the others; 0: the 99th percentile of this pair
  int shift_b = 0;        ///< frames that B is ahead
  bool swapped = false;   ///< A and B change places
  bool flicker = false;   ///< while Shift is held: A and B in turn
  double flicker_hz = 2;  ///< 1..8
};

/// What one pane shows.
struct Pane {
  enum class Content { First, Second, Wipe, Difference };
  Rect rect;
  Content content = Content::First;
  bool horizontal = false;  ///< of a wipe
};

/// The panes of a view, left to right. Gaps are `gap` px; panes never get narrower than a px.
std::vector<Pane> layout_panes(const CompareState& state, double width, double height, double gap);
/// Whether the flicker shows the second run at this time. False while it is off.
bool flicker_shows_second(const CompareState& state, double seconds);
/// The next difference mode; comes round.
DifferenceMode next_difference(DifferenceMode mode);
/// Position of the line under a point, clamped into the pane.
double wipe_at(const Pane& pane, Point view);

/// The 99th percentile of |a - b| over all channels of all frames (sampled evenly, at most a million), at least 4/255 so that
/// identical clips do not amplify rounding. 0 where the clips differ in size.
double difference_p99(const Frames& a, const Frames& b, int shift_b);
/// "|A - B|, 0 to 0.31 (p99)": written on the picture, so that nobody has to guess the range.
std::string difference_legend(const CompareState& state, double p99, char first, char second);
/// The range that is drawn: the chosen one or the percentile.
double difference_range(const CompareState& state, double p99);
/// What the shader computes, for tests and for reading values: -1..1 for Signed, 0..1 for the others.
double difference_value(DifferenceMode mode, double a, double b, double range);

}  // namespace ditscope::views
