// AdaSpa: every row of blocks keeps its heaviest blocks, found exactly at a few search steps and reused by the steps after them.
//
// Xia et al., ICCV 2025, arXiv:2502.21079, text last, blocks of B tokens, n = ceil(T/B):
//   LSE_r  = log sum over c of exp(scale q_r k_c)
//   W_pq   = sum over r in p, c in q of exp(scale q_r k_c - LSE_r)             Alg. 1 and 2 (which print log where it must be exp)
//   keep   = the k = round(kept n) largest of each row of W, text rows and columns always
//   Recall = sum over kept W_pq / sum over all W_pq
//   levels: m = #{heads with Recall > 0.8 at the base level}; the m best keep kept/2, i.e. sigma_hi = (1+sigma)/2; the m worst
//           3/2 kept, sigma_lo = (3 sigma-1)/2; the others keep k. One sort of a row serves all levels.
//   steps before T_s[0] are full; T_s[0]: LSE and W come with full attention (fused search); later T_s: W from q, k and the cached
//   LSE, and the step is sparse by the new blocks; all other steps are sparse by the latest blocks.
//
// Differs from the paper, or fills what it leaves open:
// - The paper states the top (1-sigma) n^2 of a head (eq. 14) and implements rows; `selection` reaches both.
// - k counts text blocks, as the algorithm forces text before it sorts; `text_in_budget=off` gives k to visual blocks alone.
// - A block that holds text and visual tokens counts as text. m is at most H/2, and sigma_lo at least 0.
// - The fused search computes W beside the softmax in one pass; the paper's takes two.
// - Recall is taken over the whole of W, divided by the sum of W, since with a stale LSE rows do not sum to B.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/attention/block_grid.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/bridge/block_scores.h"
#include "kernels/keep_reason.h"

namespace ditscope {
namespace {

struct AdaSpaParameters {
  double kept_ratio = 0.2;
  std::vector<int> search_steps;
  std::int64_t block_tokens = 64;
  bool head_adaptive = true, rows = true, text_in_budget = true, cached_lse = true;
  double recall_threshold = 0.8;
};

class AdaSpa final : public Planner {
 public:
  explicit AdaSpa(const AdaSpaParameters& parameters) : p_(parameters) {}

  std::unique_ptr<Planner> clone() const override { return std::make_unique<AdaSpa>(*this); }
  std::optional<double> requested_kept_ratio() const override { return p_.kept_ratio; }
  int replay_from(int step) const override { return std::min(step, p_.search_steps.front()); }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    const std::vector<std::int64_t> shape = call.q.sizes().slice(1).vec();
    if (state.shape != shape || !same_layout(state.layout, call.layout)) state = {};
    if (state.selection && state.searched_at >= latest_search(p_.search_steps, call.step) && state.searched_at <= call.step) return {state.selection};

    const auto grid = grids_.of(call.layout, [&] {
      return std::make_shared<const BlockGrid>(call.layout, p_.block_tokens, BlockGrid::Text::Joined);
    });
    const LayerCall one = element_in_slots(call, batch, grid->arrangement().get());
    Planned planned;
    planned.searched = true;
    at::Tensor mass;  // (H,n,n)
    if (state.log_sum_exp.defined() && p_.cached_lse) {
      mass = block_mass(one, state.log_sum_exp, p_.block_tokens);
      planned.search_kept_ratio = 0.5;
    } else {
      const BlockSearch search = block_search(one, p_.block_tokens);
      mass = search.mass;
      state.log_sum_exp = search.log_sum_exp;  // (H,S)
      planned.attended = grid->arrangement() ? by_token(search.out, *grid->arrangement()) : search.out;
    }
    state.selection = planned.selection = select(grid, build(mass.to(at::kCPU), *grid));
    state.searched_at = call.step;
    state.shape = shape;
    state.layout = call.layout;
    return planned;
  }

  void add_selections(std::set<const Selection*>& to) const override {
    states_.bytes([&](const State& state) {
      if (state.selection) to.insert(state.selection.get());
      return std::int64_t{0};
    });
  }
  std::int64_t bytes_held() const override {
    return states_.bytes([](const State& state) {
      return state.log_sum_exp.defined() ? static_cast<std::int64_t>(state.log_sum_exp.nbytes()) : 0;
    });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const double blocks = std::ceil(static_cast<double>(s.tokens) / kBlockTokens);
    const auto visits = static_cast<std::int64_t>(std::min(1.0, p_.kept_ratio) * blocks * blocks);
    return s.layers * s.batch * s.heads * (s.tokens * 4 + visits * static_cast<std::int64_t>(sizeof(BlockMask::Visit)));
  }

 private:
  struct State {
    at::Tensor log_sum_exp;  // (H,S) float32 of the first search
    std::shared_ptr<const Selection> selection;
    int searched_at = 0;
    std::vector<std::int64_t> shape;  // (H,T,D)
    TokenLayout layout;
  };

  at::Tensor build(const at::Tensor& mass, const BlockGrid& grid) const {
    const std::int64_t heads = mass.size(0), n = grid.blocks();
    const int top_k = static_cast<int>(KeepReason::TopK);
    const auto kept_at = [&](double ratio, std::int64_t head) {  // (n,n) KeepReason
      at::Tensor kept = at::zeros({1, n, n}, at::kByte);
      grid.keep_text(kept);
      const std::int64_t text = grid.text_blocks(), visual = grid.visual_blocks();
      const auto k = std::max<std::int64_t>(std::llround(ratio * static_cast<double>(n)), 1);
      const at::Tensor among = mass[head].slice(0, 0, visual).slice(1, 0, visual);  // (V,V)
      if (p_.rows) {
        const std::int64_t count = std::clamp<std::int64_t>(p_.text_in_budget ? k - text : k, text == 0 ? 1 : 0, visual);
        const at::Tensor best = at::argsort(among, /*stable=*/true, 1, /*descending=*/true).slice(1, 0, count);
        kept[0].slice(0, 0, visual).slice(1, 0, visual).scatter_(1, best, top_k);
      } else {
        const std::int64_t all = std::llround(ratio * static_cast<double>(n * n));
        const std::int64_t count =
            std::clamp<std::int64_t>(p_.text_in_budget ? all - (n * n - visual * visual) : all, 0, visual * visual);
        const at::Tensor best = at::argsort(among.flatten(), true, 0, true).slice(0, 0, count);
        at::Tensor flat = at::zeros({visual * visual}, at::kByte).scatter_(0, best, top_k);
        kept[0].slice(0, 0, visual).slice(1, 0, visual).copy_(flat.view({visual, visual}));
      }
      return kept[0];
    };
    std::vector<at::Tensor> kept;
    std::vector<double> recall;
    for (std::int64_t h = 0; h < heads; ++h) {
      kept.push_back(kept_at(p_.kept_ratio, h));
      recall.push_back((mass[h] * kept.back().ne(0)).sum().item<double>() / std::max(mass[h].sum().item<double>(), 1e-30));
    }
    if (p_.head_adaptive) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(heads));  // best recall first
      for (std::int64_t h = 0; h < heads; ++h) order[static_cast<std::size_t>(h)] = h;
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return recall[a] > recall[b]; });
      const auto good = std::count_if(recall.begin(), recall.end(), [&](double r) { return r > p_.recall_threshold; });
      const std::int64_t m = std::min<std::int64_t>(good, heads / 2);
      for (std::int64_t i = 0; i < m; ++i) {
        const auto best = static_cast<std::size_t>(order[i]), worst = static_cast<std::size_t>(order[heads - 1 - i]);
        kept[best] = kept_at(p_.kept_ratio / 2, order[i]);
        kept[worst] = kept_at(std::min(1.0, 1.5 * p_.kept_ratio), order[heads - 1 - i]);
      }
    }
    return at::stack(kept);  // (H,n,n)
  }

  AdaSpaParameters p_;
  PerLayout<BlockGrid> grids_;
  BranchStates<State> states_;
};

}  // namespace

std::unique_ptr<Planner> make_adaspa(const ParameterValues& parameters, int steps) {
  const auto on = [&](const char* key) { return std::get<bool>(parameters.at(key)); };
  const auto text = [&](const char* key) { return std::get<std::string>(parameters.at(key)); };
  AdaSpaParameters p;
  p.kept_ratio = std::get<double>(parameters.at("kept_ratio"));
  p.search_steps = steps_of(text("search_steps"), steps);
  p.block_tokens = std::stoll(text("block_tokens"));
  p.head_adaptive = on("head_adaptive");
  p.rows = text("selection") == "rows";
  p.text_in_budget = on("text_in_budget");
  p.cached_lse = on("cached_lse");
  p.recall_threshold = std::get<double>(parameters.at("recall_threshold"));
  return std::make_unique<AdaSpa>(p);
}

}  // namespace ditscope
