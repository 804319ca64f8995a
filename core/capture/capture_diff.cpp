#include "core/capture/capture_diff.h"

#include <cmath>
#include <map>
#include <tuple>

namespace ditscope {
namespace {

/// A mean that knows whether it has anything.
class Mean {
 public:
  void add(std::optional<double> value) {
    if (!value || !std::isfinite(*value)) return;
    sum_ += *value;
    ++count_;
  }
  std::optional<double> get() const { return count_ ? std::optional(sum_ / count_) : std::nullopt; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

std::optional<double> relative_error(const CaptureReader& a, int run_a, const CaptureReader& b, int run_b, int step) {
  const auto first = a.find(run_a, {"latents", step, {}, {}}), second = b.find(run_b, {"latents", step, {}, {}});
  if (!first || !second || first->header.shape != second->header.shape) return std::nullopt;
  const std::vector<float> x = a.values(*first), y = b.values(*second);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += (double{y[i]} - x[i]) * (double{y[i]} - x[i]);
    size += double{x[i]} * x[i];
  }
  return size > 0 ? std::optional(std::sqrt(difference / size)) : std::nullopt;
}

std::optional<double> frame_psnr(const CaptureReader& a, int run_a, const CaptureReader& b, int run_b) {
  const auto first = a.find(run_a, {"frames", {}, {}, {}}), second = b.find(run_b, {"frames", {}, {}, {}});
  if (!first || !second || first->header.shape != second->header.shape) return std::nullopt;
  double squares = 0, count = 0;
  for (std::int64_t frame = 0; frame < first->header.shape.front(); ++frame) {
    const auto x = a.bytes(*first, frame, 1), y = b.bytes(*second, frame, 1);
    for (std::size_t i = 0; i < x.size(); ++i) squares += static_cast<double>((y[i] - x[i]) * (y[i] - x[i]));
    count += static_cast<double>(x.size());
  }
  return 10 * std::log10(255.0 * 255.0 / std::max(squares / count, 255.0 * 255.0 * 1e-10));
}

void compare_heads(const CaptureDifference& d, const CaptureReader& a, const CaptureReader& b, CaptureStepDifference& step) {
  std::map<std::tuple<int, int, int>, const CaptureHead*> heads;
  const auto of_a = a.calls(d.a.run_id, step.step), of_b = b.calls(d.b.run_id, step.step);
  Mean recall_a, recall_b, error_a, error_b, lse, iou;
  for (const CaptureCall& call : of_a) {
    for (const CaptureHead& head : call.heads) {
      heads[{call.layer, call.branch, head.head}] = &head;
      recall_a.add(head.recall);
      error_a.add(head.error_ratio);
    }
  }
  for (const CaptureCall& call : of_b) {
    for (const CaptureHead& head : call.heads) {
      recall_b.add(head.recall);
      error_b.add(head.error_ratio);
      const auto found = heads.find({call.layer, call.branch, head.head});
      if (found == heads.end()) continue;
      const CaptureHead& other = *found->second;
      if (head.lse_mean && other.lse_mean) lse.add(std::abs(*head.lse_mean - *other.lse_mean));
      if (d.a.tokens() != d.b.tokens()) continue;
      iou.add(CapturePlan::block_iou(*a.plan(other.plan_id, d.a.tokens()), *b.plan(head.plan_id, d.b.tokens())));
    }
  }
  step.recall_a = recall_a.get(), step.recall_b = recall_b.get();
  step.error_a = error_a.get(), step.error_b = error_b.get();
  step.lse_difference = lse.get(), step.mask_iou = iou.get();
}

}  // namespace

CaptureDifference capture_difference(const CaptureReader& a, int run_a, const CaptureReader& b, int run_b, double tolerance) {
  CaptureDifference d;
  d.a = a.run(run_a), d.b = b.run(run_b);
  d.same_noise = !d.a.noise_hash.empty() && d.a.noise_hash == d.b.noise_hash;
  d.same_model = d.a.model.fingerprint == d.b.model.fingerprint;
  d.same_prompt = d.a.prompt == d.b.prompt && d.a.negative_prompt == d.b.negative_prompt;
  d.same_sizes = d.a.tokens() == d.b.tokens() && d.a.steps == d.b.steps && d.a.model.layers == d.b.model.layers && d.a.model.heads == d.b.model.heads;
  std::map<int, CaptureStep> other;
  for (const CaptureStep& step : b.steps(run_b)) other[step.step] = step;
  for (const CaptureStep& step : a.steps(run_a)) {
    const auto found = other.find(step.step);
    if (found == other.end()) continue;
    CaptureStepDifference& s = d.steps.emplace_back();
    s.step = step.step;
    s.step_ms_a = step.step_ms, s.step_ms_b = found->second.step_ms;
    s.kept_ratio_a = step.kept_ratio, s.kept_ratio_b = found->second.kept_ratio;
    s.latent_error_ratio = relative_error(a, run_a, b, run_b, step.step + 1);
    compare_heads(d, a, b, s);
    if (d.first_divergence < 0 && s.latent_error_ratio.value_or(0) > tolerance) d.first_divergence = s.step;
  }
  d.frame_psnr_db = frame_psnr(a, run_a, b, run_b);
  return d;
}

}  // namespace ditscope
