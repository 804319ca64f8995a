#include "core/attention/measure.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/bridge/attention.h"
#include "core/bridge/pv_skip.h"

namespace ditscope {
namespace {

double mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void append(std::vector<double>& to, const at::Tensor& per_head) {
  const at::Tensor values = per_head.to(at::kCPU, at::kDouble).contiguous();  // (H)
  to.insert(to.end(), values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
}

}  // namespace

double AttentionStats::mean_recall() const {
  return mean(recall);
}
double AttentionStats::mean_output_error() const {
  return mean(output_error);
}

AttentionStats measure(const LayerCall& call, const BlockPlan& plan, const at::Tensor& out, int rows) {
  const std::int64_t heads = call.q.size(1), tokens = call.q.size(2), count = std::min<std::int64_t>(std::max(rows, 1), tokens);
  std::vector<std::int64_t> chosen;
  for (std::int64_t r = 0; r < count; ++r) chosen.push_back(r * tokens / count);
  const at::Tensor index = at::tensor(chosen, at::kLong).to(call.q.device());
  const bool sparse = !plan.selections.empty() && plan.attended.empty() && plan.kind != StepKind::Refresh;
  at::Tensor kept;  // (1 or H, rows, T); undefined: every pair
  if (plan.kind == StepKind::Cached) kept = at::zeros({1, count, tokens}, call.q.options().dtype(at::kBool));
  AttentionStats stats;
  stats.rows = static_cast<int>(count);
  for (std::int64_t b = 0; b < call.q.size(0); ++b) {
    const std::size_t at_b = static_cast<std::size_t>(b);
    if (sparse && (b == 0 || plan.selections[at_b] != plan.selections[at_b - 1]))
      kept = plan.selections[at_b]->kept_tokens(heads, chosen).to(call.q.device());
    const at::Tensor q = call.q[b].index_select(1, index).to(at::kFloat);                      // (H,rows,D)
    at::Tensor logits = at::matmul(q, call.k[b].to(at::kFloat).transpose(1, 2)) * call.scale;  // (H,rows,T)
    if (call.key_mask.defined()) logits.masked_fill_(call.key_mask[b].logical_not(), -std::numeric_limits<double>::infinity());
    const at::Tensor probabilities = at::softmax(logits, -1);                                            // (H,rows,T)
    const at::Tensor full = at::matmul(probabilities, call.v[b].to(at::kFloat));                         // (H,rows,D)
    const at::Tensor difference = out[b].index_select(1, index).to(at::kFloat) - full;                   // (H,rows,D)
    append(stats.recall, kept.defined() ? (probabilities * kept).sum(-1).mean(-1) : at::ones({heads}));  // (H)
    append(stats.output_error, difference.flatten(1).norm(2, 1) / full.flatten(1).norm(2, 1).clamp_min(1e-30));
    append(stats.relative_l1, difference.flatten(1).abs().sum(1) / full.flatten(1).abs().sum(1).clamp_min(1e-30));
    append(stats.cosine_error, 1 - at::cosine_similarity(out[b].index_select(1, index).to(at::kFloat), full, 2, 1e-30).mean(-1));
    append(stats.log_sum_exp, at::logsumexp(logits, -1).mean(-1));
  }
  return stats;
}

at::Tensor pv_left_out_ratio(const LayerCall& call, std::int64_t batch, const BlockPlan& plan, QkPrecision qk) {
  if (plan.kind != StepKind::Sparse || !plan.attended.empty() || plan.selections.empty()) return {};
  const Selection& selection = *plan.selections[static_cast<std::size_t>(batch)];
  if (!selection.pv_skip().defined() || selection.by_head()) return {};
  LayerCall one = element_in_slots(call, batch, selection.arrangement());
  one.pv_skip = selection.pv_skip();
  one.qk = qk;
  return pv_left_out(one, selection.mask(), call.q.size(2));  // (H)
}

}  // namespace ditscope
