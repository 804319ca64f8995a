// What a call showed, as rows and arrays of a capture. Formulas of every quantity: docs/capture.md.
#include "core/capture_run/recorder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "core/attention/measure.h"
#include "core/bridge/accelerator.h"
#include "core/bridge/attention.h"
#include "core/capture_run/probe.h"
#include "core/capture_run/selection_plans.h"

namespace ditscope {
namespace {

using Clock = std::chrono::steady_clock;

/// Selections whose planes are remembered: a static mask is one; methods that choose anew need only the last.
constexpr std::size_t kKnownSelections = 64;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Mean and quantiles of what is finite.
struct Spread {
  std::optional<double> mean, p05, p50, p95;

  explicit Spread(std::vector<double> values) {
    std::erase_if(values, [](double value) { return !std::isfinite(value); });
    if (values.empty()) return;
    std::sort(values.begin(), values.end());
    const auto at = [&](double share) {  // linear between neighbours
      const double place = share * static_cast<double>(values.size() - 1);
      const auto low = static_cast<std::size_t>(place);
      const std::size_t high = std::min(low + 1, values.size() - 1);
      return values[low] + (values[high] - values[low]) * (place - static_cast<double>(low));
    };
    mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    p05 = at(0.05), p50 = at(0.5), p95 = at(0.95);
  }
};

/// log(kept) from the larger of both shares' complement.
double log_share(double kept, double skipped) { return kept < 0.5 ? std::log(kept) : std::log1p(-skipped); }

std::vector<float> floats(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

/// In eight sums, which a processor adds side by side.
double mean(const float* values, std::size_t count) {
  std::array<double, 8> sums{};
  for (std::size_t i = 0; i < count; ++i) sums[i % sums.size()] += values[i];
  return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(count);
}

/// Rows of (H,T,D) on the CPU. `index_select` would first copy all of a tensor whose heads do not lie one after the other.
at::Tensor rows_of(const at::Tensor& tensor, const at::Tensor& rows) {
  const std::int64_t heads = tensor.size(0), count = rows.numel(), width = tensor.size(2);
  if (!tensor.is_cpu() || tensor.stride(2) != 1) return tensor.index_select(1, rows.to(tensor.device())).to(at::kCPU).contiguous();
  at::Tensor out = at::empty({heads, count, width}, tensor.options());  // (H,R,D)
  const auto element = static_cast<std::int64_t>(tensor.element_size());
  const auto* from = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
  auto* to = static_cast<std::uint8_t*>(out.data_ptr());
  const auto* row = rows.const_data_ptr<std::int64_t>();
  for (std::int64_t h = 0; h < heads; ++h)
    for (std::int64_t r = 0; r < count; ++r, to += width * element)
      std::memcpy(to, from + (h * tensor.stride(0) + row[r] * tensor.stride(1)) * element, static_cast<std::size_t>(width * element));
  return out;
}

}  // namespace

/// What is known of one batch element of a call.
struct RunRecorder::Probed {
  CaptureCall call;
  bool shadowed = false;
  RowProbe rows;            ///< at the sampled rows
  at::Tensor out_rows;      // (H,R,D) float32
  std::int64_t heads = 0, tokens = 0;
  ExactMap exact;           ///< where it was made
  // Under shadow, of every row:
  at::Tensor log_rho;       // (H,T)
  at::Tensor full, out;     // (H,T,D)
};

CaptureTensor stored(CaptureTensor t, const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kCPU).contiguous();
  t.shape = values.sizes().vec();
  switch (values.scalar_type()) {
    case at::kBFloat16: t.dtype = "<u2", t.encoding = "bf16"; break;
    case at::kHalf: t.dtype = "<f2"; break;
    case at::kDouble: t.dtype = "<f8"; break;
    case at::kInt: t.dtype = "<i4"; break;
    case at::kLong: t.dtype = "<i8"; break;
    case at::kByte: t.dtype = "|u1"; break;
    default: t.dtype = "<f4"; break;
  }
  const auto* bytes = static_cast<const std::uint8_t*>(values.const_data_ptr());
  t.bytes.assign(bytes, bytes + values.nbytes());
  return t;
}

AttentionSession::MeasureSink RunRecorder::sink() {
  return [weak = weak_from_this()](const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
    if (const auto self = weak.lock()) self->on_call(measure, call, plan, out);
  };
}

CaptureTensor RunRecorder::tensor_at(const char* kind, int step, int layer, int branch) const {
  CaptureTensor tensor;
  tensor.kind = kind;
  tensor.step = step;
  tensor.layer = layer;
  tensor.branch = branch;
  return tensor;
}

void RunRecorder::on_call(const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
  if (!writer_.totals().capturing) return;
  const auto start = Clock::now();
  const double shadow_before = step_shadow_seconds_;
  for (std::int64_t b = 0; b < call.q.size(0); ++b) record(measure, call, plan, out, b);
  step_capture_seconds_ += seconds_since(start) - (step_shadow_seconds_ - shadow_before);
}

void RunRecorder::record(const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out, std::int64_t batch) {
  const auto start = Clock::now();
  const CaptureOptions& options = writer_.options();
  const auto b = static_cast<std::size_t>(batch);
  const Selection* selection = b < plan.selections.size() ? plan.selections[b].get() : nullptr;
  const double batches = static_cast<double>(call.q.size(0)), pairs = static_cast<double>(call.q.size(2)) * static_cast<double>(call.q.size(2));
  Probed p;
  p.heads = call.q.size(1);
  p.tokens = call.q.size(2);
  CaptureCall& c = p.call;
  c.step = call.step;
  c.layer = call.layer;
  c.branch = static_cast<int>(batch);
  c.action = step_kind_name(plan.kind);
  c.plan_ms = measure.plan_seconds * 1e3 / batches;
  c.execute_ms = (measure.seconds - measure.plan_seconds) * 1e3 / batches;
  c.correct_ms = measure.method->correct_seconds() * 1e3 / batches;
  c.state_bytes = measure.method_bytes;
  c.plan_bytes = selection ? selection->bytes() : 0;
  c.flops_dense = 4.0 * static_cast<double>(p.heads) * pairs * static_cast<double>(call.q.size(3));
  c.flops_done = *c.flops_dense * measure.kept_ratio_blocks;
  c.heads.resize(static_cast<std::size_t>(p.heads));
  if (selection && !known_.contains(selection)) {
    if (known_.size() >= kKnownSelections) known_.clear();
    const auto* rows = rows_.const_data_ptr<std::int64_t>();
    known_[selection] = {plan.selections[b], selection_plans(*selection, p.heads, p.tokens),
                         selection->kept_tokens(p.heads, at::IntArrayRef(rows, static_cast<std::size_t>(rows_.numel()))).to(at::kFloat).contiguous()};
  }

  p.rows = probe_rows(call, batch, rows_, selection ? known_.at(selection).kept : at::Tensor(), edges_);
  const at::Tensor out_rows = rows_of(out[batch], rows_);  // (H,R,D)
  p.out_rows = out_rows.to(at::kFloat);
  const auto* raw = static_cast<const std::uint8_t*>(out_rows.const_data_ptr());
  c.rows_bytes.assign(raw, raw + out_rows.nbytes());
  c.sampled_rows = rows_.numel();
  const bool chosen = options.chosen(call.step, call.layer), sparse = plan.kind == StepKind::Sparse || plan.kind == StepKind::Cached;
  const std::int64_t block = chosen ? 64 : map_block_tokens(layout_.text_tokens, layout_.text_first, p.tokens, kMap_cells);
  if (options.shadow.contains(call.step))
    shadow(p, call, batch, selection, out, block);
  else if (chosen || (options.level == CaptureOptions::Level::Full && !sparse))
    p.exact = exact_map(call, batch, block);

  const RowCorrection correction = plan.kind == StepKind::Sparse ? measure.method->row_correction(call, batch) : RowCorrection{};
  measure_heads(p, plan, correction);
  measure_mask(p, measure, plan, selection);
  if (const at::Tensor left_out = pv_left_out_ratio(call, batch, plan, measure.qk); left_out.defined()) {
    for (std::size_t h = 0; h < c.heads.size(); ++h) c.heads[h].pv_left_out_ratio = left_out.const_data_ptr<double>()[h];
  }

  if (p.exact.map.defined()) {
    CaptureTensor map = tensor_at("map", call.step, call.layer, c.branch);
    map.source = p.shadowed ? "shadow" : "exact";
    map.block_tokens = static_cast<int>(block);
    map.dtype = "|u1", map.encoding = "log2", map.filter = "up";
    map.shape = p.exact.map.sizes().vec();
    map.values = floats(p.exact.map);
    writer_.add(std::move(map));
  }
  add_rows(p, correction);
  if (chosen) add_operands(call, batch, call.layer);
  c.measure_ms = seconds_since(start) * 1e3 - c.shadow_ms.value_or(0);
  writer_.add(std::move(p.call));
}

/// The dense pass beside the one that ran: what every row really lost.
void RunRecorder::shadow(Probed& p, const LayerCall& call, std::int64_t batch, const Selection* selection, const at::Tensor& out,
                         std::int64_t block_tokens) {
  const auto start = Clock::now();
  const LayerCall element = element_in_slots(call, batch, nullptr);
  p.full = dense_attention(element)[0].to(at::kCPU, at::kFloat).contiguous();  // (H,T,D)
  p.out = out[batch].to(at::kCPU, at::kFloat).contiguous();
  p.exact = exact_map(call, batch, block_tokens);
  const at::Tensor& sums = p.exact.log_sum_exp;
  p.log_rho = selection ? (kept_log_sum_exp(call, batch, *selection) - sums).clamp_max(0).contiguous() : at::zeros_like(sums);
  p.shadowed = true;
  p.call.sampled_rows = p.tokens;
  wait_for(call.q.device());
  const double seconds = seconds_since(start);
  p.call.shadow_ms = seconds * 1e3;
  step_shadow_seconds_ += seconds;
  shadow_seconds_ += seconds;
}

void RunRecorder::measure_heads(Probed& p, const BlockPlan& plan, const RowCorrection& correction) {
  const bool masked = !plan.selections.empty();
  const at::Tensor full = p.shadowed ? p.full : p.rows.full, out = p.shadowed ? p.out : p.out_rows;  // (H,rows,D)
  const std::int64_t count = full.size(1), width = full.size(2), sampled = rows_.numel();
  const std::vector<float> scale = correction.scale.defined() ? floats(correction.scale) : std::vector<float>();          // (H,T)
  const std::vector<float> mass = correction.mass.defined() ? floats(correction.mass) : std::vector<float>();             // (H,T)
  const std::vector<float> residual =
      correction.residual.defined() ? floats(rows_of(correction.residual, rows_)) : std::vector<float>();
  const auto tokens = static_cast<std::size_t>(p.tokens);
  const at::Tensor all_sums = (p.shadowed ? p.exact.log_sum_exp : p.rows.log_sum_exp).contiguous();  // (H,rows)
  const float* lse = all_sums.const_data_ptr<float>();
  const float* kept = (p.shadowed ? p.log_rho : p.rows.kept).const_data_ptr<float>();  // (H,rows), a logarithm under shadow
  for (std::int64_t h = 0; h < p.heads; ++h) {
    CaptureHead& head = p.call.heads[static_cast<std::size_t>(h)];
    head.head = static_cast<int>(h);
    std::vector<double> shares;
    const std::vector<double> sums(lse + h * count, lse + (h + 1) * count);
    for (std::int64_t r = 0; masked && r < count; ++r)
      shares.push_back(p.shadowed ? std::exp(double{kept[h * count + r]}) : double{kept[h * count + r]});
    const Spread lse_spread(sums);
    head.lse_mean = lse_spread.mean, head.lse_p05 = lse_spread.p05, head.lse_p50 = lse_spread.p50, head.lse_p95 = lse_spread.p95;
    if (masked) {
      const Spread rho(shares);
      head.recall = head.rho_true_mean = rho.mean;
      head.rho_true_p05 = rho.p05, head.rho_true_p50 = rho.p50, head.rho_true_p95 = rho.p95;
    }
    double difference2 = 0, full2 = 0, difference1 = 0, full1 = 0, dot = 0, out2 = 0;
    const float* f = full.const_data_ptr<float>() + h * count * width;
    const float* o = out.const_data_ptr<float>() + h * count * width;
    for (std::int64_t i = 0; i < count * width; ++i) {
      if (!std::isfinite(o[i])) {
        ++head.nonfinite_count;
        continue;
      }
      const double d = double{o[i]} - f[i];
      difference2 += d * d, difference1 += std::abs(d);
      full2 += double{f[i]} * f[i], full1 += std::abs(f[i]);
      out2 += double{o[i]} * o[i], dot += double{o[i]} * f[i];
    }
    if (full2 > 0) head.error_ratio = std::sqrt(difference2 / full2), head.error_l1_ratio = difference1 / full1;
    if (full2 > 0 && out2 > 0) head.error_cosine = std::max(0.0, 1 - dot / std::sqrt(full2 * out2));
    p.call.nonfinite_count += head.nonfinite_count;

    const auto first = static_cast<std::size_t>(h) * tokens;
    if (!scale.empty()) {
      const float* used = scale.data() + first;
      head.rho_used_mean = mean(used, tokens);
      head.rho_over_one_ratio = static_cast<double>(std::count_if(used, used + tokens, [](float rho) { return rho > 1; })) / static_cast<double>(tokens);
      std::vector<double> at_rows;
      for (std::int64_t r = 0; r < sampled; ++r) at_rows.push_back(used[rows_.const_data_ptr<std::int64_t>()[r]]);
      const Spread spread(std::move(at_rows));
      head.rho_used_p05 = spread.p05, head.rho_used_p95 = spread.p95;
    }
    if (!mass.empty()) head.row_mass_mean = mean(mass.data() + first, tokens);
    if (!residual.empty()) {
      double added = 0, exact = 0;
      for (std::int64_t i = h * sampled * width; i < (h + 1) * sampled * width; ++i) {
        added += double{residual[static_cast<std::size_t>(i)]} * residual[static_cast<std::size_t>(i)];
        exact += double{p.rows.full.const_data_ptr<float>()[i]} * p.rows.full.const_data_ptr<float>()[i];
      }
      if (exact > 0) head.residual_ratio = std::sqrt(added / exact);
    }
    Before& before = before_[(std::int64_t{p.call.layer} * run_.model.heads + h) * 8 + p.call.branch];
    const float* now = p.rows.log_sum_exp.const_data_ptr<float>() + h * sampled;
    if (!before.log_sum_exp.empty()) {
      double moved = 0;
      for (std::int64_t r = 0; r < sampled; ++r) moved += std::abs(double{now[r]} - before.log_sum_exp[static_cast<std::size_t>(r)]);
      head.lse_delta_mean = moved / static_cast<double>(sampled);
    }
    before.log_sum_exp.assign(now, now + sampled);
  }
}

void RunRecorder::measure_mask(Probed& p, const LayerMeasure& measure, const BlockPlan& plan, const Selection* selection) {
  const double heads = static_cast<double>(p.heads);
  double visited_sum = 0;
  std::vector<double> tiles(static_cast<std::size_t>(p.heads), 1.0);
  for (std::int64_t h = 0; h < p.heads; ++h) {
    CaptureHead& head = p.call.heads[static_cast<std::size_t>(h)];
    head.kept_ratio_requested = measure.kept_ratio_requested;
    head.kept_ratio_achieved = measure.kept_ratio_achieved;
    if (selection) {
      const auto& plans = known_.at(selection).plans;
      head.plan = plans[plans.size() == 1 ? 0 : static_cast<std::size_t>(h)];
      const double blocks = static_cast<double>(head.plan->q_blocks) * head.plan->k_blocks;
      tiles[static_cast<std::size_t>(h)] = static_cast<double>(head.plan->kept_blocks) / blocks;
      if (plan.kind == StepKind::Sparse) head.kept_ratio_achieved = head.plan->kept_ratio;
      Before& before = before_[(std::int64_t{p.call.layer} * run_.model.heads + h) * 8 + p.call.branch];
      if (before.plan != head.plan) before.chosen_at = p.call.step;
      head.iou_previous = before.plan ? std::optional(before.plan == head.plan ? 1.0 : CapturePlan::block_iou(*before.plan, *head.plan)) : std::nullopt;
      head.age_steps = p.call.step - before.chosen_at;
      before.plan = head.plan;
    }
    head.kept_ratio_tiles = plan.kind == StepKind::Sparse ? tiles[static_cast<std::size_t>(h)] : measure.kept_ratio_blocks;
    visited_sum += tiles[static_cast<std::size_t>(h)];
  }
  for (std::int64_t h = 0; h < p.heads; ++h) {
    const double share = visited_sum > 0 ? tiles[static_cast<std::size_t>(h)] / visited_sum : 1 / heads;
    CaptureHead& head = p.call.heads[static_cast<std::size_t>(h)];
    head.plan_ms = *p.call.plan_ms / heads;
    head.execute_ms = *p.call.execute_ms * share;
    head.correct_ms = *p.call.correct_ms * share;
  }
}

void RunRecorder::add_rows(const Probed& p, const RowCorrection& correction) {
  const int step = p.call.step, layer = p.call.layer, branch = p.call.branch;
  CaptureTensor map = tensor_at("map", step, layer, branch);
  map.source = "sampled";
  map.block_tokens = static_cast<int>(cell_tokens_);
  map.dtype = "|u1", map.encoding = "log2", map.filter = "up";
  map.shape = p.rows.map.sizes().vec();
  map.values = floats(p.rows.map);
  writer_.add(std::move(map));

  const auto add = [&](const char* kind, const char* source, const char* dtype, const char* encoding, std::vector<float> values) {
    CaptureTensor t = tensor_at(kind, step, layer, branch);
    t.source = source, t.dtype = dtype, t.encoding = encoding, t.filter = "shuffle";
    t.shape = {p.heads, static_cast<std::int64_t>(values.size()) / p.heads};
    t.values = std::move(values);
    writer_.add(std::move(t));
  };
  add("lse_full", "sampled", "<u2", "linear", floats(p.rows.log_sum_exp));
  if (p.exact.log_sum_exp.defined()) add("lse_full", p.shadowed ? "shadow" : "exact", "<u2", "linear", floats(p.exact.log_sum_exp));
  const bool masked = p.call.heads.front().plan != nullptr;
  if (masked) {
    std::vector<float> log_rho(static_cast<std::size_t>(p.rows.kept.numel()));
    for (std::size_t i = 0; i < log_rho.size(); ++i)
      log_rho[i] = static_cast<float>(log_share(p.rows.kept.const_data_ptr<float>()[i], p.rows.skipped.const_data_ptr<float>()[i]));
    add("log_rho", "sampled", "<f2", "plain", std::move(log_rho));
    if (p.shadowed) add("log_rho", "shadow", "<f2", "plain", floats(p.log_rho));
  }
  if (correction.scale.defined())
    add("log_rho_used", "sampled", "<f2", "plain", floats(correction.scale.index_select(1, rows_.to(correction.scale.device())).log()));
}

void RunRecorder::add_operands(const LayerCall& call, std::int64_t batch, int layer) {
  const std::pair<const char*, const at::Tensor*> operands[] = {{"q", &call.q}, {"k", &call.k}, {"v", &call.v}};
  for (const auto& [kind, tensor] : operands) {
    CaptureTensor t = tensor_at(kind, call.step, layer, static_cast<int>(batch));
    t.source = tensor->scalar_type() == at::kBFloat16 ? "exact" : "estimated";  // rounded to bfloat16
    t.filter = "shuffle";
    t = stored(std::move(t), (*tensor)[batch].to(at::kBFloat16));
    writer_.add(std::move(t));
  }
}

void RunRecorder::end_step(const StepFinished& event, const AttentionSession& session, const StepCacheSession* step_cache,
                           const at::Tensor& latents, double guidance_scale) {
  const auto start = Clock::now();
  const StepRecord& record = event.record;
  CaptureTensor next = tensor_at("latents", record.index + 1, -1, -1);
  next.filter = "shuffle";
  next.may_repeat = next.essential = true;
  writer_.add(stored(std::move(next), latents));
  const Frames& preview = event.preview;
  if (!preview.empty()) writer_.add(stored_frames("preview", record.index, preview));

  CaptureStep step;
  step.step = record.index;
  step.timestep = record.timestep;
  step.guidance_scale = guidance_scale;
  step.action = step_kind_name(record.kind);
  step.step_ms = record.seconds * 1e3;
  step.attention_ms = record.attention_seconds * 1e3;
  step.kept_ratio_requested = record.kept_ratio_requested;
  step.kept_ratio = record.kept_ratio_achieved;
  step.state_bytes = session.bytes_held() + (step_cache ? step_cache->bytes_held() : 0);
  step.replay_from = std::clamp(session.replay_from(record.index, run_.model.layers), 0, record.index);
  if (step_cache) step.replay_from = step_cache->replay_from(record.index, step.replay_from);
  step_capture_seconds_ += seconds_since(start);
  end_step(std::move(step));
}

void RunRecorder::end_step(CaptureStep step) {
  step.capture_ms = step_capture_seconds_ * 1e3;
  if (step_shadow_seconds_ > 0) step.shadow_ms = step_shadow_seconds_ * 1e3;
  capture_seconds_ += step_capture_seconds_;
  step_capture_seconds_ = step_shadow_seconds_ = 0;
  writer_.end_step(std::move(step));
}

void RunRecorder::abandon_step() {
  step_capture_seconds_ = step_shadow_seconds_ = 0;
  writer_.abandon_step();
}

void RunRecorder::end_run(const RunResult& result) {
  if (!result.frames.empty()) {
    CaptureTensor frames = stored_frames("frames", -1, result.frames);
    frames.essential = frames.may_repeat = true;
    writer_.add(std::move(frames));
  }
  end_run([&](CaptureRun& run) {
    run.state = result.stopped ? "stopped: by the user" : "complete";
    run.total_ms = result.seconds * 1e3;
    run.attention_ms = result.attention_seconds * 1e3;
    run.kept_ratio_requested = result.kept_ratio.requested;
    run.kept_ratio_achieved = result.kept_ratio.achieved;
    run.peak_bytes = result.peak_bytes;
  });
}

void RunRecorder::end_run(const std::function<void(CaptureRun&)>& figures) {
  figures(run_);
  run_.capture_ms = capture_seconds_ * 1e3;
  if (shadow_seconds_ > 0) run_.shadow_ms = shadow_seconds_ * 1e3;
  writer_.end_run(run_);
}

}  // namespace ditscope
