#pragma once
#include <memory>

#include "core/attention/correction.h"
#include "core/attention/planner.h"
#include "core/catalog/catalog.h"

namespace ditscope {

// One maker a plan and one a correction; each takes the parameters of its catalog entry, all of them set.

std::unique_ptr<Method> make_full_attention();

std::unique_ptr<Planner> make_window(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_adaspa(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_rectified_spaattn(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_svg(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_svg2(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_minference(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_spargeattn(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_xattention(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_draftattention(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_rainfusion(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_paroattention(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_radial(const ParameterValues& parameters, int steps);
std::unique_ptr<Planner> make_sta(const ParameterValues& parameters, int steps);

std::unique_ptr<Correction> make_no_correction(const ParameterValues& parameters);
std::unique_ptr<Correction> make_rettention(const ParameterValues& parameters);
std::unique_ptr<Correction> make_window_residual(const ParameterValues& parameters);
std::unique_ptr<Correction> make_rectified(const ParameterValues& parameters);
std::unique_ptr<Correction> make_delta(const ParameterValues& parameters);

}  // namespace ditscope
