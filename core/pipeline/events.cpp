#include "core/pipeline/events.h"

#include <cmath>
#include <cstdio>

namespace ditscope {
namespace {

std::string number(double value, const char* format) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// "1.2 of 3.4 GB": both in the unit that suits the total.
std::string amount(double done, double total, const std::string& unit) {
  if (unit != "bytes") return number(done, "%.0f") + " of " + number(total, "%.0f") + (unit.empty() ? "" : " " + unit);
  const double scale = total >= 1e9 ? 1e9 : total >= 1e6 ? 1e6 : 1e3;
  const char* name = total >= 1e9 ? " GB" : total >= 1e6 ? " MB" : " kB";
  return number(done / scale, "%.1f") + " of " + number(total / scale, "%.1f") + name;
}

}  // namespace

const char* step_kind_name(StepRecord::Kind kind) {
  switch (kind) {
    case StepRecord::Kind::Full: return "full";
    case StepRecord::Kind::Refresh: return "refresh";
    case StepRecord::Kind::Sparse: return "sparse";
    case StepRecord::Kind::Search: return "search";
    case StepRecord::Kind::Cached: return "cached";
  }
  return "full";
}

const char* stage_name(StageProgress::Stage stage) {
  switch (stage) {
    case StageProgress::Stage::Loading: return "Loading";
    case StageProgress::Stage::Text: return "Reading the prompt";
    case StageProgress::Stage::Denoising: return "Sampling";
    case StageProgress::Stage::Decoding: return "Decoding";
    case StageProgress::Stage::Encoding: return "Writing the video";
  }
  return "";
}

std::string describe(const StageProgress& progress) {
  std::string text = stage_name(progress.stage);
  if (!progress.detail.empty()) text += " " + progress.detail;
  if (progress.total > 0) text += ", " + amount(progress.done, progress.total, progress.unit);
  return text + ".";
}

}  // namespace ditscope
