// MInference: every head takes the one of three patterns that holds most of the attention of some sampled rows.
//
// Jiang et al., NeurIPS 2024, arXiv:2407.02490, K = kept T keys a row, estimated on 64 query rows:
//   A-shape:        the first keys and a local band around the diagonal, 1 : 8 as in its (100, 800)
//   vertical-slash: the columns with the largest sums over the sampled rows, and the diagonals with the largest, `columns_share` of K
//                   and the rest; the first columns and the diagonal itself always, as the code forces its first 30 and last 100
//   block-sparse:   the round(kept n) best blocks of each row of q̄ k̄^T, blocks of 64
//   a head takes the pattern with the largest mean attention mass (`pattern=auto`), or all take the one that is named
//
// The code stores the heads for which its search found one of the other two as vertical-slash, too: `pattern=vertical-slash`.
//
// Differs from the paper, which is for causal language models; papers that run it on denoisers give no recipe:
// - Not causal: diagonals are those of n - m in (-n, n), the sampled rows are spread over the sequence, the choice is made online at
//   each call. Diagonals are diagonals of 64 x 64 blocks, in which the code's kernel computes them anyway.
// - Columns come first in the order of keys, in whole blocks; a block of a diagonal becomes the block that then holds its middle, one
//   of the main diagonal both blocks that then hold its tokens.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/attention/block_planner.h"
#include "core/attention/methods.h"
#include "kernels/keep_reason.h"

namespace ditscope {
namespace {

constexpr std::int64_t kSampledRows = 64;

class MInference final : public Planner {
 public:
  MInference(double kept_ratio, const std::string& pattern, double columns_share)
      : kept_ratio_(kept_ratio), pattern_(pattern), columns_share_(columns_share) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<MInference>(*this); }
  std::optional<double> requested_kept_ratio() const override { return kept_ratio_; }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const std::int64_t heads = call.q.size(1), tokens = call.q.size(2), blocks = (tokens + 63) / 64;
    const std::int64_t budget = std::clamp<std::int64_t>(std::llround(kept_ratio_ * static_cast<double>(blocks)), 1, blocks);
    const at::Tensor mass = sampled_mass(call, batch).to(at::kCPU);  // (H,R,T)
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < mass.size(1); ++r) rows.push_back(r * tokens / mass.size(1) / 64);
    const at::Tensor row_blocks = at::tensor(rows, at::kLong);       // (R) block of each sampled row
    const at::Tensor by_block = block_sums(mass, blocks);            // (H,R,n)

    const at::Tensor a_shape = a_shape_blocks(budget, blocks);       // (n,n)
    const auto wide = static_cast<std::int64_t>(columns_share_ * static_cast<double>(budget));
    const std::int64_t columns = std::min(wide, tokens / 64) * 64, diagonals = std::max<std::int64_t>(budget - columns / 64, 1);
    const at::Tensor best_keys = best_columns_of(mass, columns);     // (H,C) ascending
    const at::Tensor slash = slash_blocks(by_block, row_blocks, diagonals, blocks);                    // (H,n,n)
    const at::Tensor sparse = best_columns(block_logits(call, batch, blocks), budget).to(at::kCPU);    // (H,n,n)

    const auto held = [&](const at::Tensor& kept) {  // (1 or H, n, n) -> (H)
      return (by_block * kept.index_select(1, row_blocks)).sum({1, 2});
    };
    at::Tensor outside = mass.clone();  // what the columns leave to diagonals
    if (columns > 0) outside.scatter_(2, best_keys.unsqueeze(1).expand({heads, mass.size(1), columns}), 0.0);
    const at::Tensor vertical_mass = (mass - outside).sum({1, 2}) + (block_sums(outside, blocks) * slash.index_select(1, row_blocks)).sum({1, 2});
    const at::Tensor best = at::stack({held(a_shape.unsqueeze(0)), vertical_mass, held(sparse)}).argmax(0);  // (H)

    std::vector<at::Tensor> kept, keys;
    const at::Tensor as_they_come = at::arange(tokens, at::kLong);
    bool moved = false;
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t which = pattern_ == "a-shape" ? 0 : pattern_ == "vertical-slash" ? 1 : pattern_ == "block-sparse" ? 2 : best[h].item<std::int64_t>();
      keys.push_back(as_they_come);
      kept.push_back(which == 0 ? a_shape_reasons(a_shape, budget) : best_of_rows(sparse[h]));
      if (which != 1) continue;
      if (columns == 0) {
        kept.back() = best_of_rows(slash[h]);
        continue;
      }
      moved = true;
      kept.back() = best_of_rows(columns_first(slash[h], best_keys[h], tokens, blocks, keys.back()));
    }
    TokenLayout plain;
    plain.columns = tokens;
    const auto grid = grids_.of(plain, [&] { return std::make_shared<const BlockGrid>(plain, 64, BlockGrid::Text::Joined); });
    const auto selected = select(grid, at::stack(kept));
    Planned planned{selected};
    planned.search_kept_ratio = static_cast<double>(mass.size(1)) / static_cast<double>(tokens);
    if (moved) {
      auto by_columns = std::make_shared<Selection>(selected->shared_mask(), Arrangement::make(tokens, as_they_come, at::stack(keys)));
      by_columns->set_reasons(selected->reasons());
      planned.selection = by_columns;
    }
    return planned;
  }

 private:
  static at::Tensor sampled_mass(const LayerCall& call, std::int64_t batch) {  // (H,R,T), rows summing to 1
    const std::int64_t tokens = call.q.size(2), count = std::min(kSampledRows, tokens);
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < count; ++r) rows.push_back(r * tokens / count);
    const at::Tensor q = call.q[batch].index_select(1, at::tensor(rows, at::kLong).to(call.q.device())).to(at::kFloat);
    at::Tensor logits = at::matmul(q, call.k[batch].to(at::kFloat).transpose(1, 2)) * call.scale;
    if (call.key_mask.defined()) logits.masked_fill_(call.key_mask[batch].logical_not(), -std::numeric_limits<double>::infinity());
    return at::softmax(logits, 2);
  }

  static at::Tensor block_sums(const at::Tensor& rows, std::int64_t blocks) {  // (H,R,T) -> (H,R,n)
    return at::constant_pad_nd(rows, {0, blocks * 64 - rows.size(2)}).unflatten(2, {blocks, 64}).sum(3);
  }

  static at::Tensor block_logits(const LayerCall& call, std::int64_t batch, std::int64_t blocks) {  // (H,n,n)
    const std::int64_t tokens = call.q.size(2);
    at::Tensor counts = at::full({blocks, 1}, 64, at::kFloat);
    counts[blocks - 1] = tokens - (blocks - 1) * 64;
    const auto means = [&](const at::Tensor& x) {
      return at::constant_pad_nd(x.to(at::kFloat), {0, 0, 0, blocks * 64 - tokens}).unflatten(1, {blocks, 64}).sum(2) / counts.to(x.device());
    };
    return at::matmul(means(call.q[batch]), means(call.k[batch]).transpose(1, 2));
  }

  static at::Tensor a_shape_blocks(std::int64_t budget, std::int64_t blocks) {
    const std::int64_t first = budget > 1 ? std::max<std::int64_t>(budget / 9, 1) : 0, local = budget - first;
    const at::Tensor m = at::arange(blocks, at::kLong).unsqueeze(1), n = at::arange(blocks, at::kLong).unsqueeze(0);
    const at::Tensor begin = (m - local / 2).clamp(0, std::max<std::int64_t>(blocks - local, 0));  // shifted at the ends
    return n.lt(first).logical_or(n.ge(begin).logical_and(n.lt(begin + local)));
  }

  static at::Tensor best_of_rows(const at::Tensor& kept) { return kept.to(at::kByte) * static_cast<int>(KeepReason::TopK); }

  static at::Tensor a_shape_reasons(const at::Tensor& a_shape, std::int64_t budget) {
    at::Tensor reasons = a_shape.to(at::kByte) * static_cast<int>(KeepReason::Window);
    if (budget > 1) reasons.narrow(1, 0, std::max<std::int64_t>(budget / 9, 1)).fill_(static_cast<int>(KeepReason::Sink));
    return reasons;
  }

  /// The `count` heaviest columns of each head, the first ones among them, ascending.
  static at::Tensor best_columns_of(const at::Tensor& mass, std::int64_t count) {
    at::Tensor sums = mass.sum(1);  // (H,T)
    sums.narrow(1, 0, std::min<std::int64_t>(std::min<std::int64_t>(30, count), sums.size(1))).fill_(std::numeric_limits<float>::infinity());
    return std::get<0>(at::argsort(sums, true, 1, true).narrow(1, 0, count).sort(1));
  }

  /// The heaviest diagonals of blocks, the main one among them.
  static at::Tensor slash_blocks(const at::Tensor& by_block, const at::Tensor& row_blocks, std::int64_t count, std::int64_t blocks) {
    const std::int64_t heads = by_block.size(0), all = 2 * blocks - 1;
    const at::Tensor diagonal = at::arange(blocks, at::kLong).unsqueeze(0) - row_blocks.unsqueeze(1) + (blocks - 1);  // (R,n)
    at::Tensor sums = at::zeros({heads, all}, at::kFloat).index_add_(1, diagonal.flatten(), by_block.flatten(1));
    sums.select(1, blocks - 1).fill_(std::numeric_limits<float>::infinity());
    const at::Tensor best = at::argsort(sums, true, 1, true).narrow(1, 0, std::min(count, all));
    const at::Tensor chosen = at::zeros({heads, all}, at::kBool).scatter_(1, best, true);
    const at::Tensor of_pair = at::arange(blocks, at::kLong).unsqueeze(0) - at::arange(blocks, at::kLong).unsqueeze(1) + (blocks - 1);  // (n,n)
    return chosen.index_select(1, of_pair.flatten()).view({heads, blocks, blocks});
  }

  /// Lays the chosen columns before the other keys, and the diagonals over the new order.
  static at::Tensor columns_first(const at::Tensor& slash, const at::Tensor& columns, std::int64_t tokens, std::int64_t blocks, at::Tensor& keys) {
    const at::Tensor is_column = at::zeros({tokens}, at::kBool).scatter_(0, columns, true);
    const at::Tensor rest = is_column.logical_not().nonzero().squeeze(1);
    keys = at::cat({columns, rest});
    const std::int64_t count = columns.size(0);
    const at::Tensor before = is_column.to(at::kLong).cumsum(0);  // columns up to and with a token
    at::Tensor kept = at::zeros({blocks, blocks}, at::kBool);
    kept.slice(1, 0, count / 64).fill_(true);
    const auto block_of = [&](std::int64_t token) {  // that holds it, or, for a column, what precedes it
      const std::int64_t at = std::min(token, tokens - 1), slot = count + at - before[at].item<std::int64_t>();
      return std::clamp<std::int64_t>(slot, count, tokens - 1) / 64;
    };
    for (std::int64_t n = 0; n < blocks; ++n) {
      kept.select(1, block_of(n * 64 + 32)).logical_or_(slash.select(1, n));
      for (const std::int64_t edge : {n * 64, n * 64 + 63}) kept[n][block_of(edge)].fill_(true);
    }
    return kept;
  }

  double kept_ratio_;
  std::string pattern_;
  double columns_share_;
  PerLayout<BlockGrid> grids_;
};

}  // namespace

std::unique_ptr<Planner> make_minference(const ParameterValues& parameters, int) {
  return std::make_unique<MInference>(std::get<double>(parameters.at("kept_ratio")), std::get<std::string>(parameters.at("pattern")),
                                      std::get<double>(parameters.at("columns_share")));
}

}  // namespace ditscope
