// Methods whose masks follow the queries and keys of a run.
#include "core/catalog/parameters.h"

namespace ditscope::entries {
namespace {

MethodEntry adaspa() {
  const char* source = "AdaSpa, its settings for HunyuanVideo and CogVideoX1.5";
  Parameter search = choice({"search_steps", "Search at steps",
                             "Steps are full until the first of these; each of them finds the blocks anew, and the steps after it reuse "
                             "them. Steps (10/30) or shares of the run (20%/60%).",
                             "T_s; the first search also gives full attention, later ones use its log-sum-exp",
                             "AdaSpa: {10, 30} of 50 steps"},
                            "20%/60%", {"20%/60%", "20%", "20%/40%/60%", "20%/40%/60%/80%", "0%/60%"});
  search.step_list = true;
  search.published = {{"HunyuanVideo, 50 steps", std::string("10/30")}, {"CogVideoX1.5-5B, 50 steps", std::string("10/30")}};
  return method(
      {"adaspa",
       "AdaSpa",
       "Each row of blocks keeps its heaviest ones, found by an exact search at a few steps; heads that lose little skip more.",
       "AdaSpa: Adaptive Sparse Attention for Efficient Video Generation, ICCV 2025, arXiv:2502.21079",
       {}},
      {kept_ratio(0.2, "Share of the key blocks that a row of blocks keeps, on average over heads; text is always kept.",
                  "k = round(kept_ratio * n) blocks a row, n = ceil(T / block)", "AdaSpa: sparsity 0.8"),
       search, block_tokens("64", "AdaSpa: B = 64"),
       on_off({"head_adaptive", "Levels by head", "Heads that recall much keep half as much, as many of the worst keep more.",
               "m = #{recall > threshold}, at most H/2; best m: kept/2, worst m: 3/2 kept, others: kept", source},
              true),
       ratio({"recall_threshold", "Recall of a good head", "Heads above it count as good, which sets how many change their level.",
              "recall_h = Σ kept mass / Σ mass at the base level", source},
             0.8, 0),
       choice({"selection", "Heaviest blocks of", "rows: every row of blocks keeps as many; head: the heaviest of the whole head.",
               "rows: top k of W_p,:; head: top (1 - σ) n² of W (eq. 14)", "AdaSpa: states head, implements rows"},
              "rows", {"rows", "head"}),
       on_off({"text_in_budget", "Text counts", "Whether the text blocks, always kept, take places of the k.",
               "on: k includes text blocks; off: k visual blocks and all text", "AdaSpa forces text before it sorts; its paper is silent"},
              true),
       on_off({"cached_lse", "Search with cached log-sum-exp",
               "Off: every search is a fused one that gives full attention, the paper's ablation.",
               "W = Σ exp(qk - LSE of the first search); off: LSE of this step", source},
              true),
       dense_layers("AdaSpa has none")});
}

MethodEntry rectified_spaattn() {
  Parameter kept = kept_ratio(0.2, "Least share of the visual key blocks that a row of blocks keeps; neighbours and text come on top.",
                              "n_i = max(int(kept_ratio * N), 1 + #{cumsum P <= top_p})", "Rectified SpaAttn, its code: 1 - drop");
  kept.published = {{"HunyuanVideo 720p", 0.2}, {"Wan2.1-14B 720p", 0.25}, {"FLUX.1-dev 4096 px", 0.1},
                    {"CogVideoX1.5-5B T2V", 0.15}, {"CogVideoX1.5-5B I2V", 0.25}, {"Wan2.2-A14B", 0.15}};
  Parameter warmup = warmup_steps("Rectified SpaAttn, its code: 5 of 50 steps for CogVideoX1.5 and Wan2.1, none for HunyuanVideo", 0.1, 5);
  warmup.formula += "; default round(0.1 * steps)";
  warmup.published = {{"HunyuanVideo 720p", std::int64_t{0}}, {"Wan2.1-14B 720p", std::int64_t{5}},
                      {"CogVideoX1.5-5B", std::int64_t{5}}};
  Parameter layers = dense_layers("Rectified SpaAttn, its code: 2 for Wan");
  layers.published = {{"Wan2.1-14B 720p", std::int64_t{2}}, {"Wan2.2-A14B", std::int64_t{2}}};
  return method({"rectified-spaattn",
                 "Rectified SpaAttn",
                 "Blocks along a Hilbert curve, chosen by attention between block means, which also says how much each row is scaled "
                 "and what skipped blocks give.",
                 find_correction("rectified").paper,
                 {}},
                {kept, warmup,
                 ratio({"top_p", "Attention, at least", "A row keeps its best blocks until they hold so much of the pooled attention.",
                        "n_i = max(top_k, 1 + #{m : cumsum of sorted P <= top_p})", "Rectified SpaAttn, its code: 0.3"},
                       0.3, 0),
                 block_tokens("128", "Rectified SpaAttn: B = 128"),
                 integer({"first_blocks", "First blocks, kept",
                          "The first blocks of the curve always see each other, as the code has it for Wan.",
                          "keep (i,j) for i < ff and j < ff", "Rectified SpaAttn, its code: 28 for Wan at 720p, else 0"},
                         "blocks", 0, 0, 1024),
                 layers},
                &find_correction("rectified"));
}

}  // namespace

std::vector<MethodEntry> dynamic_methods() {
  return {adaspa(), rectified_spaattn()};
}

}  // namespace ditscope::entries
