#pragma once
#include <string>
#include <vector>

#include "core/attention/calibration.h"
#include "core/pipeline/request.h"

namespace ditscope {

/// What a method is to find out about a model and grid before any run: see Generator::calibrate().
struct CalibrationTask {
  Request request;                   ///< model, size, steps, guidance, and the method with its parameters; the prompt is not used
  std::vector<std::string> prompts;  ///< a few; the first gets the request's seed, the next the seed after it, and so on
  double delta = 0.05;               ///< ditfastattn: loss that a whole step may have; its presets D1..D6 are .025, .05 ... .15
  bool code_loss = false;            ///< ditfastattn: max(a,b) in the loss as its code has it, instead of max(|a|,|b|)
  double kept_ratio = 0.4;           ///< sta: the most that a candidate window may keep
  double l1 = 0.06, pv_l1 = 0.07;    ///< spargeattn: relative L1 error of a head with its blocks, and with skipped products too
  bool paper_grid = false;           ///< spargeattn: similarity by 1/16, cdf to .001, pv_skip to .1, as the paper; else 1/8, 1/256, 1/4
  int sampled_steps = 2;             ///< spargeattn: steps of each prompt that are looked at, spread over the sparse ones
};

}  // namespace ditscope
