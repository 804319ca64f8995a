#include "core/pipeline/attend.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <thread>

#include "core/attention/calibration.h"
#include "core/attention/measure.h"
#include "core/attention/memory_budget.h"
#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/bridge/attention.h"
#include "core/checkpoint/safetensors.h"
#include "core/pipeline/attend_capture.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

[[noreturn]] void refuse(const std::string& expected, const std::string& got, const std::string& advice) {
  throw Error(ErrorKind::InvalidArgument, "expected " + expected + ", got " + got + "; " + advice);
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "(" : ",") + std::to_string(size);
  return text.empty() ? "()" : text + ")";
}

struct Inputs {
  at::Tensor q, k, v;  // (S,B,H,T,D)
};

Inputs read(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const auto take = [&](const char* name) {
    if (file.entries().count(name) == 0) {
      std::string names;
      for (const auto& [key, entry] : file.entries()) names += (names.empty() ? "" : ", ") + key;
      refuse("tensors named q, k and v in " + path.string(), names.empty() ? "none" : names, "rename them");
    }
    at::Tensor tensor = file.tensor(name);
    const auto type = tensor.scalar_type();
    if (type != at::kFloat && type != at::kBFloat16 && type != at::kHalf)
      refuse(std::string(name) + " in float32, bfloat16 or float16", c10::toString(type), "convert it");
    if (tensor.dim() != 5)
      refuse(std::string(name) + " of five dimensions (S,B,H,T,D)", shape_text(tensor.sizes()), "add those of size 1");
    if (tensor.numel() == 0) refuse(std::string(name) + " with values", shape_text(tensor.sizes()), "write a tensor that holds something");
    if (!at::isfinite(tensor).all().item<bool>()) refuse("finite values in " + std::string(name), "infinities or NaN", "check its source");
    return tensor;
  };
  Inputs in{take("q"), take("k"), take("v")};
  for (const auto& [name, tensor] : {std::pair{"k", in.k}, std::pair{"v", in.v}}) {
    if (tensor.sizes() != in.q.sizes())
      refuse(std::string(name) + " of the shape of q, " + shape_text(in.q.sizes()), shape_text(tensor.sizes()), "make them agree");
    if (tensor.scalar_type() != in.q.scalar_type())
      refuse(std::string(name) + " in " + c10::toString(in.q.scalar_type()) + " like q", c10::toString(tensor.scalar_type()), "convert it");
  }
  if (in.q.size(4) > 256) refuse("a head width of 1 to 256", std::to_string(in.q.size(4)), "split the heads");
  return in;
}

void check(const AttendRequest& r, at::IntArrayRef shape) {
  const std::int64_t tokens = shape[3];
  if (r.frames < 1 || r.rows < 1 || r.columns < 1)
    refuse("a grid of at least 1,1,1", std::to_string(r.frames) + "," + std::to_string(r.rows) + "," + std::to_string(r.columns),
           "give frames, rows and columns");
  if (r.text_tokens < 0) refuse("text tokens from 0", std::to_string(r.text_tokens), "change it");
  const double visual = static_cast<double>(r.frames) * static_cast<double>(r.rows) * static_cast<double>(r.columns);
  if (visual + static_cast<double>(r.text_tokens) != static_cast<double>(tokens))
    refuse(std::to_string(tokens) + " tokens as in q",
           std::to_string(r.frames) + " x " + std::to_string(r.rows) + " x " + std::to_string(r.columns) + " + " +
               std::to_string(r.text_tokens) + " of text",
           "change the grid or the text tokens");
  if (!r.conditional.empty() && static_cast<std::int64_t>(r.conditional.size()) != shape[1])
    refuse("a branch for each of " + std::to_string(shape[1]) + " batch elements", std::to_string(r.conditional.size()), "give as many");
  constexpr int kMostSteps = 10000, kMostLayers = 1000;  // schedules name every step and layer
  if (r.first_step < 0 || r.first_step > kMostSteps - shape[0])
    refuse("a first step from 0 to " + std::to_string(kMostSteps - shape[0]), std::to_string(r.first_step), "change it");
  if (r.total_steps > kMostSteps)
    refuse("at most " + std::to_string(kMostSteps) + " steps in total", std::to_string(r.total_steps), "change it");
  if (r.total_steps != 0 && r.total_steps < r.first_step + shape[0])
    refuse("at least " + std::to_string(r.first_step + shape[0]) + " steps in total, first step and steps of the file together",
           std::to_string(r.total_steps), "change one of them");
  if (r.layers > kMostLayers)
    refuse("at most " + std::to_string(kMostLayers) + " layers", std::to_string(r.layers), "change it");
  if (r.layers < 1 || r.layer < 0 || r.layer >= r.layers)
    refuse("a layer from 0 to " + std::to_string(std::max(r.layers, 1) - 1), std::to_string(r.layer), "change it");
  if (!std::isfinite(r.scale) || r.scale < 0) refuse("a finite scale above 0", std::to_string(r.scale), "change it");
  if (const std::string& cache = find_method(r.method.key).step_cache; !cache.empty())
    refuse("a method without a step cache", r.method.key, cache + " reuses blocks of a model, and q, k and v have none; leave it out");
  std::error_code missing;
  for (const std::filesystem::path& written : {r.out, r.capture}) {
    if (!written.empty() && std::filesystem::equivalent(written, r.tensors, missing))
      refuse("another file to write than the one that is read", written.string() + " for both", "change one of them");
  }
  const auto place = [](const std::filesystem::path& file) { return std::filesystem::absolute(file).lexically_normal(); };
  if (!r.out.empty() && !r.capture.empty() && place(r.out) == place(r.capture))
    refuse("a file each for the tensors and the capture", r.out.string() + " for both", "change one of them");
  if (r.memory_budget_bytes < 0) refuse("a memory budget from 0 bytes", std::to_string(r.memory_budget_bytes), "change it");
  if (r.measured_rows < 1) refuse("at least one row to measure", std::to_string(r.measured_rows), "change it");
}

std::int64_t blocks_of(std::int64_t tokens) {
  return (tokens + kBlockTokens - 1) / kBlockTokens;
}

/// (planes, rows, keys) of 0 and 1 -> (planes, N): the share of each block of keys.
at::Tensor block_shares(const at::Tensor& kept) {
  const std::int64_t keys = kept.size(2), blocks = blocks_of(keys);
  const at::Tensor columns = at::constant_pad_nd(kept.to(at::kFloat).mean(1), {0, blocks * kBlockTokens - keys});
  at::Tensor counts = at::full({blocks}, kBlockTokens, at::kFloat);
  counts[blocks - 1] = keys - (blocks - 1) * kBlockTokens;
  return columns.unflatten(1, {blocks, kBlockTokens}).sum(2) / counts;
}

/// Shares of all blocks; `rows_of` gives what is kept of rows first .. last-1.
template <typename RowsOf>
at::Tensor all_shares(std::int64_t heads, std::int64_t queries, const RowsOf& rows_of) {
  std::vector<at::Tensor> blocks;
  for (std::int64_t first = 0; first < queries; first += kBlockTokens) {
    std::vector<std::int64_t> rows;
    for (std::int64_t r = first; r < std::min<std::int64_t>(first + kBlockTokens, queries); ++r) rows.push_back(r);
    blocks.push_back(block_shares(rows_of(rows)));
  }
  const at::Tensor shares = at::stack(blocks, 1);  // (1 or H, M, N)
  return shares.expand({heads, shares.size(1), shares.size(2)});
}

/// What the file holds of one step.
struct StepTensors {
  at::Tensor out, lse, kept;                         // (B,H,T,D) (B,H,T) (B,H,M,N)
  at::Tensor query_slots, key_slots, kept_slots;     // undefined without another order
};

at::Tensor slots_of(const at::Tensor& tokens, std::int64_t count, std::int64_t heads) {
  const at::Tensor marked = at::where(tokens.ge(count), at::full_like(tokens, -1), tokens);
  return marked.expand({heads, marked.size(-1)});
}

StepTensors describe(const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
  const std::int64_t batch = call.q.size(0), heads = call.q.size(1), tokens = call.q.size(2), blocks = blocks_of(tokens);
  const bool everything = plan.selections.empty() || !plan.attended.empty() || plan.kind == StepKind::Refresh;
  StepTensors t{out.contiguous(), at::empty({batch, heads, tokens}, at::kFloat), at::ones({batch, heads, blocks, blocks}, at::kFloat), {}, {}, {}};
  if (plan.kind == StepKind::Cached) {  // an earlier output as it was: no pair is computed
    t.lse.fill_(-std::numeric_limits<float>::infinity());
    t.kept.zero_();
    return t;
  }
  std::vector<at::Tensor> query_slots, key_slots, kept_slots;
  for (std::int64_t b = 0; b < batch; ++b) {
    at::Tensor lse = t.lse[b];
    if (everything) {
      at::Tensor scratch = output_like(call.q);
      masked_attention(call, b, BlockMask::dense(tokens, tokens), {}, {}, scratch, lse);
      continue;
    }
    const Selection& selection = *plan.selections[static_cast<std::size_t>(b)];
    const Arrangement* arrangement = selection.arrangement();
    const LayerCall one = element_in_slots(call, b, arrangement);
    at::Tensor scratch = at::empty(one.q.sizes(), one.q.options()), sums = at::empty({heads, one.q.size(2)}, at::kFloat);
    selected_attention(one, selection, {}, {}, scratch, sums);
    lse.copy_(arrangement ? by_token(sums, *arrangement) : sums);
    t.kept[b].copy_(all_shares(heads, tokens, [&](at::IntArrayRef rows) { return selection.kept_tokens(heads, rows); }));
    if (!arrangement) continue;
    query_slots.push_back(slots_of(arrangement->queries, tokens, heads));
    key_slots.push_back(slots_of(arrangement->keys, tokens, heads));
    kept_slots.push_back(all_shares(heads, one.q.size(2), [&](at::IntArrayRef rows) { return kept_slot_rows(selection, heads, rows); }));
  }
  if (static_cast<std::int64_t>(query_slots.size()) == batch) {
    t.query_slots = at::stack(query_slots);
    t.key_slots = at::stack(key_slots);
    t.kept_slots = at::stack(kept_slots);
  }
  return t;
}

/// Steps one after another; a shorter one is filled up, a missing one consists of `empty`.
at::Tensor stacked(const std::vector<at::Tensor>& steps, double empty) {
  std::vector<std::int64_t> shape;
  at::ScalarType type = at::kFloat;
  for (const at::Tensor& step : steps) {
    if (!step.defined()) continue;
    type = step.scalar_type();
    if (shape.empty()) shape = step.sizes().vec();
    for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = std::max(shape[i], step.size(static_cast<std::int64_t>(i)));
  }
  if (shape.empty()) return {};
  std::vector<at::Tensor> filled;
  for (const at::Tensor& step : steps) {
    at::Tensor whole = at::full(shape, empty, type);
    if (step.defined()) {
      at::Tensor part = whole;
      for (std::int64_t i = 0; i < part.dim(); ++i) part = part.narrow(i, 0, step.size(i));
      part.copy_(step);
    }
    filled.push_back(whole);
  }
  return at::stack(filled);
}

void append_mean(std::vector<double>& to, const at::Tensor& rows) {  // (H,T)
  const at::Tensor means = rows.to(at::kDouble).mean(1).contiguous();
  to.insert(to.end(), means.const_data_ptr<double>(), means.const_data_ptr<double>() + means.numel());
}

AttendStep record_of(const LayerMeasure& m, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out, int rows) {
  const AttentionStats stats = measure(call, plan, out, rows);
  AttendStep step;
  step.step = m.step;
  step.kind = step_kind_name(m.kind);
  step.kept_ratio_requested = m.kept_ratio_requested;
  step.kept_ratio_achieved = m.kept_ratio_achieved;
  step.kept_ratio_blocks = m.kept_ratio_blocks;
  step.seconds = m.seconds;
  step.plan_seconds = m.plan_seconds;
  step.correct_seconds = m.method->correct_seconds();
  step.execute_seconds = m.seconds - step.plan_seconds - step.correct_seconds;
  step.method_bytes = m.method_bytes;
  step.measured_rows = stats.rows;
  step.recall = stats.recall;
  step.relative_l2 = stats.output_error;
  step.relative_l1 = stats.relative_l1;
  step.cosine_error = stats.cosine_error;
  step.log_sum_exp = stats.log_sum_exp;
  for (std::int64_t b = 0; b < call.q.size(0); ++b) {
    const RowCorrection rows_of = m.method->row_correction(call, b);
    if (rows_of.scale.defined()) append_mean(step.rho_used, rows_of.scale);
    if (rows_of.mass.defined()) append_mean(step.row_mass, rows_of.mass);
    const at::Tensor ratio = pv_left_out_ratio(call, b, plan, m.qk);  // (H)
    if (ratio.defined()) step.pv_left_out_ratio.insert(step.pv_left_out_ratio.end(), ratio.const_data_ptr<double>(), ratio.const_data_ptr<double>() + ratio.numel());
  }
  return step;
}

}  // namespace

std::vector<std::int64_t> attend_shape(const std::filesystem::path& tensors) {
  return read(tensors).q.sizes().vec();
}

AttendResult attend_file(const AttendRequest& r, const std::function<bool(std::int64_t)>& goes_on) {
  const c10::InferenceMode inference;
  at::set_num_threads(r.threads > 0 ? r.threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  const Inputs in = read(r.tensors);
  check(r, in.q.sizes());
  const int steps = static_cast<int>(in.q.size(0)), total = r.total_steps > 0 ? r.total_steps : r.first_step + steps;

  if (has_calibration(r.method))
    require_calibrations(r.method, {"", r.layers, total, in.q.size(2), in.q.size(4), r.frames, r.rows, r.columns, r.text_tokens});
  if (r.memory_budget_bytes > 0) {
    const MethodSizes sizes{1, in.q.size(1), in.q.size(2), in.q.size(3), in.q.size(4), static_cast<std::int64_t>(in.q.element_size())};
    require_memory_budget(r.method, total, sizes, r.memory_budget_bytes);
  }
  AttendResult result;
  result.shape = in.q.sizes().vec();
  std::vector<StepTensors> written;
  std::optional<AttendCapture> capture;
  AttentionSession session(r.method, total, [&](const LayerMeasure& m, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
    if (!at::isfinite(out).all().item<bool>())
      refuse("q, k and v whose products float32 can hold", "infinities or NaN in the output of step " + std::to_string(m.step),
             "scale them down");
    result.steps.push_back(record_of(m, call, plan, out, r.measured_rows));
    if (!r.out.empty()) written.push_back(describe(call, plan, out));
    if (capture) capture->on_call(m, call, plan, out);
  });
  result.method = session.choice();
  if (!r.capture.empty()) capture.emplace(r, in.q.sizes(), in.q.scalar_type(), session);
  for (int s = 0; s < steps; ++s) {
    if (goes_on && !goes_on(s)) {
      if (capture) capture->close(session, "stopped: by the user");
      throw Error(ErrorKind::Cancelled, "Stopped before step " + std::to_string(r.first_step + s) + ".");
    }
    LayerCall call;
    call.q = in.q[s];
    call.k = in.k[s];
    call.v = in.v[s];
    call.scale = r.scale > 0 ? r.scale : 1 / std::sqrt(static_cast<double>(in.q.size(4)));
    call.layout = {r.text_tokens, r.text_first, r.frames, r.rows, r.columns};
    call.layer = r.layer;
    call.layers = r.layers;
    call.step = r.first_step + s;
    call.steps = total;
    for (std::int64_t b = 0; b < in.q.size(1); ++b) {
      const bool conditional = r.conditional.empty() || r.conditional[static_cast<std::size_t>(b)];
      call.branches.push_back(conditional ? Branch::Conditional : Branch::Unconditional);
    }
    session.attend(call);
    if (capture) capture->end_step(session, call.step);
  }
  if (capture) capture->close(session, "complete");
  if (r.out.empty()) return result;

  TensorMap tensors;
  const auto put = [&](const char* name, at::Tensor StepTensors::*member, double empty) {
    std::vector<at::Tensor> of_steps;
    for (const StepTensors& step : written) of_steps.push_back(step.*member);
    if (const at::Tensor all = stacked(of_steps, empty); all.defined()) tensors[name] = all;
  };
  put("out", &StepTensors::out, 0);
  put("lse", &StepTensors::lse, 0);
  put("kept", &StepTensors::kept, 1);
  put("query_slots", &StepTensors::query_slots, -1);
  put("key_slots", &StepTensors::key_slots, -1);
  put("kept_slots", &StepTensors::kept_slots, 1);
  save_tensors(r.out, tensors, {{"method", to_string(result.method)}});
  return result;
}

}  // namespace ditscope
