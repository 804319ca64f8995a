#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"

namespace ditscope::study {

/// How a method is made to keep more or less: choices of it by position, sparsest first.
struct Knob {
  std::string parameter;                           ///< what moves: "kept_ratio", "threshold", "window_frames/rows/columns"
  std::function<MethodChoice(double position)> at;  ///< 0..1
  std::vector<double> positions;                   ///< all there are; empty: any
};

/// The knob of a method that follows from its parameters; none where no parameter sets what it keeps.
///
/// `base` holds what stays. A share of attention that would keep more than `kept_ratio` asks for (top_p, least_ratio) is set to 0.
/// @throws Error{NotFound} no such method
std::optional<Knob> knob_of(const MethodChoice& base);

/// What a knob gives for one kept ratio.
struct Match {
  double target = 0, achieved = 1;
  bool reached = false;  ///< within kTolerance of the target
  MethodChoice choice;   ///< the nearest one that was tried
};

inline constexpr double kTolerance = 0.15;  ///< of the target: block patterns keep whole blocks

/// For each target the position that keeps nearest to it, by halving intervals in which what is kept grows; every value that was
/// asked for serves all targets.
/// @param kept  the achieved kept ratio of a choice: costly
std::vector<Match> match_ratios(const Knob& knob, const std::vector<double>& targets,
                                const std::function<double(const MethodChoice&)>& kept);

}  // namespace ditscope::study
