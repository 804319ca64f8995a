#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "views/inspect/cairo_canvas.h"

namespace ditscope::cli {

/// What `inspect` draws: a view at a cursor, where it goes, and over what it sweeps.
struct FigureOptions {
  std::string view, size = "900x700", sweep;
  std::vector<std::string> set, lock;
  std::filesystem::path output, data;
  double dpi = 96, text_scale = 1, fps = 4;
  bool light = false;
};

/// "(4,6,8)" or "4,6,8", a number, or a word of the prompt. @throws Error{InvalidArgument, NotFound}
std::vector<std::int64_t> tokens_of(const views::InspectedRun& run, int branch, const std::string& text);

/// Writes the picture, the numbers, or both. @return what was written, for people
std::string write_figure(views::Inspection& inspection, const FigureOptions& options);
/// Where q and k are not stored, a replay by the model makes them. @param model  its folder; empty: where the run's lay
void offer_replay(views::Inspection& inspection, const std::filesystem::path& model, bool quiet);
/// Ids, what they show, their controls.
std::string list_views(views::Inspection& inspection);

}  // namespace ditscope::cli
