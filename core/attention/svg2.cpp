// SVG2: queries and keys are sorted into clusters of like tokens, and clusters of queries attend to the clusters of keys that matter.
//
// Yang et al., NeurIPS 2025, arXiv:2505.18875, per (layer, head), K_q clusters of queries and K_k of keys, apart from each other:
//   k-means, Euclidean: from the centroids of the step before 2 iterations, else from random tokens 50
//   S_ij = scale C_q C_k^T;  P_ij = n_j exp(S_ij) / sum over j,  n_j tokens in key cluster j
//   row i keeps, best first, every cluster before which the row holds at most top_p, and its int(0.1 K_k) best in any case
//   tokens are sorted by cluster, kept pairs of clusters are computed, the output is sorted back
//   text is one more cluster that sees and is seen by everything
//
// Differs from the paper:
// - At most one cluster for every 16 visual tokens, so that short sequences have clusters to skip.
// - Clusters begin at the first sparse step; the code can also cluster during warm-up, for HunyuanVideo (`cluster_in_warmup`).
// - Each guidance branch keeps its own centroids; the code shares them between branches that are called apart (`share_centroids`).
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/attention/block_grid.h"
#include "core/attention/block_planner.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/bridge/clusters.h"

namespace ditscope {
namespace {

struct Svg2Parameters {
  std::int64_t query_clusters = 100, key_clusters = 500;
  double top_p = 0.9, least = 0.1;
  bool share = false, in_warmup = false;
};

class Svg2 final : public Planner {
 public:
  explicit Svg2(const Svg2Parameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<Svg2>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }
  int replay_from(int) const override { return 0; }  // centroids come from all steps before

  void observe(const LayerCall& call, std::int64_t batch, bool /*last*/) override {
    if (p_.in_warmup) cluster(call, batch);
  }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const auto [q, k] = cluster(call, batch);
    const at::Tensor logits = at::matmul(q.centroids, k.centroids.transpose(1, 2)) * call.scale + at::log(k.counts.to(at::kFloat)).unsqueeze(1);
    const std::int64_t least = static_cast<std::int64_t>(p_.least * static_cast<double>(k.counts.size(1)));
    const at::Tensor kept = best_columns(at::softmax(logits, 2), p_.top_p, true, least);  // (H,K_q,K_k)
    return {select_clusters(call, q, k, kept)};
  }

  std::int64_t bytes_held() const override {
    return states_.bytes([](const State& state) {
      return state.q.defined() ? static_cast<std::int64_t>(state.q.nbytes() + state.k.nbytes()) : 0;
    });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t most = std::max<std::int64_t>(s.tokens / 16, 1);
    return s.layers * s.batch * s.heads * (std::min(p_.query_clusters, most) + std::min(p_.key_clusters, most)) * s.head_dim * 4;
  }

 private:
  struct State {
    at::Tensor q, k;                  // (H,K,D) centroids
    std::vector<std::int64_t> shape;  // (H,T,D)
    TokenLayout layout;
  };

  /// Clusters of the visual queries and keys, from the centroids of the step before, which theirs replace.
  std::pair<Clusters, Clusters> cluster(const LayerCall& call, std::int64_t batch) {
    LayerCall of_layer;  // one state for all branches
    of_layer.layer = call.layer;
    of_layer.q = call.q.narrow(0, 0, 1);
    State& state = p_.share ? *states_.of(of_layer).front() : *states_.of(call)[static_cast<std::size_t>(batch)];
    const std::vector<std::int64_t> shape = call.q.sizes().slice(1).vec();
    if (state.shape != shape || !same_layout(state.layout, call.layout)) state = {};
    const TokenLayout& l = call.layout;
    const std::int64_t visual = l.visual_tokens();
    const auto grouped = [&](const at::Tensor& rows, std::int64_t most, const at::Tensor& centroids, std::uint64_t salt) {
      const std::int64_t count = std::clamp<std::int64_t>(visual / 16, 1, most);
      return clusters_of(rows.narrow(1, l.visual_begin(), visual), count, centroids, centroids.defined() ? 2 : 50,
                         static_cast<std::uint64_t>(call.layer) * 2 + salt);
    };
    const Clusters q = grouped(call.q[batch], p_.query_clusters, state.q, 0), k = grouped(call.k[batch], p_.key_clusters, state.k, 1);
    state = {q.centroids, k.centroids, shape, l};
    return {q, k};
  }

  /// Visual tokens by cluster, then text; a list a head of kept pairs of clusters.
  static std::shared_ptr<const Selection> select_clusters(const LayerCall& call, const Clusters& q, const Clusters& k, const at::Tensor& kept) {
    const TokenLayout& l = call.layout;
    const std::int64_t heads = kept.size(0), visual = l.visual_tokens(), tokens = l.tokens();
    const at::Tensor text = at::arange(l.text_tokens, at::kLong) + (l.text_first ? 0 : visual);
    const auto order = [&](const Clusters& c) {
      return at::cat({c.order.to(at::kLong) + l.visual_begin(), text.expand({heads, l.text_tokens})}, 1);
    };
    const std::int64_t query_clusters = kept.size(1), key_clusters = kept.size(2);
    const at::Tensor on_cpu = kept.to(at::kCPU);
    const auto keeps = on_cpu.accessor<bool, 3>();
    const auto q_counts = q.counts.accessor<std::int32_t, 2>(), k_counts = k.counts.accessor<std::int32_t, 2>();
    MaskDescription d;
    d.queries = d.keys = tokens;
    d.always = d.always_rows = {static_cast<std::int32_t>(visual), static_cast<std::int32_t>(tokens)};
    d.lists = static_cast<int>(heads);
    d.block_offsets.push_back(0);
    const auto add_bounds = [&](const auto& counts, std::int64_t h, std::int64_t clusters, std::vector<std::int32_t>& bounds) {
      std::int32_t end = 0;
      bounds.push_back(0);
      for (std::int64_t c = 0; c < clusters; ++c) bounds.push_back(end += counts[h][c]);
      bounds.push_back(static_cast<std::int32_t>(tokens));  // text
    };
    for (std::int64_t h = 0; h < heads; ++h) {
      d.list_of_head.push_back(static_cast<std::int32_t>(h));
      add_bounds(q_counts, h, query_clusters, d.query_bounds);
      add_bounds(k_counts, h, key_clusters, d.key_bounds);
      for (std::int64_t i = 0; i <= query_clusters; ++i) {
        for (std::int64_t j = 0; i < query_clusters && j < key_clusters; ++j)
          if (keeps[h][i][j]) d.key_blocks.push_back(static_cast<std::int32_t>(j));
        d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
      }
    }
    return std::make_shared<const Selection>(std::make_shared<const BlockMask>(d), Arrangement::make(tokens, order(q), order(k)));
  }

  Svg2Parameters p_;
  BranchStates<State> states_;
};

}  // namespace

std::unique_ptr<Planner> make_svg2(const ParameterValues& parameters, int) {
  const auto integer = [&](const char* key) { return std::get<std::int64_t>(parameters.at(key)); };
  const auto real = [&](const char* key) { return std::get<double>(parameters.at(key)); };
  return std::make_unique<Svg2>(Svg2Parameters{integer("query_clusters"), integer("key_clusters"), real("top_p"), real("least_ratio"),
                                               std::get<bool>(parameters.at("share_centroids")),
                                               std::get<bool>(parameters.at("cluster_in_warmup"))});
}

}  // namespace ditscope
