#include "core/attention/composed.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "core/bridge/accelerator.h"

namespace ditscope {
namespace {

/// What `work` returns; the seconds it takes are added to `sum`, those of the device included.
template <typename Work>
auto timed(double& sum, const at::Tensor& on, const Work& work) {
  struct Clock {
    double& sum;
    const at::Tensor& on;
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    ~Clock() {
      wait_for(on.device());
      sum += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
  };
  wait_for(on.device());
  const Clock clock{sum, on};
  return work();
}

}  // namespace

ComposedMethod::ComposedMethod(std::unique_ptr<Planner> planner, std::unique_ptr<Correction> correction, const ScheduleRule& rule,
                               int steps, QkPrecision qk)
    : planner_(std::move(planner)), correction_(std::move(correction)), rule_(rule), steps_(steps), qk_(qk) {
  rule_.refresh_kind = correction_->refreshes() ? StepKind::Refresh : StepKind::Full;
  rule_.search_kind = correction_->refreshes() ? StepKind::Refresh : StepKind::Search;
}

ComposedMethod::ComposedMethod(const ComposedMethod& other)
    : Method(other),
      planner_(other.planner_->clone()),
      correction_(other.correction_->clone()),
      rule_(other.rule_),
      steps_(other.steps_),
      qk_(other.qk_),
      schedule_(other.schedule_),
      held_(other.held_),
      applied_(other.applied_),
      sparse_kept_sum_(other.sparse_kept_sum_),
      sparse_calls_(other.sparse_calls_) {}

std::unique_ptr<Method> ComposedMethod::clone() const {
  return std::unique_ptr<Method>(new ComposedMethod(*this));
}

double ComposedMethod::requested_kept_ratio() const {
  const double so_far = sparse_calls_ == 0 ? 1 : sparse_kept_sum_ / static_cast<double>(sparse_calls_);
  return planner_->requested_kept_ratio().value_or(so_far);
}

Schedule ComposedMethod::schedule(int steps, int layers) const {
  ScheduleRule rule = rule_;
  if (planner_->keeps_everything()) rule.warmup_steps = steps;
  return make_schedule(rule, steps, layers);
}

std::int64_t ComposedMethod::estimate_bytes(const MethodSizes& sizes) const {
  return planner_->keeps_everything() ? 0 : planner_->estimate_bytes(sizes) + correction_->estimate_bytes(sizes);
}

int ComposedMethod::replay_from(int step, int layers) const {
  const Schedule cells = schedule(steps_, layers);
  if (cells.at(step, layers - 1) == StepKind::Full) return step;
  int from = step;
  if (correction_->refreshes()) {
    while (from > 0 && cells.at(from, layers - 1) != StepKind::Refresh) --from;
  }
  return planner_->replay_from(from);
}

BlockPlan ComposedMethod::plan(const LayerCall& call) {
  if (schedule_.layers != call.layers || schedule_.cells.empty()) schedule_ = schedule(steps_, call.layers);
  BlockPlan plan;
  plan.kind = schedule_.at(call.step, call.layer);
  const std::int64_t batch = call.q.size(0);
  if (plan.kind == StepKind::Full) {
    const bool warming_up = call.step < rule_.warmup_steps && schedule_.at(rule_.warmup_steps, call.layer) != StepKind::Full;
    for (std::int64_t b = 0; warming_up && b < batch; ++b) planner_->observe(call, b, call.step + 1 == rule_.warmup_steps);
    return plan;
  }

  const bool holds = correction_->refreshes();
  const std::vector<Held*> held = holds ? held_.of(call) : std::vector<Held*>{};
  for (std::int64_t b = 0; holds && b < batch; ++b) {
    if (*held[static_cast<std::size_t>(b)] == nullptr || !correction_->ready(call, b)) plan.kind = StepKind::Refresh;
  }
  double kept = 0, blocks = 0, searching = 0;
  bool searched = false, attended = true;
  for (std::int64_t b = 0; b < batch; ++b) {
    Planned planned;
    if (holds && plan.kind != StepKind::Refresh)
      planned.selection = *held[static_cast<std::size_t>(b)];
    else
      planned = planner_->plan(call, b);
    kept += planned.selection->kept_ratio() / static_cast<double>(batch);
    blocks += planned.selection->kept_ratio_blocks() / static_cast<double>(batch);
    searching += planned.search_kept_ratio / static_cast<double>(batch);
    searched |= planned.searched;
    attended &= planned.attended.defined();
    plan.selections.push_back(planned.selection);
    plan.attended.push_back(planned.attended);
  }
  const Selection& first = *plan.selections.front();
  const bool shared = std::all_of(plan.selections.begin(), plan.selections.end(),
                                  [&](const Held& s) { return s->shared_mask() == first.shared_mask() && s->has_complement(); });
  if (shared) plan.mask = first.shared_mask();
  if (!attended || plan.kind == StepKind::Refresh) plan.attended.clear();
  if (plan.kind == StepKind::Sparse && searched) plan.kind = StepKind::Search;  // nothing was found before
  if (plan.kind == StepKind::Search && !searched) plan.kind = StepKind::Sparse;

  const double pooled = correction_->pooled_kept_ratio(call);
  kept += pooled;
  blocks += pooled;
  const double asked = planner_->requested_kept_ratio().value_or(kept);
  const double over = plan.kind == StepKind::Refresh ? 1 : searching;
  plan.requested = plan.attended.empty() ? over + asked : 1 + over;
  plan.achieved = plan.attended.empty() ? over + kept : 1 + over;
  plan.achieved_blocks = plan.attended.empty() ? over + blocks : 1 + over;
  if (plan.kind == StepKind::Sparse) {
    sparse_kept_sum_ += plan.achieved;
    ++sparse_calls_;
  }
  return plan;
}

at::Tensor ComposedMethod::execute(const LayerCall& call, const BlockPlan& plan) {
  const std::int64_t batch = call.q.size(0);
  applied_.assign(static_cast<std::size_t>(batch), {});
  correct_seconds_ = 0;
  if (plan.kind == StepKind::Full) return dense_attention(call);
  at::Tensor out = output_like(call.q);  // (B,H,T,D)
  const std::vector<Held*> held = correction_->refreshes() ? held_.of(call) : std::vector<Held*>{};
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto at_b = static_cast<std::size_t>(b);
    if (plan.kind == StepKind::Refresh) {
      *held[at_b] = plan.selections[at_b];
      refresh(call, b, *plan.selections[at_b], out);
    } else if (!plan.attended.empty()) {
      out[b].copy_(plan.attended[at_b]);
    } else {
      applied_[at_b] = {attend(call, b, *plan.selections[at_b], out), plan.selections[at_b]};
    }
  }
  return out;
}

/// Full attention, and how it divides between what the selection keeps and what it skips.
void ComposedMethod::refresh(const LayerCall& call, std::int64_t batch, const Selection& selection, at::Tensor& out) {
  const bool unit_rho = correction_->unit_rho(), with_residual = correction_->needs_residual();
  if (selection.has_complement()) {
    const SplitResult split = split_attention(call, batch, selection.mask(), selection.skipped(), unit_rho, with_residual, out);
    return timed(correct_seconds_, out, [&] { correction_->refresh(call, batch, split, selection); });
  }
  // Two passes where the complement is no mask of its own: all pairs, then the kept ones, in slots.
  const Arrangement* arrangement = selection.arrangement();
  const LayerCall one = element_in_slots(call, batch, arrangement);
  const std::int64_t heads = call.q.size(1), tokens = call.q.size(2), slots = one.q.size(2);
  const auto floats = call.q.options().dtype(at::kFloat);
  SplitResult split{at::empty({heads, tokens}, floats), at::empty({heads, slots}, floats), {}};
  masked_attention(call, batch, BlockMask::dense(tokens, tokens), {}, {}, out, split.log_sum_exp);
  at::Tensor kept = at::empty(one.q.sizes(), one.q.options());  // (1,H,S,D)
  selected_attention(one, selection, {}, {}, kept, split.log_sum_exp_kept);
  const auto moved = [&](const at::Tensor& rows) { return arrangement ? in_slots(rows, arrangement->queries) : rows; };
  split.log_sum_exp = moved(split.log_sum_exp.unsqueeze(0).unsqueeze(-1)).squeeze(-1)[0];  // (H,S)
  if (with_residual) {
    const at::Tensor full = moved(out.narrow(0, batch, 1))[0];  // (H,S,D)
    const at::Tensor rho = unit_rho ? at::ones_like(split.log_sum_exp) : at::exp(split.log_sum_exp_kept - split.log_sum_exp);
    split.residual = (full.to(at::kFloat) - rho.unsqueeze(-1) * kept[0].to(at::kFloat)).to(call.q.scalar_type());  // (H,S,D)
  }
  timed(correct_seconds_, out, [&] { correction_->refresh(call, batch, split, selection); });
}

RowCorrection ComposedMethod::attend(const LayerCall& call, std::int64_t batch, const Selection& selection, at::Tensor& out) {
  if (qk_ == QkPrecision::Float && correction_->changes_nothing() && attend_in_place(call, batch, selection, out)) return {};
  const Arrangement* arrangement = selection.arrangement();
  LayerCall one = element_in_slots(call, batch, arrangement);
  one.qk = qk_;
  one.pv_skip = selection.pv_skip();
  at::Tensor target = arrangement ? at::empty(one.q.sizes(), one.q.options()) : out.narrow(0, batch, 1);  // (1,H,S,D)
  RowCorrection applied;
  if (correction_->combines()) {
    const at::Tensor log_sum_exp = at::empty({one.q.size(1), one.q.size(2)}, one.q.options().dtype(at::kFloat));  // (H,S)
    selected_attention(one, selection, {}, {}, target, log_sum_exp);
    applied = timed(correct_seconds_, out, [&] { return correction_->combine(call, batch, one, selection, log_sum_exp, target); });
  } else {
    applied = timed(correct_seconds_, out, [&] { return correction_->apply(call, batch, one, selection); });
    selected_attention(one, selection, applied.scale, applied.residual, target);
    timed(correct_seconds_, out, [&] { correction_->finish(call, batch, one, selection, target); });
  }
  if (arrangement) out[batch].copy_(by_token(target[0], *arrangement));
  return applied;
}

RowCorrection ComposedMethod::row_correction(const LayerCall&, std::int64_t batch) {
  if (static_cast<std::size_t>(batch) >= applied_.size()) return {};
  const auto& [applied, selection] = applied_[static_cast<std::size_t>(batch)];
  RowCorrection rows = applied;
  if (selection && selection->arrangement()) {
    for (at::Tensor* tensor : {&rows.scale, &rows.mass, &rows.residual}) {
      if (tensor->defined()) *tensor = by_token(*tensor, *selection->arrangement());
    }
  }
  return rows;
}

std::int64_t ComposedMethod::bytes_held() const {
  std::set<const Selection*> selections;  // a planner's own may be held by every layer
  planner_->add_selections(selections);
  held_.bytes([&](const Held& selection) {
    if (selection) selections.insert(selection.get());
    return std::int64_t{0};
  });
  std::int64_t bytes = planner_->bytes_held() + correction_->bytes_held();
  for (const Selection* selection : selections) bytes += selection->bytes();
  return bytes;
}

}  // namespace ditscope
