#include "core/attention/window_plan.h"

#include <algorithm>
#include <tuple>

namespace ditscope {
namespace {

auto fields(const TokenLayout& l) {
  return std::make_tuple(l.text_tokens, l.text_first, l.frames, l.rows, l.columns, l.order);
}

/// A refresh costs as much as full attention and what the window alone gives.
double with_kind(StepKind kind, double kept) {
  return kind == StepKind::Sparse ? kept : kind == StepKind::Refresh ? 1 + kept : 1;
}

}  // namespace

BlockMask window_mask(const TokenLayout& layout, double kept_ratio) {
  const std::int64_t sites = layout.sites(), frames = layout.frames, tokens = layout.tokens(), begin = layout.visual_begin();
  const std::int64_t half = static_cast<std::int64_t>(static_cast<double>(sites) * kept_ratio) / 2;
  const auto span = [](std::int64_t from, std::int64_t to) {
    return TokenSpan{static_cast<std::int32_t>(from), static_cast<std::int32_t>(to)};
  };
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.always = layout.text_first ? span(0, layout.text_tokens) : span(tokens - layout.text_tokens, tokens);
  const bool one_band = layout.order == TokenOrder::PositionMajor || frames == 1;
  d.spans_per_row = one_band ? 1 : static_cast<int>(frames);
  d.spans.reserve(static_cast<std::size_t>(tokens) * d.spans_per_row);
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t visual = i - begin;
    if (visual < 0 || visual >= layout.visual_tokens()) {  // a text query sees everything
      d.spans.push_back(span(0, tokens));
      for (int s = 1; s < d.spans_per_row; ++s) d.spans.push_back(span(tokens, tokens));
      continue;
    }
    const std::int64_t site = one_band ? visual / frames : visual % sites;
    const std::int64_t first = std::max<std::int64_t>(site - half, 0), last = std::min(site + half + 1, sites);
    if (one_band) {
      d.spans.push_back(span(begin + first * frames, begin + last * frames));
    } else {
      for (std::int64_t f = 0; f < frames; ++f) d.spans.push_back(span(begin + f * sites + first, begin + f * sites + last));
    }
  }
  return BlockMask(d);
}

WindowParameters window_parameters(const ParameterValues& parameters, StepKind refresh_kind) {
  const auto integer = [&](const char* key) { return static_cast<int>(std::get<std::int64_t>(parameters.at(key))); };
  return {std::get<double>(parameters.at("kept_ratio")),
          {integer("warmup_steps"), integer("refresh_period"), refresh_kind, integer("dense_layers")}};
}

TokenOrder WindowPlanner::preferred_order(const TokenLayout& layout) {
  return layout.frames > 1 && layout.sites() > 1 ? TokenOrder::PositionMajor : TokenOrder::FrameMajor;
}

Schedule WindowPlanner::schedule(int steps, int layers) const {
  ScheduleRule rule = parameters_.schedule;
  if (parameters_.kept_ratio >= 1) rule.warmup_steps = steps;  // a window of everything is full attention
  return make_schedule(rule, steps, layers);
}

int WindowPlanner::replay_from(int step, int layers) const {
  const Schedule cells = schedule(steps_, layers);
  if (cells.at(step, layers - 1) == StepKind::Full) return step;
  while (step > 0 && cells.at(step, layers - 1) != StepKind::Refresh) --step;
  return step;
}

StepKind WindowPlanner::scheduled(const LayerCall& call) {
  if (schedule_.layers != call.layers || schedule_.cells.empty()) schedule_ = schedule(steps_, call.layers);
  return schedule_.at(call.step, call.layer);
}

BlockPlan WindowPlanner::plan(const LayerCall& call, StepKind kind) {
  if (kind == StepKind::Full) return {};
  if (!kept_ || fields(layout_) != fields(call.layout)) {
    layout_ = call.layout;
    kept_ = std::make_shared<const BlockMask>(window_mask(call.layout, parameters_.kept_ratio));
    skipped_.reset();
    kept_ratio_pairs_ = kept_->kept_ratio();
    kept_ratio_blocks_ = kept_->kept_ratio_blocks();
  }
  return {kind, kept_, with_kind(kind, parameters_.kept_ratio), with_kind(kind, kept_ratio_pairs_),
          with_kind(kind, kept_ratio_blocks_)};
}

const BlockMask& WindowPlanner::skipped() {
  if (!skipped_) skipped_ = std::make_shared<const BlockMask>(kept_->complement());
  return *skipped_;
}

std::int64_t WindowPlanner::bytes() const {
  return (kept_ ? kept_->bytes() : 0) + (skipped_ ? skipped_->bytes() : 0);
}

}  // namespace ditscope
