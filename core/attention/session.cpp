#include "core/attention/session.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "core/attention/registry.h"
#include "core/bridge/accelerator.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void check(const LayerCall& call) {
  const auto refuse = [](const std::string& expected, const std::string& got) {
    throw Error(ErrorKind::InvalidArgument, "expected " + expected + ", got " + got + "; fix the model that makes the call");
  };
  if (!call.q.defined() || call.q.dim() != 4) refuse("queries of (B,H,T,D)", "another rank");
  if (call.k.sizes() != call.q.sizes() || call.v.sizes() != call.q.sizes()) refuse("k and v of the shape of q", "other shapes");
  if (call.layout.tokens() != call.q.size(2)) {
    refuse(std::to_string(call.layout.tokens()) + " tokens as the layout says", std::to_string(call.q.size(2)));
  }
  if (!call.branches.empty() && static_cast<std::int64_t>(call.branches.size()) != call.q.size(0)) {
    refuse("one guidance branch for each of " + std::to_string(call.q.size(0)) + " batch elements",
           std::to_string(call.branches.size()));
  }
  if (call.step < 0 || call.layer < 0) refuse("step and layer from 0", "a negative one");
}

}  // namespace

AttentionSession::AttentionSession(const MethodChoice& choice, int steps, MeasureSink sink)
    : choice_(resolve(choice, steps)),
      steps_(std::max(steps, 1)),
      sink_(std::move(sink)),
      method_(make_method(choice_, steps_)),
      sums_(static_cast<std::size_t>(steps_)) {}

AttentionSession::AttentionSession(const AttentionSession& other)
    : choice_(other.choice_),
      steps_(other.steps_),
      sink_(other.sink_),
      method_(other.method_->clone()),
      sums_(other.sums_),
      peak_bytes_(other.peak_bytes_) {}

AttentionSession::~AttentionSession() = default;

std::unique_ptr<AttentionSession> AttentionSession::fork() const {
  return std::unique_ptr<AttentionSession>(new AttentionSession(*this));
}

TokenOrder AttentionSession::preferred_order(const TokenLayout& layout) const {
  return method_->preferred_order(layout);
}

at::Tensor AttentionSession::attend(const LayerCall& call) {
  check(call);
  wait_for(call.q.device());  // a few microseconds a layer, for a time that is attention's own
  const auto start = std::chrono::steady_clock::now();
  const BlockPlan plan = method_->plan(call);
  const double plan_seconds = seconds_since(start);
  at::Tensor out = method_->execute(call, plan);  // (B,H,T,D)
  wait_for(call.q.device());
  const double seconds = seconds_since(start);

  StepSum& sum = sums_[static_cast<std::size_t>(std::min(call.step, steps_ - 1))];
  ++sum.calls;
  sum.seconds += seconds;
  sum.requested += plan.requested;
  sum.achieved += plan.achieved;
  if (plan.kind == StepKind::Sparse) {
    ++sum.sparse_calls;
    sum.sparse_achieved += plan.achieved;
  }
  sum.refresh |= plan.kind == StepKind::Refresh;
  sum.search |= plan.kind == StepKind::Search;
  sum.cached |= plan.kind == StepKind::Cached;
  const std::int64_t bytes = method_->bytes_held();
  peak_bytes_ = std::max(peak_bytes_, bytes);
  if (sink_) {
    sink_({call.step, call.layer, plan.kind, seconds, plan_seconds, plan.requested, plan.achieved, plan.achieved_blocks, bytes,
           method_.get(), qk_precision(choice_.parameters)},
          call, plan, out);
  }
  return out;
}

StepRecord AttentionSession::step_record(int step) const {
  StepRecord record;
  record.index = step;
  const StepSum& sum = sums_[static_cast<std::size_t>(std::clamp(step, 0, steps_ - 1))];
  if (sum.calls == 0) {
    record.kind = method_->schedule(steps_, 1 << 10).at(step, (1 << 10) - 1);  // the last layer: dense layers come first
    return record;
  }
  if (sum.search)
    record.kind = StepKind::Search;
  else if (sum.refresh)
    record.kind = StepKind::Refresh;
  else if (sum.sparse_calls > 0)
    record.kind = StepKind::Sparse;
  else if (sum.cached)
    record.kind = StepKind::Cached;
  record.attention_seconds = sum.seconds;
  record.kept_ratio_requested = sum.requested / sum.calls;
  record.kept_ratio_achieved = sum.achieved / sum.calls;
  return record;
}

KeptRatios AttentionSession::kept_ratios() const {
  StepSum all;
  for (const StepSum& sum : sums_) {
    all.calls += sum.calls;
    all.achieved += sum.achieved;
    all.sparse_calls += sum.sparse_calls;
    all.sparse_achieved += sum.sparse_achieved;
  }
  KeptRatios ratios;
  ratios.requested = method_->requested_kept_ratio();
  if (all.sparse_calls > 0) ratios.achieved = all.sparse_achieved / all.sparse_calls;
  if (all.calls > 0) ratios.schedule_average = all.achieved / all.calls;
  ratios.ceiling = 1 / ratios.schedule_average;
  return ratios;
}

double AttentionSession::attention_seconds() const {
  double seconds = 0;
  for (const StepSum& sum : sums_) seconds += sum.seconds;
  return seconds;
}

std::int64_t AttentionSession::bytes_held() const {
  return method_->bytes_held();
}

}  // namespace ditscope
