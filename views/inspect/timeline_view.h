#pragma once
// Internal to the timeline: its state; timeline_view.cpp answers, timeline_paint.cpp draws.
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/outputs_bitmaps.h"
#include "views/inspect/plot_controls.h"
#include "views/inspect/plot_memo.h"
#include "views/inspect/plot_values.h"
#include "views/inspect/timeline_range.h"

namespace ditscope::views {

inline constexpr double kRatioOctaves = 0.5;  ///< colour range of the ratio lane, either side of 1

struct TimelineLanes {
  Rect header, body;                             ///< what the lanes are scrolled in
  Rect kept, ratio, error, time, preview;        ///< without height: left out; they may lie outside of the body
  double height = 0;                             ///< of all lanes
  double most_scroll() const { return height > body.height + 0.5 ? height - body.height : 0; }
};

/// Lanes fill the height that there is; where it is too little they keep a height that can be read, and scroll.
/// @param which  "all", "figures" or "previews"   @param column_px  width of a step
TimelineLanes lay_out_timeline(const ViewContext& context, const std::string& which, double column_px, double scroll_px);
/// Where lanes lie from left to right.
Rect timeline_columns(const ViewContext& context);

/// The numbers behind the lanes.
struct TimelineFigures {
  Series kept, ratio, error, time, reference_time, age;
  std::optional<Divergence> divergence;
  std::vector<std::string> actions;
  bool loading = false;
  std::string problem;
};

class TimelineView final : public ControlledView {
 public:
  TimelineView()
      : ControlledView({choice_control("scope", "Scope", {"run", "layer", "head"},
                                       "Means over all heads of the run, over the layer under the cursor, or its head alone."),
                        choice_control("error", "Error", {"error_l1_ratio", "error_ratio", "error_cosine", "latent_error_ratio"},
                                       "Of the attention output: L1, L2, 1 - cosine; or of the latents against run A."),
                        choice_control("lanes", "Lanes", {"all", "figures", "previews"}, "Which lanes; the wheel over their names scrolls where they do not fit."),
                        number_control("tolerance", "Tolerance", 0.05, 0, 100, "First divergence is where a head's error first passes this.")}) {}

  const ViewInfo& info() const override {
    static const ViewInfo kInfo{"timeline",
                                "Timeline",
                                "What each step did: how much it kept, how far its denominator and its output were off, how long it took.",
                                "kept ratio = pairs kept / all pairs, text included; error = |O - O full|1 / |O full|1; outline = run A's time",
                                "Re-ttention, arXiv:2505.22918, Eq. 6 and 8; AdaSpa, arXiv:2502.21079",
                                "drag scrub, wheel zoom, W A S D, F all",
                                280};
    return kInfo;
  }

  void paint(Canvas& canvas, const ViewContext& context) override;
  bool pointer(const PointerEvent& event, const ViewContext& context) override;
  bool key(const std::string& key, const ViewContext& context) override;
  std::string tooltip(Point at, const ViewContext& context) override;
  std::string spoken(const ViewContext& context) override;
  std::vector<DataArray> data(const ViewContext& context) override;

 private:
  const TimelineFigures& fetch(const ViewContext& context);
  TimelineFigures make(const ViewContext& context, const std::vector<Datum<HeadValues>>& data) const;
  /// "L1 to 0.197": what is measured and what a full bar is.
  std::string error_unit(const Series& error) const {
    const std::string& of = chosen("error");
    const std::string name = of == "error_l1_ratio" ? "L1" : of == "error_ratio" ? "L2" : of == "error_cosine" ? "1 - cos" : "latents";
    Extent extent;
    extent.add(error);
    return extent.empty() ? name : name + " to " + plot_number(extent.high, extent.high < 0.1 ? 0.001 : 0.01);
  }
  Rect cell(const TimelineRange& range, int step, const Rect& lane, double gap) const {
    const double from = range.place(step, lane), to = range.place(step + 1, lane);
    return {from, lane.y, std::max(to - from - gap, 0.5), lane.height};
  }
  TimelineLanes lanes_of(const ViewContext& context) const;
  bool scroll_by(const ViewContext& context, double px);
  void paint_scroll(Canvas& canvas, const ViewContext& context, const TimelineLanes& lanes) const;
  void paint_header(Canvas& canvas, const ViewContext& context, const TimelineLanes& lanes, const TimelineRange& range, int steps) const;
  void paint_kept(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) const;
  void paint_ratio(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) const;
  void paint_error(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown);
  void paint_time(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range, const TimelineFigures& shown) const;
  void paint_previews(Canvas& canvas, const ViewContext& context, const Rect& lane, const TimelineRange& range);
  bool jump(const ViewContext& context, const Divergence& to) const;

  TimelineRange range_;
  bool scrubbing_ = false, scrolling_ = false;
  double scroll_ = 0, last_y_ = 0;  ///< units of length; px of the pointer
  Rect arrow_;  ///< where "first divergence" was painted last
  FrameBitmaps bitmaps_{512};
  Memo<TimelineFigures> shown_;
};

}  // namespace ditscope::views
