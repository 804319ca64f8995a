// What there is to choose from: methods and schedulers as plain descriptions. A new method adds its entry here.
#include "core/catalog/catalog.h"

namespace ditscope {
namespace {

constexpr const char* kRettentionPaper =
    "Re-ttention: Ultra Sparse Visual Generation via Attention Statistical Reshape, NeurIPS 2025, "
    "arXiv:2505.22918";
constexpr const char* kDitfastattnPaper =
    "DiTFastAttn: Attention Compression for Diffusion Transformer Models, NeurIPS 2024, "
    "arXiv:2406.08552";

Parameter kept_ratio() {
  Parameter p;
  p.key = "kept_ratio";
  p.label = "Window, kept";
  p.kind = ParameterKind::Ratio;
  p.default_value = 1.0 / 32;
  p.minimum = 1.0 / 512;
  p.maximum = 1;
  p.step = 0.001;
  p.logarithmic = true;
  p.help =
      "Share of the sites of a frame that a token sees, in every frame; text is always kept, so the achieved ratio is higher.";
  p.formula = "half = floor(floor(sites * kept_ratio) / 2); keep (i,j) iff |site(i) - site(j)| <= half, or i or j is text";
  p.source = "Re-ttention, its code";
  return p;
}

Parameter warmup_steps() {
  Parameter p;
  p.key = "warmup_steps";
  p.label = "Warm-up, full";
  p.unit = "steps";
  p.kind = ParameterKind::Integer;
  p.default_value = std::int64_t{15};
  p.minimum = 0;
  p.maximum = 100;
  p.step = 1;
  p.help = "The first steps attend to everything: they decide the layout of the video.";
  p.formula = "step t is full for t < warm-up; default round(0.3 * steps)";
  p.source = "Re-ttention: 15 of 50 steps for CogVideoX-2B";
  p.default_per_step = 0.3;
  return p;
}

Parameter refresh_period() {
  Parameter p;
  p.key = "refresh_period";
  p.label = "Refresh every";
  p.unit = "steps";
  p.kind = ParameterKind::Integer;
  p.default_value = std::int64_t{5};
  p.minimum = 1;
  p.maximum = 50;
  p.step = 1;
  p.help = "After warm-up every such step attends to everything and renews what the sparse steps reuse.";
  p.formula = "step t >= warm-up is a refresh iff (t - warm-up) mod period = 0";
  p.source = "Re-ttention, its code";
  return p;
}

Parameter dense_layers() {
  Parameter p;
  p.key = "dense_layers";
  p.label = "First layers, full";
  p.unit = "layers";
  p.kind = ParameterKind::Integer;
  p.default_value = std::int64_t{0};
  p.minimum = 0;
  p.maximum = 64;
  p.step = 1;
  p.help = "The first layers of the transformer stay full at every step.";
  p.formula = "layer l is full for l < dense layers";
  p.source = "Sparse VideoGen; Re-ttention has none";
  return p;
}

Parameter switch_parameter(const char* key, const char* label, bool default_value, const char* on, const char* off,
                           const char* help, const char* formula, const char* source) {
  Parameter p;
  p.key = key;
  p.label = label;
  p.kind = ParameterKind::Switch;
  p.default_value = default_value;
  p.on_label = on;
  p.off_label = off;
  p.help = help;
  p.formula = formula;
  p.source = source;
  return p;
}

Parameter lambda() {
  Parameter p;
  p.key = "lambda";
  p.label = "Ramp λ, added per sparse step";
  p.kind = ParameterKind::Real;
  p.default_value = 0.04;
  p.minimum = 0;
  p.maximum = 0.2;
  p.step = 0.005;
  p.help = "How much ρ grows after each sparse step, the same for every row; 0 keeps ρ as the refresh measured it.";
  p.formula = "ρ̂_k = ρ_0 + (k-1) λ for the k-th sparse step after a refresh";
  p.source = "Re-ttention, its code";
  return p;
}

MethodEntry full() {
  return {"full", "Full attention", "Every token attends to every token: the reference.", "", {}};
}

MethodEntry window() {
  MethodEntry m{"window",
                "Window only",
                "A static window around each token's site, in every frame, and nothing that makes up for what it skips.",
                std::string("The mask of ") + kRettentionPaper,
                {kept_ratio(), warmup_steps(), refresh_period(), dense_layers()}};
  Parameter& period = m.parameters[2];
  period.label = "Full step every";
  period.minimum = 0;
  period.help = "After warm-up every such step attends to everything, as the refreshes of the other methods do; 0: never.";
  period.formula = "step t >= warm-up is full iff period > 0 and (t - warm-up) mod period = 0";
  return m;
}

MethodEntry ditfastattn() {
  return {"ditfastattn",
          "DiTFastAttn",
          "The window, plus the difference between full and window attention remembered from the last refresh.",
          kDitfastattnPaper,
          {kept_ratio(), warmup_steps(), refresh_period(), dense_layers()}};
}

MethodEntry rettention() {
  MethodEntry m{
      "re-ttention",
      "Re-ttention",
      "The window, scaled row by row to the share of attention it held at the last refresh, plus what the skipped tokens "
      "gave then.",
      kRettentionPaper,
      {kept_ratio(), warmup_steps(), refresh_period(), lambda()}};
  m.parameters.push_back(switch_parameter("clamp", "Clamp ρ at 1", false, "paper", "code",
                                          "Keeps ρ̂ from growing above 1 as λ is added.", "ρ̂ = min(1, ρ̂)",
                                          "Re-ttention: the paper states 0 < ρ <= 1, its code does not clamp"));
  m.parameters.push_back(switch_parameter("use_rho", "Scale by ρ", true, "on", "off",
                                          "Off: the window is not scaled and λ has no effect, as in DiTFastAttn.",
                                          "ρ = exp(LSE_window - LSE_full) per row; off: ρ̂ = 1", "Re-ttention, Eq. 8 and 9"));
  m.parameters.push_back(switch_parameter("use_residual", "Add residual", true, "on", "off",
                                          "Adds what the skipped tokens gave at the last refresh. Off frees its memory.",
                                          "R = O_full - ρ O_window; O_k = ρ̂_k O_window,k + R", "Re-ttention, Eq. 10"));
  m.parameters.push_back(dense_layers());
  return m;
}

}  // namespace

const std::vector<MethodEntry>& methods() {
  static const std::vector<MethodEntry> entries{full(), window(), ditfastattn(), rettention()};
  return entries;
}

const std::vector<SchedulerEntry>& schedulers() {
  static const std::vector<SchedulerEntry> entries{
      {"CogVideoXDDIMScheduler", "CogVideoX DDIM", false, "Deterministic: the noise of the seed decides everything."},
      {"CogVideoXDPMScheduler", "CogVideoX DPM", true, "Second order; draws fresh noise at every step after the first."}};
  return entries;
}

}  // namespace ditscope
