#pragma once
// Internal to the outputs view: its state; outputs_view.cpp answers, outputs_paint.cpp draws.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/outputs_bitmaps.h"
#include "views/inspect/outputs_look.h"
#include "views/inspect/plot_axis.h"
#include "views/inspect/plot_controls.h"
#include "views/state/playback.h"

namespace ditscope::views {

/// A run's video and the frame of it that is shown.
struct OutputSide {
  int run = 0, frame = 0;
  Datum<Frames> frames;
};

struct OutputLayout {
  Rect panes, transport, track, strip_title, strip, words_title, words;  ///< without height: no room
};

inline constexpr const char* kNoFrames = "This run has no frames: it did not end, or there were q, k and v alone. Previews of its steps are in the timeline.";

enum class OutputDrag { None, Pan, Lasso, Wipe, Seek };

class OutputsView final : public ControlledView {
 public:
  OutputsView();
  const ViewInfo& info() const override;
  std::vector<Control> controls(const ViewContext& context) const override;
  void set_control(const std::string& name, const std::string& value) override;
  void paint(Canvas& canvas, const ViewContext& context) override;
  bool pointer(const PointerEvent& event, const ViewContext& context) override;
  bool key(const std::string& key, const ViewContext& context) override;
  bool key_released(const std::string& key, const ViewContext& context) override;
  std::string tooltip(Point at, const ViewContext& context) override;
  std::string spoken(const ViewContext& context) override;
  std::vector<DataArray> data(const ViewContext& context) override;
  bool animated() const override { return playback_.playing || mode() == "flicker"; }

 private:
  /// What is shown: the choice, or flicker while its key is held.
  const std::string& mode() const;
  bool two_at_once() const { return mode() == "wipe" || mode() == "fade" || mode() == "flicker" || mode() == "difference"; }
  OutputLayout lay_out(const ViewContext& context) const;
  std::vector<int> shown_runs(const ViewContext& context) const;
  OutputSide side(const ViewContext& context, int run) const;
  std::vector<Rect> panes_of(const ViewContext& context, const OutputLayout& layout, const Frames* shape) const;
  Datum<TokenLook> look(const ViewContext& context, int run);
  TokenLook::Heat heat() const {
    return chosen("heat") == "rho true" ? TokenLook::Heat::Rho : chosen("heat") == "rho used / true" ? TokenLook::Heat::Drift : TokenLook::Heat::Attention;
  }
  /// Attention needs a token.
  bool has_heat(const ViewContext& context) const { return heat() != TokenLook::Heat::Attention || !context.inspection.locked().empty(); }
  std::string look_title(const ViewContext& context) const;
  /// PSNR of each frame of a run against run A, both as they are shifted.
  Datum<Series> psnr_of(const ViewContext& context, int run) const;
  void follow_lock(const ViewContext& context);
  void follow_clip(const ViewContext& context, const Frames& frames);
  void paint_side(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& side, float alpha = 1);
  void paint_marks(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& side, const OutputSide* less = nullptr, double taken = 0,
                   const OutputSide* second = nullptr);
  void paint_pixels(Canvas& canvas, const Rect& pane, const OutputSide& side, const OutputSide* less, const OutputSide* second) const;
  /// What the wipe shows of the first run and of the second.
  std::pair<Rect, Rect> wiped(const Rect& pane) const;
  void paint_pair(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& first, const OutputSide& second);
  /// @return how far its tag reaches
  double paint_difference(Canvas& canvas, const ViewContext& context, const Rect& pane, const OutputSide& first, const OutputSide& second, bool temporal);
  void paint_transport(Canvas& canvas, const ViewContext& context, const OutputLayout& layout) const;
  void paint_psnr(Canvas& canvas, const ViewContext& context, const Rect& area, double right) const;
  void paint_look(Canvas& canvas, const ViewContext& context, const OutputLayout& layout, const OutputSide& side);
  void paint_lasso(Canvas& canvas, const Rect& pane) const;
  void paint_wipe_line(Canvas& canvas, const ViewContext& context, const Rect& pane) const;
  double wipe_distance(const Rect& pane, Point at) const;
  double range_of(const OutputSide& first, const OutputSide& second, int shift);
  double common_range(const ViewContext& context, const OutputSide& first, const OutputSide& second, bool temporal);
  bool seek_to(double px, const Rect& area);
  void finish_lasso(const ViewContext& context, bool add);

  Camera camera_;
  Playback playback_;
  double seconds_ = -1;  ///< clock of the last paint
  FrameBitmaps bitmaps_;
  double wipe_ = 0.5;
  OutputDrag drag_ = OutputDrag::None;
  Point last_;                  ///< of the pointer
  std::optional<Point> hover_;  ///< image px
  std::vector<Point> outline_;  ///< of the lasso, image px
  Rect drag_pane_;
  std::vector<Rect> word_places_;
  bool held_ = false;  ///< Shift: flicker
  // Looks that are settled, by run, and of what.
  struct Looked {
    std::string key;
    InspectCursor at;
    std::shared_ptr<const TokenLook> look;
  };
  std::map<int, Looked> looks_;
  std::int64_t followed_ = -1;  ///< the locked token whose frame was gone to
  bool frame_chosen_ = false;   ///< before anything was painted
  // The last difference, and of what.
  struct DifferenceOf {
    const Frames *first = nullptr, *second = nullptr;
    int first_frame = 0, second_frame = 0;
    std::string mode;
    double range = 0;
    bool dark = true;
    bool operator==(const DifferenceOf&) const = default;
  };
  std::vector<std::pair<DifferenceOf, std::shared_ptr<const Bitmap>>> differences_;
  std::vector<std::pair<DifferenceOf, double>> ranges_;
};

}  // namespace ditscope::views
