#include "core/catalog/parameters.h"

#include <algorithm>
#include <utility>

namespace ditscope::entries {
namespace {

Parameter base(const About& about, ParameterKind kind, ParameterValue value) {
  Parameter p;
  p.key = about.key;
  p.label = about.label;
  p.kind = kind;
  p.default_value = std::move(value);
  p.help = about.help;
  p.formula = about.formula;
  p.source = about.source;
  return p;
}

}  // namespace

Parameter ratio(const About& about, double value, double minimum, double maximum) {
  Parameter p = base(about, ParameterKind::Ratio, value);
  p.minimum = minimum;
  p.maximum = maximum;
  p.step = 0.001;
  p.logarithmic = minimum > 0 && maximum / minimum > 100;
  return p;
}

Parameter real(const About& about, double value, double minimum, double maximum, double step) {
  Parameter p = base(about, ParameterKind::Real, value);
  p.minimum = minimum;
  p.maximum = maximum;
  p.step = step;
  return p;
}

Parameter integer(const About& about, const char* unit, std::int64_t value, std::int64_t minimum, std::int64_t maximum) {
  Parameter p = base(about, ParameterKind::Integer, value);
  p.unit = unit;
  p.minimum = static_cast<double>(minimum);
  p.maximum = static_cast<double>(maximum);
  p.step = 1;
  return p;
}

Parameter choice(const About& about, const char* value, std::vector<std::string> choices) {
  Parameter p = base(about, ParameterKind::Choice, std::string(value));
  p.choices = std::move(choices);
  return p;
}

Parameter artefact(const About& about, const char* value) {
  Parameter p = choice(about, value, {value});
  p.artefact = true;
  return p;
}

Parameter on_off(const About& about, bool value, const char* on, const char* off) {
  Parameter p = base(about, ParameterKind::Switch, value);
  p.on_label = on;
  p.off_label = off;
  return p;
}

Parameter warmup_steps(const char* source, double default_per_step, std::int64_t of_50_steps) {
  Parameter p = integer({"warmup_steps", "Warm-up, full", "The first steps attend to everything: they decide the layout of the video.",
                         "step t is full for t < warm-up", source},
                        "steps", of_50_steps, 0, 100);
  p.default_per_step = default_per_step;
  if (default_per_step == 0.3) p.formula += "; default round(0.3 * steps)";
  return p;
}

Parameter refresh_period() {
  return integer({"refresh_period", "Refresh every",
                  "After warm-up every such step attends to everything and renews what the sparse steps reuse.",
                  "step t >= warm-up is a refresh iff (t - warm-up) mod period = 0", "Re-ttention, its code"},
                 "steps", 5, 1, 50);
}

Parameter refresh_steps() {
  Parameter p = choice({"refresh_steps", "Refresh at",
                        "period: every so many steps after warm-up; or a list of steps of the run (5/10/15) or shares of it (25%/50%/75%), which takes "
                        "the place of the period. The first sparse step of all is a refresh in any case.",
                        "step t is a refresh iff t is in the list", "Re-ttention, its code for PixArt-alpha: {5, 10, 15}, whatever the warm-up"},
                       "period", {"period", "5/10/15", "25%/50%/75%"});
  p.step_list = true;
  p.published = {{"PixArt-alpha", std::string("5/10/15"), 20}};
  return p;
}

Parameter dense_layers(const char* source, std::int64_t value) {
  return integer({"dense_layers", "First layers, full", "The first layers of the transformer stay full at every step.",
                  "layer l is full for l < dense layers", source},
                 "layers", value, 0, 64);
}

Parameter kept_ratio(double value, const char* help, const char* formula, const char* source) {
  return ratio({"kept_ratio", "Blocks, kept", help, formula, source}, value, 1.0 / 512);
}

Parameter block_tokens(const char* value, const char* source) {
  return choice({"block_tokens", "Block", "Tokens of a block of queries or keys: what is kept or skipped as a whole.",
                 "blocks of so many tokens in the order in which the method lays them", source},
                value, {"64", "128"});
}

Parameter qk() {
  return choice({"qk", "Precision of QK",
                 "int8: sparse steps form their logits from 8-bit integers, one scale for 128 queries or 64 keys, keys without their mean; "
                 "int8-token: one scale a token; int8-unsmoothed: the mean left in. Full steps and refreshes stay as they are.",
                 "x = round((x - mean) 127 / max|x - mean|) by group; S = scale s_q s_k (q k^T in int32)",
                 "SageAttention, arXiv:2410.02367: blocks of 128 and 64, K smoothing"},
                "float", {"float", "int8", "int8-token", "int8-unsmoothed"});
}

Parameter residual() {
  return choice({"residual", "Residual, kept as",
                 "What a refresh measured is held until the next one: as computed (the type of the run), in 32, 16 or 8 bits, or as the "
                 "best approximation of low rank, a head; host: as computed, in the host's memory, for a GPU that has too little.",
                 "fp8: e4m3, one scale max|R|/448 a head and channel; low_rank: R = U V^T of residual_rank columns",
                 "Re-ttention: the model's type; low rank as QuantSparse"},
                "as-computed", {"as-computed", "float32", "bf16", "fp8", "low_rank", "host"});
}

Parameter residual_rank() {
  return integer({"residual_rank", "Rank of the residual", "Columns of each head that residual=low_rank holds.",
                  "R (T,D) = U (T,r) V (D,r)^T, the r largest singular values", "QuantSparse: r about 16"},
                 "columns", 16, 1, 256);
}

Parameter group_tokens() {
  return choice({"group_tokens", "Group", "Neighbouring tokens that one mean stands for; text tokens stand for themselves.",
                 "groups of so many visual tokens in the order of the plan", "DiTScope auto: 16"},
                "16", {"8", "16", "32", "64"});
}

Parameter isolated_pooling() {
  return on_off({"isolated_pooling", "Text apart", "Off: text keys are pooled in blocks like visual ones, the paper's ablation.",
                 "P_i,text = Σ_t e^(q̄_i k_t) / Z_i; off: t runs over means of blocks of text, weighed by their tokens",
                 "Rectified SpaAttn: isolated pooling (IPAR)"},
                true);
}

Parameter block_means() {
  return choice({"block_means", "Blocks that are not full",
                 "tokens: means and weights of a block count the tokens it has; padded: it is filled up with zeros and counts as full.",
                 "k̄_j = Σ k / n_j, weight n_j; padded: Σ k / B, weight B", "Rectified SpaAttn: tokens follows from the paper, padded is its code for Wan"},
                "tokens", {"tokens", "padded"});
}

MethodEntry method(MethodEntry about, std::vector<Parameter> plan, const CorrectionEntry* correction) {
  about.plan_parameters = plan;
  about.plan_parameters.push_back(qk());
  about.parameters = std::move(plan);
  if (about.plan.empty()) about.plan = about.key;
  if (correction != nullptr) {
    about.correction = correction->key;
    for (const Parameter& parameter : correction->parameters) {
      const bool known = std::any_of(about.parameters.begin(), about.parameters.end(),
                                     [&](const Parameter& p) { return p.key == parameter.key; });
      if (!known) about.parameters.push_back(parameter);
    }
  }
  about.parameters.push_back(qk());
  return about;
}

}  // namespace ditscope::entries
