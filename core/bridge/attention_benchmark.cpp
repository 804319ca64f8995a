#include "core/bridge/attention_benchmark.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>

#include "core/attention/window_plan.h"
#include "core/bridge/parallel.h"
#include "kernels/block_selection.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/error.h"
#include "kernels/grid_window.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

constexpr const char* kSdpa = "libtorch scaled_dot_product_attention, dense";
constexpr const char* kOwnDense = "own dense";

using Action = std::function<void()>;

double milliseconds(const Action& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

/// Sets an environment variable for a scope and restores what it was.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value, 1);
  }
  ~ScopedVariable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Random inputs of one shape and everything that a case may call on them.
struct Inputs {
  std::int64_t heads, tokens, width;
  at::ScalarType type;
  bool token_major;  ///< (T,H,D) in memory, as models hand them over; else (H,T,D)
  Workers workers;
  at::Tensor q, k, v, out, residual, sums, sums_kept;  // (H,T,D), sums (H,T)

  Inputs(std::int64_t heads, std::int64_t tokens, std::int64_t width, at::ScalarType type, bool token_major)
      : heads(heads),
        tokens(tokens),
        width(width),
        type(type),
        token_major(token_major),
        workers(torch_workers(at::get_num_threads())) {
    at::manual_seed(1);
    for (at::Tensor* tensor : {&q, &k, &v, &out, &residual}) {
      *tensor =
          token_major ? at::randn({tokens, heads, width}).to(type).transpose(0, 1) : at::randn({heads, tokens, width}).to(type);
    }
    sums = at::empty({heads, tokens}, at::kFloat);
    sums_kept = at::empty({heads, tokens}, at::kFloat);
  }

  template <typename T, int kRank>
  static HostView<T, kRank> view(const at::Tensor& tensor) {
    HostView<T, kRank> result;
    result.data = static_cast<T*>(tensor.data_ptr());
    for (int i = 0; i < kRank; ++i) {
      result.shape[i] = tensor.size(i);
      result.stride[i] = tensor.stride(i);
    }
    return result;
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(width)); }

  template <typename Element>
  AttentionArguments<Element> arguments(const BlockMask* mask) const {
    AttentionArguments<Element> a;
    a.q = view<const Element, 3>(q);
    a.k = view<const Element, 3>(k);
    a.v = view<const Element, 3>(v);
    a.scale = scale();
    a.mask = mask;
    a.out = view<Element, 3>(out);
    a.log_sum_exp = view<float, 2>(sums);
    return a;
  }
  template <typename Element>
  void attend_as(const BlockMask* mask) const {
    block_sparse_attention(arguments<Element>(mask), workers);
  }
  void attend(const BlockMask* mask) const { type == at::kFloat ? attend_as<float>(mask) : attend_as<Bfloat16Bits>(mask); }

  template <typename Element>
  void refresh_as(const BlockMask& kept) const {
    const BlockMask skipped = kept.complement();
    SplitArguments<Element> a;
    a.q = view<const Element, 3>(q);
    a.k = view<const Element, 3>(k);
    a.v = view<const Element, 3>(v);
    a.scale = scale();
    a.kept = &kept;
    a.skipped = &skipped;
    a.out = view<Element, 3>(out);
    a.log_sum_exp = view<float, 2>(sums);
    a.log_sum_exp_kept = view<float, 2>(sums_kept);
    a.residual = view<Element, 3>(residual);
    split_attention(a, workers);
  }
  void refresh(const BlockMask& kept) const { type == at::kFloat ? refresh_as<float>(kept) : refresh_as<Bfloat16Bits>(kept); }

  void sdpa() const {
    at::scaled_dot_product_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), {}, 0.0, false, scale());  // (1,H,T,D)
  }
};

/// `kept` random key blocks for every query block of every head. tests/bench/flex_attention.py draws the same.
MaskDescription random_blocks(std::int64_t heads, std::int64_t tokens, int kept) {
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.lists = static_cast<int>(heads);
  d.block_offsets = {0};
  const int blocks = static_cast<int>((tokens + kBlockTokens - 1) / kBlockTokens);
  std::uint32_t state = 1;
  for (std::int64_t m = 0; m < blocks * heads; ++m) {
    std::vector<std::int32_t> row;
    while (static_cast<int>(row.size()) < kept) {
      state = state * 1664525u + 1013904223u;
      const auto block = static_cast<std::int32_t>((state >> 8) % static_cast<std::uint32_t>(blocks));
      if (std::find(row.begin(), row.end(), block) == row.end()) row.push_back(block);
    }
    std::sort(row.begin(), row.end());
    d.key_blocks.insert(d.key_blocks.end(), row.begin(), row.end());
    d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
  }
  for (std::int64_t h = 0; h < heads; ++h) d.list_of_head.push_back(static_cast<std::int32_t>(h));
  return d;
}

TokenLayout layout_of(std::int64_t text, std::int64_t frames, std::int64_t rows, std::int64_t columns) {
  TokenLayout layout;
  layout.text_tokens = text;
  layout.frames = frames;
  layout.rows = rows;
  layout.columns = columns;
  layout.order = TokenOrder::PositionMajor;
  return layout;
}

/// What a case times, and against what.
struct Contest {
  Action ours, peer;
  std::string baseline;
  BlockMask mask;  ///< of which the skipped ratios are reported; dense where it is empty
};

struct Case {
  std::string name, description;
  std::int64_t heads, tokens, width;
  std::function<Contest(const Inputs&)> contest;
  const char* isa = nullptr;  ///< forced
  bool token_major = false;
  std::vector<at::ScalarType> types{at::kBFloat16, at::kFloat};
};

Contest dense(const Inputs& in) {
  return {[&in] { in.attend(nullptr); }, [&in] { in.sdpa(); }, kSdpa, {}};
}

/// Draws the lists once; a call makes the mask of them and attends.
std::function<Contest(const Inputs&)> blocks(int kept, const char* baseline) {
  return [kept, baseline](const Inputs& in) {
    const auto lists = std::make_shared<MaskDescription>(random_blocks(in.heads, in.tokens, kept));
    const bool own = baseline == kOwnDense;
    return Contest{[&in, lists] {
                     const BlockMask mask(*lists);
                     in.attend(&mask);
                   },
                   [&in, own] { own ? in.attend(nullptr) : in.sdpa(); }, baseline, BlockMask(*lists)};
  };
}

std::function<Contest(const Inputs&)> window(const TokenLayout& layout, const char* baseline) {
  return [layout, baseline](const Inputs& in) {
    const bool own = baseline == kOwnDense;
    return Contest{[&in, layout] {
                     const BlockMask mask = window_mask(layout, 1.0 / 32);
                     in.attend(&mask);
                   },
                   [&in, own] { own ? in.attend(nullptr) : in.sdpa(); }, baseline, window_mask(layout, 1.0 / 32)};
  };
}

/// A box of keys around every query of a clip, in raster order.
std::function<Contest(const Inputs&)> box(const TokenGrid& grid, std::int64_t text, const GridWindow& window) {
  return [grid, text, window](const Inputs& in) {
    const auto mask =
        std::make_shared<BlockMask>(grid_window(grid, window, {GridAxis::Frames, GridAxis::Rows, GridAxis::Columns}, text));
    return Contest{[&in, mask] { in.attend(mask.get()); }, [&in] { in.attend(nullptr); }, kOwnDense, *mask};
  };
}

/// Blocks along a Hilbert curve of tokens that lie in raster order: the kernel fetches each by its place, beside the same with q,
/// k, v gathered and the output scattered around it.
template <typename Element>
Contest permuted_as(const Inputs& in) {
  struct State {
    Permutation order;
    BlockMask mask;
    Inputs ordered;
  };
  const auto state = std::make_shared<State>(State{hilbert_order({1, 64, 64}), BlockMask(random_blocks(in.heads, in.tokens, 2)),
                                                   Inputs(in.heads, in.tokens, in.width, in.type, false)});
  const auto moved = [&in, state] {
    const auto order = shared_by_heads(state->order, in.heads);
    for (const auto& [from, to] : {std::pair(&in.q, &state->ordered.q), {&in.k, &state->ordered.k}, {&in.v, &state->ordered.v}})
      gather_tokens(Inputs::view<const Element, 3>(*from), order, Inputs::view<Element, 3>(*to), in.workers);
    state->ordered.attend(&state->mask);
    scatter_tokens(Inputs::view<const Element, 3>(state->ordered.out), order, Inputs::view<Element, 3>(in.out), in.workers);
  };
  const auto fetched = [&in, state] {
    AttentionArguments<Element> a = in.arguments<Element>(&state->mask);
    a.query_tokens = a.key_tokens = shared_by_heads(state->order, in.heads);
    block_sparse_attention(a, in.workers);
  };
  return {fetched, moved, "own gather, sparse kernel, scatter", state->mask};
}

Contest permuted(const Inputs& in) {
  return in.type == at::kFloat ? permuted_as<float>(in) : permuted_as<Bfloat16Bits>(in);
}

Contest refresh(const Inputs& in) {
  const auto mask = std::make_shared<BlockMask>(window_mask(layout_of(0, 1, 64, 64), 1.0 / 32));
  return {[&in, mask] { in.refresh(*mask); }, [&in] { in.attend(nullptr); }, kOwnDense, *mask};
}

/// Scores of all block pairs to the two best a row, to lists, to a mask; beside the kernel that walks it.
Contest list_building(const Inputs& in) {
  const std::int64_t blocks = (in.tokens + kBlockTokens - 1) / kBlockTokens;
  const at::Tensor scores = at::randn({in.heads, blocks, blocks});
  const auto build = [&in, scores, blocks] {
    BlockSelection selection(in.heads, blocks, blocks);
    select_rows(Inputs::view<const float, 3>(scores), {}, {RowRule::top_k(2)}, selection, in.workers);
    MaskDescription d;
    d.queries = d.keys = in.tokens;
    selection.write_lists(d);
    return BlockMask(d);
  };
  const auto mask = std::make_shared<BlockMask>(build());
  return {[build] { build(); }, [&in, mask] { in.attend(mask.get()); }, "own sparse kernel", *mask};
}

std::vector<Case> cases() {
  const TokenLayout cogvideox = layout_of(226, 13, 30, 45), image = layout_of(0, 1, 64, 64);
  return {
      {"dense", "every pair", 8, 4096, 64, dense},
      {"random_blocks_64", "2 of 64 random key blocks a query block, other ones in each head", 8, 4096, 64, blocks(2, kSdpa)},
      {"random_blocks_64_own_dense", "the same against our own dense", 8, 4096, 64, blocks(2, kOwnDense)},
      {"random_blocks_64_token_major", "the same on (T,H,D) memory, as models lay it out", 8, 4096, 64, blocks(2, kSdpa), nullptr,
       true},
      {"random_blocks_64_87", "8 of 64", 8, 4096, 64, blocks(8, kSdpa)},
      {"dense_avx2", "every pair with AVX2", 8, 4096, 64, dense, "avx2", false, {at::kFloat}},
      {"refresh", "out, log-sum-exps and residual of a band of 129 keys", 8, 4096, 64, refresh},
      {"list_building", "top 2 of 64 block scores a row, lists, mask; ratio: the sparse kernel takes so many times as long", 8,
       4096, 64, list_building},
      {"cogvideox_band", "CogVideoX-2B: 226 text tokens, 13 x 30 x 45, window 1/32, position-major", 30, 17776, 64,
       window(cogvideox, kOwnDense)},
      {"cogvideox_window_3d", "CogVideoX-2B, 8 heads: 5 x 9 x 13 keys around a query, frame-major; the mask is made once", 8,
       17776, 64, box({13, 30, 45}, 226, {2, 4, 6})},
      {"permuted_blocks_64",
       "2 of 64 random blocks along a Hilbert curve, tokens fetched in raster order; against gathering them before", 8, 4096, 64,
       permuted, nullptr, true},
      {"pixart_dense", "PixArt 1024 px: every pair", 16, 4096, 72, dense},
      {"pixart_band", "PixArt 1024 px: window 1/32", 16, 4096, 72, window(image, kSdpa)},
      {"wan_1_3b_blocks_64",
       "Wan 1.3B 480p, 1 of 12 heads: 16 of 512 random blocks",
       1,
       32760,
       128,
       blocks(16, kOwnDense),
       nullptr,
       false,
       {at::kBFloat16}},
  };
}

const char* name_of(at::ScalarType type) {
  return type == at::kFloat ? "float32" : "bfloat16";
}

std::string isa_of(at::ScalarType type) {
  for (const std::string& name : available_instruction_sets()) {
    if (type == at::kBFloat16 || name != "avx512bf16") return name;
  }
  return "portable";
}

/// Calls ours and the peer's in turn. Where ours is much faster, several of its calls come between two of the peer's.
AttentionBenchmarkRow run(const Case& c, at::ScalarType type, double seconds) {
  std::optional<ScopedVariable> isa;
  if (c.isa) isa.emplace("DITSCOPE_ISA", c.isa);
  const Inputs inputs(c.heads, c.tokens, c.width, type, c.token_major);
  const Contest contest = c.contest(inputs);
  contest.ours();
  double peer_once = milliseconds(contest.peer);
  const double ours_once = milliseconds(contest.ours);
  const int calls = static_cast<int>(std::clamp(peer_once / ours_once / 8, 1.0, 8.0));
  std::vector<double> ours_ms, peer_ms;
  const auto start = std::chrono::steady_clock::now();
  while (peer_ms.size() < 3 ||
         (peer_ms.size() < 50 && std::chrono::steady_clock::now() - start < std::chrono::duration<double>(seconds))) {
    for (int i = 0; i < calls; ++i) ours_ms.push_back(milliseconds(contest.ours));
    peer_ms.push_back(milliseconds(contest.peer));
  }
  const bool masked = contest.mask.query_blocks() > 0;
  return {c.name,
          name_of(type),
          isa_of(type),
          at::get_num_threads(),
          c.heads,
          c.tokens,
          c.width,
          masked ? 1 - contest.mask.kept_ratio() : 0.0,
          masked ? 1 - contest.mask.kept_ratio_blocks() : 0.0,
          quantile(ours_ms, 0.5),
          quantile(ours_ms, 0.1),
          quantile(ours_ms, 0.9),
          contest.baseline,
          quantile(peer_ms, 0.5)};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> attention_benchmark_cases() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Case& c : cases()) all.emplace_back(c.name, c.description);
  return all;
}

void benchmark_attention(const AttentionBenchmarkOptions& options,
                         const std::function<void(const AttentionBenchmarkRow&)>& show) {
  const c10::NoGradGuard inference;
  if (options.threads > 0) at::set_num_threads(options.threads);
  const std::vector<Case> all = cases();
  const bool exact = std::any_of(all.begin(), all.end(), [&](const Case& c) { return c.name == options.only; });
  bool any = false;
  for (const Case& c : all) {
    if (exact ? c.name != options.only : c.name.rfind(options.only, 0) != 0) continue;
    any = true;
    for (const at::ScalarType type : c.types) {
      if (options.dtype.empty() || options.dtype == name_of(type)) show(run(c, type, options.seconds));
    }
  }
  if (any) return;
  std::string names;
  for (const Case& c : all) names += (names.empty() ? "" : ", ") + c.name;
  throw Error(ErrorKind::NotFound,
              "expected the name of a case or its beginning, got '" + options.only + "'; the cases are " + names);
}

}  // namespace ditscope
