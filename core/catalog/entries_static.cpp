// Methods whose masks are the same for every call: they follow the grid of tokens alone.
#include <algorithm>

#include "core/catalog/parameters.h"

namespace ditscope::entries {
namespace {

std::vector<Parameter> window_parameters() {
  Parameter kept = ratio({"kept_ratio", "Window, kept",
                          "Share of the sites of a frame that a token sees, in every frame; text is always kept, so the achieved ratio "
                          "is higher.",
                          "half = floor(floor(sites * kept_ratio) / 2); keep (i,j) iff |site(i) - site(j)| <= half, or i or j is text",
                          "Re-ttention, its code"},
                         1.0 / 32, 1.0 / 512);
  Parameter warmup = warmup_steps("Re-ttention: 15 of 50 steps for CogVideoX-2B", 0.3, 15);
  warmup.published = {{"PixArt-alpha, 20 steps", std::int64_t{5}},
                      {"Hunyuan-DiT, 50 steps", std::int64_t{10}},
                      {"CogVideoX-2B, 50 steps", std::int64_t{15}}};
  return {kept, warmup, refresh_period(), dense_layers("Sparse VideoGen; Re-ttention has none")};
}

MethodEntry window() {
  std::vector<Parameter> parameters = window_parameters();
  Parameter& period = parameters[2];
  period.label = "Full step every";
  period.minimum = 0;
  period.help = "After warm-up every such step attends to everything, as the refreshes of the other methods do; 0: never.";
  period.formula = "step t >= warm-up is full iff period > 0 and (t - warm-up) mod period = 0";
  MethodEntry m = method({"window",
                          "Window only",
                          "A static window around each token's site, in every frame, and nothing that makes up for what it skips.",
                          "The mask of " + find_correction("re-ttention").paper,
                          {}},
                         parameters);
  return m;
}

MethodEntry ditfastattn() {
  return method({"ditfastattn",
                 "DiTFastAttn",
                 "The window, plus the difference between full and window attention remembered from the last refresh.",
                 find_correction("window-residual").paper,
                 {},
                 "window"},
                window_parameters(), &find_correction("window-residual"));
}

MethodEntry rettention() {
  MethodEntry m = method({"re-ttention",
                          "Re-ttention",
                          "The window, scaled row by row to the share of attention it held at the last refresh, plus what the "
                          "skipped tokens gave then.",
                          find_correction("re-ttention").paper,
                          {},
                          "window"},
                         window_parameters(), &find_correction("re-ttention"));
  std::rotate(m.parameters.begin() + 3, m.parameters.begin() + 4, m.parameters.end());  // dense layers last
  return m;
}

}  // namespace

std::vector<MethodEntry> static_methods() {
  return {window(), ditfastattn(), rettention()};
}

}  // namespace ditscope::entries
