// What reuses the work of earlier steps, and the numbers that its authors fitted to models.
#include <algorithm>
#include <cmath>

#include "core/catalog/parameters.h"
#include "core/catalog/step_caches.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using namespace entries;

constexpr const char* kTeaCacheCode = "TeaCache, its code";

Parameter threshold(const char* help, const char* formula, const char* source, double value, double maximum, double step) {
  return real({"cache_threshold", "Reuse threshold", help, formula, source}, value, 0, maximum, step);
}

Parameter first_steps(const char* source, std::int64_t value, double per_step = 0) {
  Parameter p = integer({"cache_warmup_steps", "First steps, computed", "The first steps compute every block: they decide the layout and the motion.",
                         "step t computes all for t < warm-up", source},
                        "steps", value, 0, 100);
  p.default_per_step = per_step;
  return p;
}

Parameter last_steps(const char* source, std::int64_t value) {
  return integer({"cache_last_steps", "Last steps, computed", "The last steps compute every block: they decide the fine detail.",
                  "step t computes all for t >= steps - last", source},
                 "steps", value, 0, 100);
}

StepCacheEntry teacache() {
  Parameter limit = threshold("A call is left out while the change since the last computed one stays below it. 0: never.",
                              "acc += poly(mean|m - m'| / mean|m'|); leave out while acc < threshold", kTeaCacheCode, 0.1, 10, 0.005);
  limit.published = {{"HunyuanVideo", 0.1, 0, "1.6x"},    {"HunyuanVideo", 0.15, 0, "2.1x"},   {"CogVideoX1.5-5B", 0.1, 0, "1.3x"},
                     {"CogVideoX1.5-5B", 0.2, 0, "1.8x"}, {"CogVideoX1.5-5B", 0.3, 0, "2.1x"}, {"Wan2.1-1.3B", 0.05},
                     {"Wan2.1-14B", 0.14},                {"Wan2.1-I2V-14B-480P", 0.13},      {"Wan2.1-I2V-14B-720P", 0.18}};
  std::vector<std::string> names{"auto", "identity"};
  for (const TeaCachePolynomial& polynomial : teacache_polynomials()) names.push_back(polynomial.key);
  return {"teacache",
          "TeaCache",
          "A whole call of the transformer is left out, and what the last one added is added again, while its input has changed little.",
          "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model, CVPR 2025, arXiv:2411.19108",
          {limit, first_steps("TeaCache, its code: 1; 5 for Wan with the projected embedding", 1), last_steps(kTeaCacheCode, 1),
           choice({"cache_polynomial", "Change of the output by",
                   "The polynomial that a model's authors fitted. auto: by the model's shape, identity where none is known. identity: the "
                   "change of what the first block reads, as it is.",
                   "poly of degree 4 of the relative change of the time embedding, of what the first block's norm takes from it (projected), or of "
                   "that block's modulated input",
                   kTeaCacheCode},
                  "auto", names)}};
}

StepCacheEntry adacache() {
  return {"adacache",
          "AdaCache",
          "After each computed step, how much the attention of one block has changed decides how many steps reuse it.",
          "Adaptive Caching for Faster Video Generation with Diffusion Transformers, ICCV 2025, arXiv:2411.02397",
          {threshold("Factor on the distances of the codebook: larger reuses more. 0: never.",
                     "interval of the first row with c < factor * distance, else of the last row", "factor 1: AdaCache, its code", 1, 100, 0.05),
           choice({"cache_codebook", "Codebook",
                   "Which distance allows which interval. scaled: the one for 100 steps, its intervals scaled to the run's steps.",
                   "100: {.03:12, .05:10, .07:8, .09:6, .11:4, 1:3}; 30: {.08:6, .16:5, .24:4, .32:3, .40:2, 1:1}", "AdaCache, its code"},
                  "scaled", {"scaled", "100", "30"}),
           first_steps("AdaCache, its code: step 1", 1), last_steps("AdaCache, its code: the last two", 2),
           ratio({"cache_depth", "Block that decides", "How deep the block lies whose attention is compared.",
                  "block round(depth * blocks)", "AdaCache, its code: block 13 of 28"},
                 13.0 / 28, 0),
           on_off({"cache_motion", "Mind motion", "Distances are scaled by how much the frames differ, so that moving content is computed more often.",
                   "c * (mo + |10 (mo - mo') / interval|), mo = (motion / 0.385)^8", "AdaCache, its code: MoReg"},
                  false)}};
}

StepCacheEntry foresight() {
  Parameter limit = threshold("Factor on what each block changed at the end of warm-up: a block that changes less is reused. 0: never.",
                              "reuse l while MSE_l <= gamma * MSE_l(last two of warm-up)", "Foresight, its code: gamma 0.5 for CogVideoX", 0.5,
                              1000, 0.05);
  limit.published = {{"CogVideoX", 0.5}, {"Open-Sora", 1.0}};
  Parameter warmup = first_steps("Foresight, its code: 8 of 50 steps", 8, 0.16);
  warmup.minimum = 2;
  warmup.formula += "; default round(0.16 * steps), at least 2";
  return {"foresight",
          "Foresight",
          "Each block learns in warm-up how much it changes from step to step, and is reused while it changes less than that.",
          "Foresight: Adaptive Layer Reuse for Accelerated and High-Quality Text-to-Video Generation, NeurIPS 2025, arXiv:2506.00329",
          {limit, warmup,
           integer({"cache_period", "Compute all every", "After warm-up every such step computes all blocks and measures them anew.",
                    "step t >= warm-up computes all iff (t - warm-up) mod period = 0", "Foresight, its code: 2"},
                   "steps", 2, 1, 50),
           on_off({"cache_jump", "Reuse", "output: go on from the output of the last block that may be reused, and leave out all before it. "
                   "residual: each such block adds what it added before.",
                   "output: x = C_l of the last reusable l; residual: x += C_l - C_(l-1) for each", "Foresight: its code for CogVideoX takes the output"},
                  true, "output", "residual"),
           choice({"cache_lambda", "Threshold from", "code: what changed between the last two steps of warm-up; paper: over its last three, with "
                   "falling weights.",
                   "λ_l = MSE(W-1); paper: λ_l = MSE(W-1) + MSE(W-2)/10 + MSE(W-3)/100", "Foresight: its code and its paper"},
                  "code", {"code", "paper"}),
           last_steps("Foresight has none", 0)}};
}

StepCacheEntry fbcache() {
  Parameter limit = threshold("The other blocks are left out while what the first ones add has changed less. 0: never.",
                              "mean|r - r'| / mean|r'| <= threshold, r what the first blocks add to the video tokens", "First Block Cache, diffusers", 0.05,
                              10, 0.005);
  limit.published = {{"DBCache", 0.08}, {"First Block Cache", 0.05}};
  Parameter first = integer({"cache_first_blocks", "First blocks, computed", "They are computed at every step and decide over the others.",
                             "F_n", "First Block Cache: 1"},
                            "blocks", 1, 1, 64);
  first.published = {{"DBCache", std::int64_t{8}}};
  Parameter warmup = first_steps("First Block Cache has none", 0);
  warmup.published = {{"DBCache", std::int64_t{8}}};
  return {"fbcache",
          "First Block Cache",
          "The first blocks are always computed; where they add what they added before, the blocks after them are left out.",
          "First Block Cache, ParaAttention (github.com/chengzeyi/ParaAttention); DBCache, cache-dit (github.com/vipshop/cache-dit)",
          {limit, first, warmup,
           integer({"cache_last_blocks", "Last blocks, computed", "They are computed at every step, too, on what was reused.", "B_n",
                    "DBCache: 0"},
                   "blocks", 0, 0, 64),
           integer({"cache_max_steps", "Reuse at most", "So many steps in a row; 0: no limit.", "max continuous cached steps", "DBCache: no limit"},
                   "steps", 0, 0, 100),
           integer({"cache_max_total", "Reuse in all at most", "So many steps of the run; 0: no limit.", "max cached steps", "DBCache: no limit"},
                   "steps", 0, 0, 1000),
           last_steps("First Block Cache has none", 0)}};
}

}  // namespace

const std::vector<StepCacheEntry>& step_caches() {
  static const std::vector<StepCacheEntry> all{teacache(), adacache(), foresight(), fbcache()};
  return all;
}

const StepCacheEntry* step_cache_named(std::string_view key) {
  for (const StepCacheEntry& entry : step_caches()) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

const StepCacheEntry& find_step_cache(std::string_view key) {
  if (const StepCacheEntry* entry = step_cache_named(key)) return *entry;
  std::vector<std::string> keys;
  std::string all;
  for (const StepCacheEntry& entry : step_caches()) {
    keys.push_back(entry.key);
    all += (all.empty() ? "" : ", ") + entry.key;
  }
  const auto nearest = nearest_name(key, keys);
  throw Error(ErrorKind::NotFound, "expected a step cache (" + all + "), got \"" + std::string(key) + "\"" +
                                       (nearest ? "; did you mean " + *nearest + "?" : "; choose one of these"));
}

const std::vector<TeaCachePolynomial>& teacache_polynomials() {
  static const std::vector<TeaCachePolynomial> all{
      {"cogvideox-2b", "CogVideoX", 30, 30, 1, StepSignal::Time,
       {-3.10658903e+01, 2.54732368e+01, -5.92380459e+00, 1.75769064e+00, -3.61568434e-03}, kTeaCacheCode},
      {"cogvideox-5b", "CogVideoX", 42, 48, 1, StepSignal::Time,
       {-1.53880483e+03, 8.43202495e+02, -1.34363087e+02, 7.97131516e+00, -5.23162339e-02}, kTeaCacheCode},
      {"cogvideox1.5-5b", "CogVideoX", 42, 48, 2, StepSignal::Time,
       {2.50210439e+02, -1.65061612e+02, 3.57804877e+01, -7.81551492e-01, 3.58559703e-02}, kTeaCacheCode},
      {"hunyuanvideo", "HunyuanVideo", 60, 24, 1, StepSignal::Modulated,
       {7.33226126e+02, -4.01131952e+02, 6.75869174e+01, -3.14987800e+00, 9.61237896e-02}, kTeaCacheCode},
      {"wan2.1-1.3b", "Wan", 30, 12, 1, StepSignal::Time,
       {2.39676752e+03, -1.31110545e+03, 2.01331979e+02, -8.29855975e+00, 1.37887774e-01}, kTeaCacheCode},
      {"wan2.1-14b", "Wan", 40, 40, 1, StepSignal::Time,
       {-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404}, kTeaCacheCode},
      {"wan2.1-1.3b-projected", "Wan", 30, 12, 1, StepSignal::Projected,
       {-5.21862437e+04, 9.23041404e+03, -5.28275948e+02, 1.36987616e+01, -4.99875664e-02}, kTeaCacheCode},
      {"wan2.1-14b-projected", "Wan", 40, 40, 1, StepSignal::Projected,
       {-3.03318725e+05, 4.90537029e+04, -2.65530556e+03, 5.87365115e+01, -3.15583525e-01}, kTeaCacheCode},
      {"wan2.1-i2v-480p", "Wan", 40, 40, 1, StepSignal::Time,
       {-3.02331670e+02, 2.23948934e+02, -5.25463970e+01, 5.87348440e+00, -2.01973289e-01}, kTeaCacheCode},
      {"wan2.1-i2v-720p", "Wan", 40, 40, 1, StepSignal::Time,
       {-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683}, kTeaCacheCode},
      {"cogvideox1.5-5b-i2v", "CogVideoX", 42, 48, 2, StepSignal::Time,
       {1.22842302e+02, -1.04088754e+02, 2.62981677e+01, -3.06009921e-01, 3.71213220e-02}, "Rectified SpaAttn, its code"},
      {"flux.1-dev", "Flux", 57, 24, 1, StepSignal::Modulated,
       {4.98651651e+02, -2.83781631e+02, 5.58554382e+01, -3.82021401e+00, 2.64230861e-01}, "Rectified SpaAttn, its code"},
  };
  return all;
}

const TeaCachePolynomial* teacache_polynomial(const std::string& family, int layers, int heads, int frame_patch) {
  for (const TeaCachePolynomial& p : teacache_polynomials()) {
    if (p.family == family && p.layers == layers && p.heads == heads && p.frame_patch == frame_patch) return &p;
  }
  return nullptr;
}

const TeaCachePolynomial& teacache_polynomial(std::string_view key) {
  for (const TeaCachePolynomial& p : teacache_polynomials()) {
    if (p.key == key) return p;
  }
  throw Error(ErrorKind::NotFound, "expected a polynomial of TeaCache, got \"" + std::string(key) + "\"; see `ditscope-cli methods`");
}

std::vector<CodebookRow> adacache_codebook(std::string_view key, int steps) {
  if (key == "30") return {{0.08, 6}, {0.16, 5}, {0.24, 4}, {0.32, 3}, {0.40, 2}, {1.00, 1}};
  std::vector<CodebookRow> rows{{0.03, 12}, {0.05, 10}, {0.07, 8}, {0.09, 6}, {0.11, 4}, {1.00, 3}};
  if (key == "100") return rows;
  if (key != "scaled")
    throw Error(ErrorKind::NotFound, "expected a codebook (scaled, 100, 30), got \"" + std::string(key) + "\"; choose one of these");
  for (CodebookRow& row : rows) row.interval_steps = std::max(1, static_cast<int>(std::lround(row.interval_steps * steps / 100.0)));
  return rows;
}

MethodChoice with_step_cache(const MethodChoice& choice, std::string_view text) {
  const auto colon = text.find(':');
  const std::string key(text.substr(0, colon));
  find_step_cache(key);
  if (const std::string& other = find_method(choice.key).step_cache; !other.empty())
    throw Error(ErrorKind::InvalidArgument, "expected a method without a step cache, got \"" + choice.key + "\"; leave one of both out");
  std::string typed = choice.key + "+" + key;
  for (std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1); !rest.empty();) {
    const auto comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    item.remove_prefix(std::min(item.find_first_not_of(' '), item.size()));
    if (item.empty()) continue;
    typed += typed.find(':') == std::string::npos ? ":" : ",";
    typed += (item.starts_with("cache_") ? "" : "cache_") + std::string(item);
  }
  MethodChoice joined = parse_method_choice(typed);
  for (const auto& [name, value] : choice.parameters) joined.parameters[name] = value;
  return joined;
}

}  // namespace ditscope
