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
  kept.published = {{"CogVideoX-2B", 1.0 / 32}, {"PixArt-alpha", 1.0 / 32}, {"Hunyuan-DiT", 1.0 / 32}};
  Parameter warmup = warmup_steps("Re-ttention: 15 of 50 steps for CogVideoX-2B", 0.3, 15);
  warmup.published = {{"PixArt-alpha", std::int64_t{5}, 20},
                      {"Hunyuan-DiT", std::int64_t{10}, 50},
                      {"CogVideoX-2B", std::int64_t{15}, 50}};
  return {kept, warmup, refresh_period(), dense_layers("Sparse VideoGen; Re-ttention has none")};
}

Parameter window_shape() {
  return choice({"window", "Window", "sites: around a token's site, in every frame; band: along the flat order of tokens.",
                 "sites: |site(i) - site(j)| <= half; band: |i - j| <= floor(tokens * kept_ratio / 2)",
                 "sites: Re-ttention and its baseline; band: DiTFastAttn, w = N/8 (kept_ratio 0.25)"},
                "sites", {"sites", "band"});
}

MethodEntry window() {
  std::vector<Parameter> parameters = window_parameters();
  parameters.push_back(window_shape());
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
  std::vector<Parameter> parameters = window_parameters();
  parameters.push_back(window_shape());
  MethodEntry m = method({"ditfastattn",
                          "DiTFastAttn",
                          "The window, plus the difference between full and window attention remembered from the last refresh; steps and "
                          "guidance branches may share outputs.",
                          find_correction("window-residual").paper,
                          {},
                          "window"},
                         parameters, &find_correction("window-residual"));
  const char* code = "DiTFastAttn, Sec. 3";
  m.parameters.push_back(artefact({"plan", "Plan",
                                   "schedule: warm-up, refreshes and sparse steps; or a file in which a search wrote what each step and "
                                   "layer does (ditscope-cli calibrate ditfastattn).",
                                   "per (step, layer): AST, WA-RS+ASC, WA-RS, ASC or FULL, the first that loses less than (l+1)/L delta",
                                   "DiTFastAttn, its greedy search"},
                                  "schedule"));
  m.parameters.push_back(integer({"reuse_period", "Attend every",
                                  "Of the sparse steps between two refreshes only every so-manieth attends; the others take the output "
                                  "before them as it is (AST). 1: all attend.",
                                  "the k-th sparse step attends iff k mod period = 0; else O_k = O_(k-1)", code},
                                 "sparse steps", 1, 1, 50));
  m.parameters.push_back(on_off({"share_branches", "Share branches",
                                 "Sparse steps attend for the conditional branch alone; the unconditional one takes its output (ASC).",
                                 "O_unconditional = O_conditional", code},
                                false));
  m.parameters.push_back(choice({"asc_residual", "Residual of shared branches",
                                 "Where branches share, the residual added: own: the conditional branch's; first-half: that of the first "
                                 "half of the batch, which is the unconditional one.",
                                 "O_cond = W_cond + R_cond, or + R_first", "DiTFastAttn: own follows from the paper, first-half is its code"},
                                "own", {"own", "first-half"}));
  return m;
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

MethodEntry radial() {
  Parameter decay = real({"decay", "Width by distance", "How wide the band between frames is, against half the width at half the distance.",
                          "width(d) = F for d <= 1, else max(B, decay 2^(b(F) - b(d))), b = bit length", "Radial attention, its code"},
                         0.95, 0, 8, 0.05);
  decay.published = {{"HunyuanVideo", 0.95}, {"HunyuanVideo", 1.0, 0, "4 times as long"}, {"Wan2.1-14B", 0.2}, {"Wan2.2-A14B", 0.8}};
  Parameter warmup = warmup_steps("Radial attention: 12 of 50 steps for HunyuanVideo and Wan2.1, 11 of 40 for Wan2.2", 0.24, 12);
  warmup.formula += "; default round(0.24 * steps)";
  Parameter layers = dense_layers("Radial attention: 1 for Wan, 0 for HunyuanVideo");
  layers.published = {{"HunyuanVideo", std::int64_t{0}}, {"Wan2.1-14B", std::int64_t{1}}};
  return method({"radial",
                 "Radial attention",
                 "A static mask: the further apart two frames are, the narrower the band between them, until it is thinned out.",
                 "Radial Attention: O(n log n) Sparse Attention with Energy Decay for Long Video Generation, NeurIPS 2025, "
                 "arXiv:2506.19852",
                 {}},
                {decay, warmup, block_tokens("128", "Radial attention: 128 or 64"),
                 choice({"first_frame_sink", "First frame, kept", "Whether every token sees the first frame; auto: where there is no text.",
                         "keep every column of frame 0", "Radial attention, its code: on for Wan"},
                        "auto", {"auto", "on", "off"}),
                 layers});
}

MethodEntry sta() {
  const auto axis = [](const char* key, const char* label, std::int64_t value) {
    return integer({key, label, "Tiles that a tile sees along this axis, itself included; as many as there are or more: all.",
                    "keep |clamp(q, κ/2, n-1-κ/2) - k| <= floor(κ/2); an even κ spans κ+1",
                    "STA: (3,3,3) at 6x6x6 tiles, and tuned plans such as (5,3,3), (1,6,10), (3,3,5) for HunyuanVideo"},
                   "tiles", value, 1, 64);
  };
  Parameter warmup = warmup_steps("STA: 15 of 50 steps for HunyuanVideo, 12 for Wan", 0.3, 15);
  warmup.published = {{"HunyuanVideo", std::int64_t{15}, 50}, {"Wan2.1", std::int64_t{12}, 50}};
  return method({"sta",
                 "Sliding tile attention",
                 "A static mask: tiles of the grid see the tiles around them.",
                 "Fast Video Generation with Sliding Tile Attention, ICML 2025, arXiv:2502.04507",
                 {}},
                {axis("window_frames", "Window, frames", 3), axis("window_rows", "Window, rows", 3),
                 axis("window_columns", "Window, columns", 3), warmup,
                 choice({"tile", "Tile", "Frames, rows and columns of a tile; auto: 6x8x8 where it divides the grid, else 4x4x4.",
                         "tile-major order of tokens", "STA: 6x8x8 = 384 tokens"},
                        "auto", {"auto", "6x8x8", "4x4x4", "1x8x8"}),
                 artefact({"windows", "Windows by head",
                           "same: one window for all; or a file with the window of every step, layer and head (ditscope-cli calibrate sta).",
                           "argmin over candidates of the L2 distance to full attention, a step, layer and head",
                           "STA: its search on calibration prompts"},
                          "same"),
                 dense_layers("STA has none")});
}

}  // namespace

std::vector<MethodEntry> static_methods() {
  return {window(), ditfastattn(), rettention(), radial(), sta()};
}

}  // namespace ditscope::entries
