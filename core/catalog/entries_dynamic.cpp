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
  Parameter kept = kept_ratio(0.2, "Share of the key blocks that a row of blocks keeps, on average over heads; text is always kept.",
                              "k = round(kept_ratio * n) blocks a row, n = ceil(T / block)", "AdaSpa: sparsity 0.8");
  kept.published = {{"HunyuanVideo", 0.2}, {"CogVideoX1.5-5B", 0.2}};
  search.published = {{"HunyuanVideo", std::string("10/30"), 50}, {"CogVideoX1.5-5B", std::string("10/30"), 50}};
  return method(
      {"adaspa",
       "AdaSpa",
       "Each row of blocks keeps its heaviest ones, found by an exact search at a few steps; heads that lose little skip more.",
       "AdaSpa: Adaptive Sparse Attention for Efficient Video Generation, ICCV 2025, arXiv:2502.21079",
       {}},
      {kept, search, block_tokens("64", "AdaSpa: B = 64"),
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
  kept.published = {{"HunyuanVideo", 0.2, 0, "720p"}, {"Wan2.1-14B", 0.25, 0, "720p"}, {"FLUX.1-dev", 0.1, 0, "4096 px"},
                    {"CogVideoX1.5-5B", 0.15, 0, "T2V"}, {"CogVideoX1.5-5B", 0.25, 0, "I2V"}, {"Wan2.2-A14B", 0.15}};
  Parameter warmup = warmup_steps("Rectified SpaAttn, its code: 5 of 50 steps for CogVideoX1.5 and Wan2.1, none for HunyuanVideo", 0.1, 5);
  warmup.formula += "; default round(0.1 * steps)";
  warmup.published = {{"HunyuanVideo", std::int64_t{0}, 50, "720p"}, {"Wan2.1-14B", std::int64_t{5}, 50, "720p"},
                      {"CogVideoX1.5-5B", std::int64_t{5}, 50}};
  Parameter layers = dense_layers("Rectified SpaAttn, its code: 2 for Wan");
  layers.published = {{"Wan2.1-14B", std::int64_t{2}, 0, "720p"}, {"Wan2.2-A14B", std::int64_t{2}}};
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
                 isolated_pooling(), block_means(),
                 on_off({"top_k_rounding", "Rounding of the count", "Which side an inexact product falls on: 900 blocks at 0.2 are 180, or 179.",
                         "top_k = int(kept_ratio N), or int((1 - (1 - kept_ratio)) N) in double precision", "Rectified SpaAttn: its paper and its code"},
                        true, "paper", "code"),
                 layers},
                &find_correction("rectified"));
}

MethodEntry svg() {
  Parameter kept = kept_ratio(0.25, "Share of all pairs that the band and text keep together.",
                              "s' = s - 2 C/N; W = 128 floor(N (1 - sqrt(1 - s')) / 128)", "Sparse VideoGen, its code");
  kept.label = "Band, kept";
  kept.published = {{"CogVideoX1.5-5B", 0.25}, {"HunyuanVideo", 0.25}, {"Wan2.1-14B", 0.3}};
  Parameter warmup = warmup_steps("Sparse VideoGen, its code: 20 % of steps for CogVideoX and Wan T2V, 10 % for HunyuanVideo 720p", 0.2, 10);
  warmup.formula += "; default round(0.2 * steps)";
  warmup.published = {{"CogVideoX1.5-5B", std::int64_t{10}, 50}, {"HunyuanVideo", std::int64_t{5}, 50, "720p"},
                      {"Wan2.1-14B", std::int64_t{10}, 50, "T2V"}};
  Parameter layers = dense_layers("Sparse VideoGen, its code: layers 0 and 1 for CogVideoX, 3 % for others");
  layers.published = {{"CogVideoX1.5-5B", std::int64_t{2}}, {"HunyuanVideo", std::int64_t{1}, 0, "720p"}};
  Parameter rows = integer({"sampled_rows", "Sampled rows", "Query rows on which each head chooses between its two bands.",
                            "argmin of the MSE of both masked outputs over the sampled rows", "Sparse VideoGen, its code: 32 or 64"},
                           "rows", 64, 1, 1024);
  rows.published = {{"CogVideoX1.5-5B", std::int64_t{32}}, {"HunyuanVideo", std::int64_t{64}}, {"Wan2.1-14B", std::int64_t{64}}};
  Parameter sampled_from = integer({"sampled_from", "Sampled among the first", "The rows that decide are drawn from so many first tokens; 0: from all.",
                                    "rows drawn from [0, n)", "Sparse VideoGen, its code: 10000 for HunyuanVideo and Wan, to save memory"},
                                   "tokens", 0, 0, 1000000);
  sampled_from.published = {{"HunyuanVideo", std::int64_t{10000}}, {"Wan2.1-14B", std::int64_t{10000}}};
  return method({"svg",
                 "Sparse VideoGen",
                 "Every head runs one band, over tokens frame after frame or site after site, whichever serves sampled rows better.",
                 "Sparse VideoGen: Accelerating Video Diffusion Transformers with Spatial-Temporal Sparsity, ICML 2025, arXiv:2502.01776",
                 {}},
                {kept, warmup, rows,
                 choice({"profiling", "Profiling blocks", "visual: counted from the first visual token; code: the spatial ones from the first token, text "
                         "included.",
                         "block of token i: floor((i - text) / 128), or floor(i / 128)", "Sparse VideoGen, its code for CogVideoX"},
                        "visual", {"visual", "code"}),
                 sampled_from,
                 choice({"first_frame_sink", "First frame, kept by all", "Keys of the first frame's worth of tokens that every row keeps, whatever its "
                         "band. auto: where there is no text among the tokens.",
                         "k < F in the order that the head runs", "Sparse VideoGen, its code: on for Wan, off for CogVideoX and HunyuanVideo"},
                        "auto", {"auto", "on", "off"}),
                 layers});
}

MethodEntry svg2() {
  const char* source = "SVG2: 100 and 500 in the paper";
  Parameter queries = integer({"query_clusters", "Query clusters", "At most so many groups of like queries a head, one for 16 tokens.",
                               "k-means of the queries, Euclidean", source},
                              "clusters", 100, 1, 4096);
  queries.published = {{"HunyuanVideo", std::int64_t{400}, 0, "720p"}, {"HunyuanVideo", std::int64_t{200}, 0, "480p"}, {"Wan2.1-14B", std::int64_t{300}}};
  Parameter keys = integer({"key_clusters", "Key clusters", "At most so many groups of like keys a head, one for 16 tokens.",
                            "k-means of the keys, Euclidean", source},
                           "clusters", 500, 1, 4096);
  keys.published = {{"HunyuanVideo", std::int64_t{1000}}, {"Wan2.1-14B", std::int64_t{1000}}};
  Parameter warmup = warmup_steps("SVG2: 30 % of steps", 0.3, 15);
  return method({"svg2",
                 "Sparse VideoGen 2",
                 "Queries and keys are sorted into clusters of like tokens, which attend to the clusters that matter to them.",
                 "Sparse VideoGen2: Accelerate Video Generation with Sparse Attention via Semantic-Aware Permutation, NeurIPS 2025, "
                 "arXiv:2505.18875",
                 {}},
                {ratio({"top_p", "Attention, at least", "A cluster of queries keeps its best key clusters until they hold so much.",
                        "keep j, best first, while the row before it holds at most top_p", "SVG2, its code: 0.9"},
                       0.9, 0),
                 warmup,
                 ratio({"least_ratio", "Key clusters, at least", "Share of the key clusters that every row keeps in any case.",
                        "the int(least_ratio * K_k) best", "SVG2, its code: 0.10"},
                       0.1, 0),
                 queries, keys,
                 on_off({"share_centroids", "Branches share centroids",
                         "On: guidance branches begin from one another's centroids, as the code does where it calls them one after the other.",
                         "C0 = centroids of the latest call of the layer, whichever branch", "SVG2, its code for Wan"},
                        false),
                 on_off({"cluster_in_warmup", "Cluster in warm-up",
                         "On: the full steps of warm-up sort their tokens, too, so that the first sparse step begins from their centroids.",
                         "C0 of the first sparse step = centroids of the last full one", "SVG2, its code has it for HunyuanVideo"},
                        false),
                 dense_layers("SVG2: as Sparse VideoGen")});
}

MethodEntry minference() {
  return method({"minference",
                 "MInference",
                 "Every head takes the one of three patterns, sink and band, columns and diagonals, or blocks, that holds most attention.",
                 "MInference 1.0: Accelerating Pre-filling for Long-Context LLMs via Dynamic Sparse Attention, NeurIPS 2024, "
                 "arXiv:2407.02490",
                 {}},
                {kept_ratio(0.125, "Keys that each pattern may keep a row, as a share of all.", "K = kept_ratio * T keys for each pattern",
                            "papers that run it on denoisers: 0.0312 to 0.25"),
                 warmup_steps("AdaSpa's comparison: 10 of 50 steps", 0.2, 10),
                 choice({"pattern", "Pattern", "auto: each head by its attention on 64 rows; else the same for all.",
                         "argmax of the attention mass that a pattern holds on sampled rows", "MInference chooses offline"},
                        "auto", {"auto", "a-shape", "vertical-slash", "block-sparse"}),
                 ratio({"columns_share", "Columns, of vertical-slash", "Share of the keys that its columns take; its diagonals get the rest.",
                        "round down to blocks of 64", "MInference stores every head's pattern as 1000 columns and 6096 diagonals: 0.14"},
                       0.5, 0),
                 dense_layers("none")});
}

MethodEntry spargeattn() {
  return method({"spargeattn",
                 "SpargeAttn",
                 "Blocks chosen by attention between means, but only where the tokens of a block resemble each other.",
                 "SpargeAttn: Accurate Sparse Attention Accelerating Any Model Inference, ICML 2025, arXiv:2502.18137",
                 {}},
                {kept_ratio(0.5, "Share of the key blocks that a row keeps under the rule top-k.", "n = int(kept_ratio * n_k), at least 1",
                            "SpargeAttn, its code: 0.5"),
                 warmup_steps("SpargeAttn has none", 0, 0),
                 choice({"rule", "Rule", "top-k: as many blocks in every row; cdf: the best until they hold a share of attention.",
                         "top-k: int(kept n_k); cdf: #{cumsum P <= tau}, the crossing block left out", "SpargeAttn, its code has both"},
                        "top-k", {"top-k", "cdf"}),
                 ratio({"cdf", "Attention, at most", "What kept blocks may hold together under the rule cdf.", "n = #{cumsum P <= tau}, at least 1",
                        "SpargeAttn, its code: 0.98"},
                       0.98, 0),
                 real({"similarity", "Similarity of a good block", "Blocks whose tokens resemble each other less are kept whole.",
                       "good iff mean cosine over all pairs > theta", "SpargeAttn, its code: -0.1 with top-k, 0.6 with cdf"},
                      -0.1, -1, 1, 0.05),
                 choice({"order", "Order of tokens", "hilbert: along a Hilbert curve, where neighbours resemble each other more.",
                         "a permutation of visual tokens", "SpargeAttn proposes it, its code has none"},
                        "raster", {"raster", "hilbert"}),
                 on_off({"sink", "First key block, kept", "Every row keeps key block 0.", "keep (i, 0)", "SpargeAttn, its code"}, false),
                 real({"pv_skip", "Skip products below 2^-",
                       "Leaves out a kept block where none of its logits comes within so many powers of two of its row's largest so far; needs "
                       "qk=int8. 0: off.",
                       "skip if max over rows of (block maximum - running maximum) + lambda <= 0, log2",
                       "SpargeAttn, its code: 50 is nearly off, tuned 15 to 20"},
                      0, 0, 50, 0.5),
                 artefact({"tuning", "Thresholds by head",
                           "off: the same for all heads; or a file with similarity, cdf and pv_skip a layer and head (ditscope-cli calibrate "
                           "spargeattn), which then take the place of rule and thresholds.",
                           "least tau with relative L1 < l1 for each theta, then least lambda with relative L1 < pv_l1",
                           "SpargeAttn: CogVideoX l1 .06, pv_l1 .07 (2B)"},
                          "off"),
                 dense_layers("SpargeAttn has none")});
}

MethodEntry xattention() {
  return method({"xattention",
                 "XAttention",
                 "Blocks chosen by sums of antidiagonals of the score matrix, taken with a stride.",
                 "XAttention: Block Sparse Attention with Antidiagonal Scoring, ICML 2025, arXiv:2503.16428",
                 {}},
                {ratio({"threshold", "Attention, at least", "A row keeps its best blocks until they hold so much.",
                        "keep j, best first, while the row before it holds at most the threshold", "XAttention: 0.9"},
                       0.9, 0),
                 warmup_steps("XAttention: 5 of 50 steps for HunyuanVideo", 0.1, 5),
                 choice({"stride", "Stride", "Distance of the antidiagonals: larger is cheaper and coarser.", "S x S tiles of scores, one sum each",
                         "XAttention: 8 or 16"},
                        "8", {"4", "8", "16"}),
                 dense_layers("XAttention has none")});
}

MethodEntry draftattention() {
  Parameter kept = kept_ratio(0.25, "Share of the pairs of visual blocks that a head keeps; text is always kept.",
                              "thr = largest of the int((1 - kept) S²) smallest of a head; keep A >= thr", "DraftAttention, its code");
  kept.published = {{"HunyuanVideo", 0.1}, {"Wan2.1-14B", 0.25}};
  Parameter layers = dense_layers("DraftAttention, its code: 2 for HunyuanVideo, 1 for Wan");
  layers.published = {{"HunyuanVideo", std::int64_t{2}}, {"Wan2.1-14B", std::int64_t{1}}};
  return method({"draftattention",
                 "DraftAttention",
                 "Patches of 8 x 16 tokens are blocks; the best pairs of a head by attention between their means are kept.",
                 "DraftAttention: Fast Video Diffusion via Low-Resolution Attention Guidance, arXiv:2505.14708",
                 {}},
                {kept, warmup_steps("DraftAttention, its code: timesteps above 925 to 975 of 1000", 0.05, 3), layers});
}

MethodEntry rainfusion() {
  return method({"rainfusion",
                 "RainFusion 2",
                 "Tiles of 2 frames x 8 x 8 tokens are blocks; each row keeps its best by attention between means, frame 0 and text always.",
                 "RainFusion2.0, arXiv:2512.24086",
                 {}},
                {kept_ratio(0.2, "Share of the key blocks that a row keeps; the first frame and text come on top.",
                            "keep P >= the ceil(kept_ratio * n)-th largest of the row", "RainFusion 2: sparsity 0.8 for video, 0.6 for images"),
                 warmup_steps("RainFusion: the first 10 % of steps", 0.1, 5),
                 choice({"masks", "Blocks chosen", "layer: in every layer; forward: in the first sparse layer of a forward pass, for all of them.",
                         "one selection a (step, layer), or a step", "RainFusion 2: layer follows from the paper, forward is a port of its code"},
                        "layer", {"layer", "forward"}),
                 dense_layers("RainFusion has none")});
}

MethodEntry rainfusion1() {
  const char* source = "RainFusion, arXiv:2505.21036; it gives no value";
  Parameter bandwidth = choice({"bandwidth", "Bandwidth", "Share of frames (spatial heads) or of sites (temporal heads) that a token sees; plus: the "
                                "least of the three with which a head reaches the recall.",
                                "spatial: |f_i - f_j| <= floor(b F / 2); temporal: |site_i - site_j| <= floor(floor(b sites) / 2)",
                                "RainFusion: 0.5 for CogVideoX and HunyuanVideo; RainFusion+ chooses among .5, .25, .125"},
                               "1/2", {"1/2", "1/4", "1/8", "plus"});
  return method({"rainfusion1",
                 "RainFusion 1",
                 "Every head is spatial, temporal or textural by its attention between sampled tokens, and takes that static pattern.",
                 "RainFusion: Adaptive Video Generation Acceleration via Multi-Dimensional Visual Redundancy, arXiv:2505.21036",
                 {}},
                {bandwidth, warmup_steps("RainFusion: the first 10 % of steps", 0.1, 5),
                 ratio({"recall_threshold", "Recall of a pattern, at least", "A head takes a pattern only where it holds so much of the attention; else it "
                        "is textural.", "temporal if recall >= alpha, else spatial if recall >= alpha, else textural", source},
                       0.9, 0),
                 integer({"sample_stride", "Sampled, one token in", "Of the visual tokens, those between which recall is measured.",
                          "every omega-th query and key", source},
                         "tokens", 8, 1, 256),
                 integer({"texture_period", "Classes of a textural head", "Tokens see their own class: 2 keeps about half, 1 everything.",
                          "keep (i,j) iff i mod tau = j mod tau", "RainFusion: about half of the keys"},
                         "classes", 2, 1, 16),
                 dense_layers("RainFusion has none")});
}

MethodEntry paroattention() {
  Parameter kept = kept_ratio(0.3, "Share of the pairs of blocks that a head keeps; text and the last block come on top.",
                              "the round(kept_ratio * n²) largest block sums of a head", "PAROAttention: 0.5, 0.3 or 0.2");
  kept.published = {{"CogVideoX-5B", 0.3}, {"Wan2.1-14B", 0.5}};
  Parameter search = choice({"search_steps", "Search at steps",
                             "These steps are full and find order and blocks; the steps after one reuse them. Steps (0/8/15) or shares of the run.",
                             "masks by step bucket, one for the second half", "PAROAttention calibrates offline, 10 or 30 buckets"},
                            "0%/25%/50%", {"0%/25%/50%", "0%", "20%/60%"});
  search.step_list = true;
  return method({"paroattention",
                 "PAROAttention",
                 "Every head lays its tokens along the order of axes in which its attention is most block-like, and keeps the heaviest blocks.",
                 "PAROAttention: Pattern-Aware ReOrdering for Efficient Sparse and Quantized Attention in Visual Generation Models, "
                 "arXiv:2506.16054",
                 {}},
                {kept, search,
                 ratio({"alpha", "Weight of empty blocks", "How much the share of empty blocks decides over a head's order of axes; the rest is how "
                        "even blocks are.",
                        "argmin of α norm(1 - s) + (1 - α) norm(u)", "PAROAttention gives no value"},
                       0.5, 0),
                 choice({"sparse_term", "Empty blocks count", "1-s: an order with more of them is better; s: worse, as the formula can be read.",
                         "α norm(1 - s) or α norm(s)", "PAROAttention: its text and its formula leave the sign open"},
                        "1-s", {"1-s", "s"}),
                 dense_layers("PAROAttention has none")});
}

MethodEntry ditscope_auto() {
  return method({"ditscope-auto",
                 "DiTScope auto",
                 "The blocks in which group means see most attention, of all heads together; skipped pairs follow the change of the means "
                 "since the last refresh.",
                 find_correction("anchored").paper,
                 {}},
                {kept_ratio(0.03, "Share of all pairs that the heads of a layer spend together on whole blocks; groups come on top.",
                            "the densest blocks by Σ n_a P_ac σ_ac / (n_i n_j) until kept_ratio H T² is spent", "DiTScope auto"),
                 warmup_steps("as Re-ttention: 15 of 50 steps", 0.3, 15), group_tokens(),
                 on_off({"share_heads", "Heads share blocks", "Off: every head spends as much.", "one order of the blocks of all heads; off: one a head",
                         "DiTScope auto"},
                        true),
                 choice({"blocks_by", "Blocks by", "spread: attention between means times how far the logits of the pairs lie apart, which is what "
                         "means miss; mass: attention between means alone.",
                         "W_ij = Σ n_a P_ac σ_ac, σ² = Σ_channels (mean q²)(var k) + (var q) k̄²; mass: σ = 1", "DiTScope auto"},
                        "spread", {"spread", "mass"}),
                 on_off({"share_layers", "Layers share blocks",
                         "Layers spend what they would have kept at the refresh before, or at first in the last step of warm-up, had all drawn "
                         "on one budget. Off: every layer spends as much.",
                         "one order of the blocks of all layers, as they were seen before", "DiTScope auto"},
                        true),
                 dense_layers("none")},
                &find_correction("anchored"));
}

}  // namespace

std::vector<MethodEntry> dynamic_methods() {
  return {adaspa(),     rectified_spaattn(), svg(),        svg2(),           minference(),
          spargeattn(), xattention(),        draftattention(), rainfusion1(), rainfusion(),
          paroattention(), ditscope_auto()};
}

}  // namespace ditscope::entries
