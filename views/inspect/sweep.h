#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "views/inspect/cairo_canvas.h"

namespace ditscope::views {

/// The pictures of a view at all steps, layers or heads of a run, one after another: a video.
class Sweep {
 public:
  /// @param from  the run, and what stays
  /// @param over  "step", "layer" or "head"
  /// @throws Error{NotFound} the run has no complete step; Error{InvalidArgument} another axis, or more pictures than memory should hold
  Sweep(const Inspection& inspection, const InspectCursor& from, const std::string& over, const Sheet& sheet, double fps);

  int count() const { return static_cast<int>(stops_.size()); }
  int done() const { return done_; }
  const InspectCursor& next() const { return stops_.at(static_cast<std::size_t>(done_)); }
  /// Paints the next picture. @return false while its data are on their way: to be called again
  bool paint_next(InspectView& view, Inspection& inspection, const Theme& theme);
  /// As MP4 or GIF, by the ending; the file is whole or not there. @throws Error{InvalidArgument} another ending; as write_video(), write_gif()
  void write(const std::filesystem::path& file) const;
  /// @throws Error{InvalidArgument} a name that is none of a video
  static void expect_video(const std::filesystem::path& file);

 private:
  std::vector<InspectCursor> stops_;
  Sheet sheet_;
  Frames frames_;
  int done_ = 0;
};

}  // namespace ditscope::views
