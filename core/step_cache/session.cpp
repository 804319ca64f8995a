#include "core/step_cache/session.h"

#include <algorithm>

#include "core/step_cache/registry.h"

namespace ditscope {
namespace {

/// Steps at which any layer's attention renews what later steps reuse.
std::vector<bool> renewing_steps(const Schedule& schedule, int steps) {
  std::vector<bool> renews(static_cast<std::size_t>(steps));
  for (int step = 0; step < steps; ++step) {
    for (int layer = 0; layer < schedule.layers; ++layer) {
      const StepKind kind = schedule.at(step, layer);
      if (kind == StepKind::Refresh || kind == StepKind::Search) renews[static_cast<std::size_t>(step)] = true;
    }
  }
  return renews;
}

}  // namespace

StepCacheSession::StepCacheSession(const MethodChoice& choice, int steps, const ModelShape& model, const Schedule& attention)
    : steps_(std::max(steps, 1)), renews_(renewing_steps(attention, steps_)), counts_(static_cast<std::size_t>(steps_)) {
  const ParameterValues parameters = resolve(choice, steps_).parameters;
  threshold_ = std::get<double>(parameters.at("cache_threshold"));
  warmup_steps_ = static_cast<int>(std::get<std::int64_t>(parameters.at("cache_warmup_steps")));
  last_steps_ = static_cast<int>(std::get<std::int64_t>(parameters.at("cache_last_steps")));
  cache_ = make_step_cache(choice, steps_, model, notice_);
}

StepCacheSession::StepCacheSession(const StepCacheSession& other)
    : BlockCache(other),
      steps_(other.steps_),
      threshold_(other.threshold_),
      warmup_steps_(other.warmup_steps_),
      last_steps_(other.last_steps_),
      renews_(other.renews_),
      counts_(other.counts_),
      cache_(other.cache_->clone()),
      notice_(other.notice_),
      peak_bytes_(other.peak_bytes_) {}

StepCacheSession::~StepCacheSession() = default;

std::unique_ptr<StepCacheSession> StepCacheSession::fork() const {
  return std::unique_ptr<StepCacheSession>(new StepCacheSession(*this));
}

bool StepCacheSession::must_compute(int step) const {
  return threshold_ <= 0 || step < warmup_steps_ || step >= steps_ - last_steps_ || renews_[static_cast<std::size_t>(std::min(step, steps_ - 1))];
}

int StepCacheSession::enter(const BlockPass& pass, int block, at::Tensor& x) {
  Count& count = counts_[static_cast<std::size_t>(std::clamp(pass.step, 0, steps_ - 1))];
  if (block == 0) count.blocks += pass.blocks;
  const int next = cache_->enter(pass, must_compute(pass.step), block, x);
  count.reused += next - block;
  return next;
}

void StepCacheSession::leave(const BlockPass& pass, const at::Tensor& x) {
  cache_->leave(pass, x);
  peak_bytes_ = std::max(peak_bytes_, cache_->bytes_held());
}

bool StepCacheSession::watches_attention(const BlockPass& pass, int block) const {
  return cache_->watches_attention(pass, block);
}

void StepCacheSession::attended(const BlockPass& pass, int block, const at::Tensor& added) {
  cache_->attended(pass, block, added);
}

double StepCacheSession::reused_ratio(int step) const {
  const Count& count = counts_[static_cast<std::size_t>(std::clamp(step, 0, steps_ - 1))];
  return count.blocks == 0 ? 0 : static_cast<double>(count.reused) / count.blocks;
}

double StepCacheSession::reused_ratio() const {
  Count all;
  for (const Count& count : counts_) {
    all.blocks += count.blocks;
    all.reused += count.reused;
  }
  return all.blocks == 0 ? 0 : static_cast<double>(all.reused) / all.blocks;
}

int StepCacheSession::replay_from(int step, int from) const {
  if (!cache_->starts_anew()) return 0;
  for (from = std::min(step, from); from > 0 && reused_ratio(from) > 0; --from) {
  }
  return from;
}

std::unique_ptr<StepCacheSession> make_step_cache_session(const MethodChoice& choice, int steps, const ModelShape& model,
                                                          const Schedule& attention) {
  if (find_method(choice.key).step_cache.empty()) return nullptr;
  return std::make_unique<StepCacheSession>(choice, steps, model, attention);
}

std::int64_t estimate_step_cache_bytes(const MethodChoice& choice, int steps, const ModelShape& model, const StepCacheSizes& sizes) {
  if (find_method(choice.key).step_cache.empty()) return 0;
  std::string notice;
  return make_step_cache(choice, steps, model, notice)->estimate_bytes(sizes);
}

}  // namespace ditscope
