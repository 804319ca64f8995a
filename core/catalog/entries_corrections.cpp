// What makes up for the pairs that a plan skips.
#include "core/catalog/parameters.h"

namespace ditscope::entries {
namespace {

constexpr const char* kRettentionPaper =
    "Re-ttention: Ultra Sparse Visual Generation via Attention Statistical Reshape, NeurIPS 2025, "
    "arXiv:2505.22918";

CorrectionEntry rettention() {
  CorrectionEntry c{"re-ttention",
                    "Re-ttention",
                    "Rows are scaled to the share of attention that their kept pairs held at the last refresh, plus what the skipped "
                    "ones gave then.",
                    kRettentionPaper,
                    {refresh_period(), refresh_steps()}};
  c.parameters.push_back(real({"lambda", "Ramp λ, added per sparse step",
                               "How much ρ grows after each sparse step, the same for every row; 0 keeps ρ as the refresh measured it.",
                               "ρ̂_k = ρ_0 + (k-1) λ for the k-th sparse step after a refresh", "Re-ttention, its code"},
                              0.04, 0, 0.2, 0.005));
  c.parameters.push_back(on_off({"clamp", "Clamp ρ at 1", "Keeps ρ̂ from growing above 1 as λ is added.", "ρ̂ = min(1, ρ̂)",
                                 "Re-ttention: the paper states 0 < ρ <= 1, its code does not clamp"},
                                false, "paper", "code"));
  c.parameters.push_back(on_off({"use_rho", "Scale by ρ",
                                 "Off: the kept pairs are not scaled and λ has no effect, as in DiTFastAttn.",
                                 "ρ = exp(LSE_kept - LSE_full) per row; off: ρ̂ = 1", "Re-ttention, Eq. 8 and 9"},
                                true));
  c.parameters.push_back(on_off({"use_residual", "Add residual",
                                 "Adds what the skipped tokens gave at the last refresh. Off frees its memory.",
                                 "R = O_full - ρ O_kept; O_k = ρ̂_k O_kept,k + R", "Re-ttention, Eq. 10"},
                                true));
  c.parameters.push_back(on_off({"ramp_at_once", "Ramp from the first step", "Whether the first sparse step after a refresh has λ added already.",
                                 "paper: ρ̂_k = ρ_0 + k λ; code: ρ_0 + (k-1) λ", "Re-ttention: its paper adds λ after each step, its code after sparse ones"},
                                false, "paper", "code"));
  c.parameters.push_back(residual());
  c.parameters.push_back(residual_rank());
  return c;
}

CorrectionEntry window_residual() {
  return {"window-residual",
          "Residual",
          "Adds the difference between full and sparse attention as it was at the last refresh.",
          "DiTFastAttn: Attention Compression for Diffusion Transformer Models, NeurIPS 2024, arXiv:2406.08552",
          {refresh_period(), residual(), residual_rank()}};
}

CorrectionEntry rectified() {
  CorrectionEntry c{"rectified",
                    "Pooled rectification",
                    "Rows are scaled to the share of attention that their kept blocks hold between block means; skipped blocks give "
                    "their mean value by what is left.",
                    "Rectified SpaAttn: Revitalizing Attention Sparsity for Efficient Video Generation, arXiv:2511.19835",
                    {}};
  c.parameters.push_back(choice({"gain", "Blocks whose pooling loses more than it gains",
                                 "fold: their share is added to the row's scale (the code); drop: it is left out (the paper's figure); "
                                 "off: every skipped block gives its mean value.",
                                 "gain_ij = |q̄_i k̄_j| > |dq_i k̄_j| + |q̄_i dk_j|; R_i = P_text + Σ_{S ∪ ¬gain} P (fold) or Σ_S P (drop)",
                                 "Rectified SpaAttn, its code and its overview figure disagree"},
                                "fold", {"fold", "drop", "off"}));
  c.parameters.push_back(isolated_pooling());
  c.parameters.push_back(block_means());
  return c;
}

CorrectionEntry two_level_residual() {
  return {"two-level-residual",
          "Two-level residual",
          "Adds the difference between full and sparse attention at the last refresh, and a low-rank part of what it changed by since the "
          "refresh before.",
          "QuantSparse: Comprehensively Compressing Video Diffusion Transformer with Model Quantization and Attention Sparsification, "
          "arXiv:2509.23681",
          {refresh_period(),
           on_off({"second_level", "Second level", "Off: the difference alone, the paper's first-order ablation.",
                   "O = O_sparse + D_r + SVD_r(D_r - D_(r-1)); off: O_sparse + D_r", "QuantSparse, its ablation: 17.1 and 18.7 dB"},
                  true),
           integer({"change_rank", "Rank of the change", "Columns of each head that the second level holds.",
                    "SVD_r of D_r - D_(r-1), a head", "QuantSparse: about 16"},
                   "columns", 16, 1, 256),
           residual(), residual_rank()}};
}

CorrectionEntry delta() {
  CorrectionEntry c{"delta",
                    "Delta",
                    "Every so many rows are attended to in full; their difference moves the rows after them.",
                    "Delta Attention: Fast and Accurate Sparse Attention Inference by Delta Correction, arXiv:2505.11254",
                    {}};
  c.parameters.push_back(integer({"delta_stride", "Dense row every",
                                  "One query of so many sees every key; the others of its group move by its difference.",
                                  "O_j = O*_j + Δ_⌊j/γ⌋, Δ_i = O_dense,iγ - O*_iγ", "Delta Attention: γ = 64"},
                                 "rows", 64, 8, 1024));
  c.parameters.push_back(on_off({"delta_rows_only", "Only the dense rows",
                                 "On: the dense rows replace theirs and no other row moves, the paper's ablation.",
                                 "O_iγ = O_dense,iγ alone", "Delta Attention, ablation \"recompute\""},
                                false));
  c.parameters.push_back(on_off({"delta_tail", "Last rows in full",
                                 "On: the last rows see every key, as where a language model writes on from them.",
                                 "the last N mod γ + max(128, γ) rows are O_dense", "Delta Attention, its code"},
                                false));
  return c;
}

CorrectionEntry anchored() {
  CorrectionEntry c{"anchored",
                    "Anchored pooling",
                    "What the skipped pairs gave at the last refresh, moved by the change that attention between group means has seen since; "
                    "how much the kept ones weigh is measured at every step.",
                    "DiTScope auto: docs/methods/ditscope-auto.md",
                    {refresh_period()}};
  c.parameters.push_back(group_tokens());
  c.parameters.push_back(on_off({"measured_mass", "Measure what kept pairs weigh",
                                 "Off: rows keep the rho of the last refresh.",
                                 "ρ = 1 / (1 + e^(LSE_skipped - LSE_kept)); off: ρ of the refresh", "DiTScope auto"},
                                true));
  c.parameters.push_back(on_off({"pooled_change", "Follow the change of means",
                                 "Off: skipped pairs give what they gave at the last refresh.",
                                 "O_skipped = O_skipped,r + u - u_r, u attention between group means; off: O_skipped,r", "DiTScope auto"},
                                true));
  c.parameters.push_back(residual());
  c.parameters.push_back(residual_rank());
  return c;
}

}  // namespace

const std::vector<CorrectionEntry>& all_corrections() {
  static const std::vector<CorrectionEntry> entries{
      {"none", "No correction", "Nothing makes up for what is skipped.", "", {}}, rettention(), window_residual(), rectified(), two_level_residual(),
      delta(), anchored()};
  return entries;
}

}  // namespace ditscope::entries
