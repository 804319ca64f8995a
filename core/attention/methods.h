#pragma once
#include <memory>

#include "core/attention/correction.h"
#include "core/attention/planner.h"
#include "core/catalog/catalog.h"

namespace ditscope {

struct Calibration;

// One maker a plan and one a correction; each takes the parameters of its catalog entry, all of them set.

std::unique_ptr<Method> make_full_attention();

/// DiTFastAttn with a plan of its own, or sharing across steps or branches; null where the parameters ask for none of it.
std::unique_ptr<Method> make_compressed(const ParameterValues& parameters, std::unique_ptr<Planner> window, const ScheduleRule& rule,
                                        int steps, QkPrecision qk);

std::unique_ptr<Planner> make_window(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_adaspa(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_rectified_spaattn(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_svg(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_svg2(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_minference(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_spargeattn(const ParameterValues& parameters, int steps);
/// The same with thresholds of each head in memory; null: those of the parameters.
std::unique_ptr<Planner> make_tuned_spargeattn(const ParameterValues& parameters, std::shared_ptr<const Calibration> tuned);
std::unique_ptr<Planner> make_xattention(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_draftattention(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_rainfusion1(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_rainfusion(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_paroattention(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_radial(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_ditscope_auto(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_sta(const ParameterValues& parameters, int steps);

std::unique_ptr<Correction> make_no_correction(const ParameterValues& parameters);
std::unique_ptr<Correction> make_rettention(const ParameterValues& parameters);
std::unique_ptr<Correction> make_window_residual(const ParameterValues& parameters);
std::unique_ptr<Correction> make_rectified(const ParameterValues& parameters);
std::unique_ptr<Correction> make_two_level_residual(const ParameterValues& parameters);
std::unique_ptr<Correction> make_delta(const ParameterValues& parameters);
std::unique_ptr<Correction> make_anchored(const ParameterValues& parameters);

}  // namespace ditscope
