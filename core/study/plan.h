#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/study/matching.h"

namespace ditscope::study {

/// What decides the numbers of a study. Prompts, methods and ratios may be added to a folder later, the rest is fixed by its
/// first run.
struct Settings {
  std::filesystem::path model;  ///< empty: the bundled one
  int prompts = 24, steps = 15, frames = 0, height = 0, width = 0;  ///< 0: the model's
  std::uint64_t caption_seed = 7, seed = 42;
  std::string dtype = "mixed";
  int threads = 0;
  std::vector<std::string> methods;  ///< empty: all of the catalog, and leading compositions
  std::vector<double> ratios{0.5, 0.25, 0.125, 0.0625, 0.03125};
  bool ablations = true;
  int ablation_prompts = 12, other_prompts = 3;  ///< how many of the prompts the ablations and the methods at the edge get
};

/// How many cells of a study are full for all methods: 30 % of the steps.
int common_warmup(int steps);

/// A method with the warm-up that all methods of a study share, where it warms up or searches for the first time, and with the
/// smallest blocks it has: on the small grids of a study larger ones cannot skip much.
MethodChoice common_schedule(const std::string& key, int steps);

/// Methods of the catalog that skip something, the leading ones first, then AdaSpa's blocks under other corrections.
std::vector<std::string> studied_methods();
/// Whether a method gets all prompts: the three of the papers, what they are measured against first, and our own.
bool leads(const std::string& key);

/// One row of the study: a method at a kept ratio, or a change of one.
struct Cell {
  std::string id;       ///< "re-ttention@0.03125", "re-ttention@0.03125/lambda=0"
  std::string method;   ///< "re-ttention"
  std::string variant;  ///< "lambda=0", "another seed"; empty: as it stands
  double ratio = 0;     ///< target; 0: the method has none
  MethodChoice choice;
  double matched = 1;   ///< kept ratio found when matching
  bool whole = false;   ///< its schedule is its own: no steps are shared
  int prompts = 0;
};

/// What a knob gave, or that there is none.
struct MethodMatches {
  std::string method;
  std::vector<Match> matches;  ///< empty: it has no knob
};

std::string cell_id(const std::string& method, double ratio, const std::string& variant = "");

/// All cells that matches give: the noise floor, the grid, the ablations.
std::vector<Cell> cells_of(const Settings& settings, const std::vector<MethodMatches>& matches);

/// Prompts and cells in the order in which they are worth running: what the claims need comes first.
struct Task {
  int prompt = 0;
  const Cell* cell = nullptr;
};
std::vector<Task> order_of(const std::vector<Cell>& cells, const Settings& settings);

}  // namespace ditscope::study
