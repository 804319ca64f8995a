#include "views/inspect/sweep.h"

#include <cmath>

#include "core/media/gif_writer.h"
#include "core/media/video_writer.h"
#include "kernels/error.h"

namespace ditscope::views {
namespace {

/// Pictures wait for their video as 32-bit floats.
constexpr std::size_t kMost_bytes = std::size_t{4} << 30;

std::vector<InspectCursor> stops_of(const Inspection& inspection, const InspectCursor& from, const std::string& over) {
  const InspectedRun& run = inspection.run(from.run);
  std::vector<InspectCursor> stops;
  const auto add = [&](int InspectCursor::*field, int value) {
    stops.push_back(from);
    stops.back().*field = value;
  };
  if (over == "step") {
    for (const CaptureStep& step : run.steps) add(&InspectCursor::step, step.step);
  } else if (over == "layer") {
    for (int layer = 0; layer < run.record.model.layers; ++layer) add(&InspectCursor::layer, layer);
  } else if (over == "head") {
    for (int head = 0; head < run.record.model.heads; ++head) add(&InspectCursor::head, head);
  } else {
    throw Error(ErrorKind::InvalidArgument, "expected a sweep over step, layer or head, got '" + over + "'");
  }
  if (stops.empty()) throw Error(ErrorKind::NotFound, "The run has no complete step to sweep over.");
  return stops;
}

}  // namespace

Sweep::Sweep(const Inspection& inspection, const InspectCursor& from, const std::string& over, const Sheet& sheet, double fps)
    : stops_(stops_of(inspection, from, over)), sheet_(sheet) {
  frames_ = {count(), static_cast<int>(std::lround(sheet.height_px * sheet.ratio)), static_cast<int>(std::lround(sheet.width_px * sheet.ratio)), fps, {}};
  const std::size_t values = frames_.frame_size() * stops_.size();
  if (values > kMost_bytes / sizeof(float)) {
    throw Error(ErrorKind::InvalidArgument, std::to_string(count()) + " pictures of " + std::to_string(frames_.width) + " x " + std::to_string(frames_.height) +
                                                " pixels need more than 4 GB while they wait; choose a smaller size");
  }
  frames_.rgb.resize(values);
}

bool Sweep::paint_next(InspectView& view, Inspection& inspection, const Theme& theme) {
  CairoCanvas canvas(CairoCanvas::Format::Pixels, sheet_, theme);
  paint_view(canvas, view, inspection, next(), theme, sheet_);
  if (inspection.loading()) return false;
  canvas.copy_to(frames_, done_);
  ++done_;
  return true;
}

void Sweep::expect_video(const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  if (ending != ".mp4" && ending != ".gif") throw Error(ErrorKind::InvalidArgument, "A sweep is a video: give it a name that ends in .mp4 or .gif.");
}

void Sweep::write(const std::filesystem::path& file) const {
  expect_video(file);
  if (file.extension() == ".gif") return write_gif(frames_, file, {.fps = frames_.fps});
  VideoOptions options;
  options.sidecar = false;
  options.fps = frames_.fps;
  write_video(frames_, file, options);
}

}  // namespace ditscope::views
