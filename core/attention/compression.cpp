// DiTFastAttn, whole: every step and layer does one of five things, from full attention to nothing at all.
//
// Yuan et al., NeurIPS 2024, arXiv:2406.08552, Sec. 3:
//   FULL          O = softmax(scale * Q K^T) V;  where a later step needs it, R = O - O_window
//   WA-RS         O = O_window + R of the latest full step                       (windows move, what lies outside hardly does)
//   ASC           the conditional branch alone; the unconditional one takes its output
//   WA-RS + ASC   both
//   AST           the output of the latest step that was no AST
//
// Differs from the paper:
// - Outputs are kept per head before the output projection, R too; the paper keeps AST's after it, which is the same sum.
// - The window is any planner's: Re-ttention's sites, or the paper's band with text always on (`window`).
// - WA-RS + ASC adds the residual of the conditional branch; the code adds that of the first half of the batch, whichever branch that
//   is (`asc_residual=first-half`).
// - Where the branches of a call do not come in pairs ASC computes them all.
#include "core/attention/compression.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/attention/calibration.h"
#include "core/attention/methods.h"
#include "core/bridge/attention.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

bool shares(Compression c) {
  return c == Compression::Shared || c == Compression::ResidualShared;
}
bool adds_residual(Compression c) {
  return c == Compression::Residual || c == Compression::ResidualShared;
}
bool is_full(Compression c) {
  return c == Compression::Full || c == Compression::Shared;
}

/// For each batch element the one whose output it takes: itself, or the conditional one of its pair. Empty: no pairs.
std::vector<std::int64_t> pairs_of(const LayerCall& call) {
  std::vector<std::int64_t> conditional, unconditional;
  for (std::size_t b = 0; b < call.branches.size(); ++b)
    (call.branches[b] == Branch::Conditional ? conditional : unconditional).push_back(static_cast<std::int64_t>(b));
  if (conditional.empty() || conditional.size() != unconditional.size()) return {};
  std::vector<std::int64_t> source(call.branches.size());
  for (std::size_t i = 0; i < conditional.size(); ++i) {
    source[static_cast<std::size_t>(conditional[i])] = conditional[i];
    source[static_cast<std::size_t>(unconditional[i])] = conditional[i];
  }
  return source;
}

/// The table of a calibration, as its search wrote it.
CompressionTable read_table(const std::string& file, int steps) {
  const Calibration calibration = Calibration::read(file);
  CompressionTable table{steps, calibration.key.layers, {}};
  for (const double code : calibration.table("plan", {steps, table.layers}).values) {
    if (code < 0 || code > static_cast<double>(kLastCompression) || code != std::floor(code))
      throw Error(ErrorKind::Corrupt, "expected codes 0 to 4 in the plan of " + file + ", got " + std::to_string(code) + "; make it anew");
    table.cells.push_back(static_cast<Compression>(static_cast<int>(code)));
  }
  return table;
}

/// The schedule's full steps and refreshes; of the steps between, every reuse_period-th attends, the others reuse its output.
CompressionTable table_of(const ScheduleRule& rule, int steps, int reuse_period, bool share) {
  constexpr int kLayers = 65;  // one more than dense_layers can name
  const Schedule schedule = make_schedule(rule, steps, kLayers);
  CompressionTable table{schedule.steps, kLayers, {}, true};
  std::vector<int> since(kLayers, 0);  // sparse steps since the last full one
  for (int s = 0; s < schedule.steps; ++s) {
    for (int l = 0; l < kLayers; ++l) {
      Compression c = Compression::Full;
      if (schedule.at(s, l) == StepKind::Sparse) {
        c = since[static_cast<std::size_t>(l)]++ % reuse_period == reuse_period - 1 ? Compression::Residual : Compression::Reuse;
        if (share && c == Compression::Residual) c = Compression::ResidualShared;
      } else {
        since[static_cast<std::size_t>(l)] = 0;
      }
      table.cells.push_back(c);
    }
  }
  return table;
}

}  // namespace

std::unique_ptr<Method> make_compressed(const ParameterValues& parameters, std::unique_ptr<Planner> window, const ScheduleRule& rule,
                                        int steps, QkPrecision qk) {
  const std::string& plan = std::get<std::string>(parameters.at("plan"));
  const auto reuse = static_cast<int>(std::get<std::int64_t>(parameters.at("reuse_period")));
  const bool share = std::get<bool>(parameters.at("share_branches"));
  if (plan == "schedule" && reuse == 1 && !share) return nullptr;
  CompressionOptions options{ResidualStorage::of(parameters), qk};
  options.first_half_residual = std::get<std::string>(parameters.at("asc_residual")) == "first-half";
  ScheduleRule full = rule;
  if (window->keeps_everything()) full.warmup_steps = steps;
  CompressionTable table = plan == "schedule" ? table_of(full, steps, reuse, share) : read_table(plan, steps);
  return std::make_unique<CompressedMethod>(std::move(window), std::move(table), options);
}

Compression& CompressionTable::at(int step, int layer) {
  return cells[static_cast<std::size_t>(std::clamp(step, 0, steps - 1)) * static_cast<std::size_t>(layers) +
               static_cast<std::size_t>(std::clamp(layer, 0, layers - 1))];
}
Compression CompressionTable::at(int step, int layer) const {
  return const_cast<CompressionTable&>(*this).at(step, layer);
}

CompressedMethod::CompressedMethod(std::unique_ptr<Planner> window, CompressionTable table, const CompressionOptions& options)
    : window_(std::move(window)), table_(std::move(table)), options_(options) {}

CompressedMethod::CompressedMethod(const CompressedMethod& other)
    : Method(other),
      window_(other.window_->clone()),
      table_(other.table_),
      options_(other.options_),
      states_(other.states_),
      residuals_(other.residuals_) {}

std::unique_ptr<Method> CompressedMethod::clone() const {
  return std::unique_ptr<Method>(new CompressedMethod(*this));
}

/// Whether a step after this full one, and before the next, adds its residual.
bool CompressedMethod::needs_residual(int step, int layer) const {
  if (options_.keep_all) return true;
  for (int s = step + 1; s < table_.steps && !is_full(table_.at(s, layer)); ++s)
    if (adds_residual(table_.at(s, layer))) return true;
  return false;
}

bool CompressedMethod::needs_output(int step, int layer) const {
  return options_.keep_all || (step + 1 < table_.steps && table_.at(step + 1, layer) == Compression::Reuse);
}

Schedule CompressedMethod::schedule(int steps, int layers) const {
  Schedule schedule{std::max(steps, 1), std::max(layers, 1), {}};
  for (int s = 0; s < schedule.steps; ++s) {
    for (int l = 0; l < schedule.layers; ++l) {
      const Compression c = table_.at(s, l);
      StepKind kind = StepKind::Full;
      if (adds_residual(c)) kind = StepKind::Sparse;
      if (c == Compression::Reuse) kind = StepKind::Cached;
      if (is_full(c) && needs_residual(s, l)) kind = StepKind::Refresh;
      schedule.cells.push_back(kind);
    }
  }
  return schedule;
}

std::int64_t CompressedMethod::estimate_bytes(const MethodSizes& sizes) const {
  MethodSizes one = sizes;
  one.layers = 1;
  const std::int64_t output = sizes.batch * sizes.heads * sizes.tokens * sizes.head_dim * sizes.element_bytes;
  std::int64_t bytes = 0;
  for (int l = 0; l < sizes.layers; ++l) {
    bool residual = false, reuse = false;
    for (int s = 0; s < table_.steps; ++s) {
      residual |= adds_residual(table_.at(s, l));
      reuse |= table_.at(s, l) == Compression::Reuse;
    }
    bytes += (residual ? options_.storage.estimate_bytes(one) : 0) + (reuse ? output : 0);
  }
  return bytes;
}

/// What the table says, or the nearest that what is remembered allows.
Compression CompressedMethod::possible(const LayerCall& call) {
  if (!table_.any_model && table_.layers != call.layers)
    throw Error(ErrorKind::InvalidArgument, "expected the " + std::to_string(table_.layers) + " layers that the plan was made for, got " +
                                                std::to_string(call.layers) + "; make it anew with ditscope-cli calibrate");
  Compression c = table_.at(call.step, call.layer);
  if (shares(c) && pairs_of(call).empty()) c = c == Compression::Shared ? Compression::Full : Compression::Residual;
  const auto shape = call.q.sizes().slice(1).vec();
  for (const State* state : states_.of(call)) {
    const bool same = state->shape == shape;
    if (adds_residual(c) && !(same && state->residual.defined())) c = Compression::Full;
    if (c == Compression::Reuse && !(same && state->output.defined())) c = Compression::Full;
  }
  return c;
}

BlockPlan CompressedMethod::plan(const LayerCall& call) {
  const Compression c = possible(call);
  const double computed = shares(c) ? 0.5 : 1;
  BlockPlan plan;
  plan.requested = plan.achieved = plan.achieved_blocks = computed;
  if (c == Compression::Reuse) {
    plan.kind = StepKind::Cached;
    plan.requested = plan.achieved = plan.achieved_blocks = 0;
    return plan;
  }
  if (is_full(c) && !needs_residual(call.step, call.layer)) return plan;
  for (std::int64_t b = 0; b < call.q.size(0); ++b) plan.selections.push_back(window_->plan(call, b).selection);
  const Selection& first = *plan.selections.front();
  if (!first.has_complement())
    throw Error(ErrorKind::Unsupported, "expected tokens in the order that the window prefers, got another; leave the order to the method");
  plan.mask = first.shared_mask();
  plan.kind = is_full(c) ? StepKind::Refresh : StepKind::Sparse;
  const double full = is_full(c) ? 1 : 0;
  plan.requested = computed * (full + requested_kept_ratio());
  plan.achieved = computed * (full + first.kept_ratio());
  plan.achieved_blocks = computed * (full + first.kept_ratio_blocks());
  return plan;
}

at::Tensor CompressedMethod::execute(const LayerCall& call, const BlockPlan& plan) {
  const Compression c = possible(call);
  const std::int64_t batch = call.q.size(0);
  const std::vector<State*> states = states_.of(call);
  const std::vector<std::int64_t> shape = call.q.sizes().slice(1).vec();
  residuals_.assign(static_cast<std::size_t>(batch), {});
  at::Tensor out = output_like(call.q);  // (B,H,T,D)
  if (c == Compression::Reuse) {
    for (std::int64_t b = 0; b < batch; ++b) out[b].copy_(states[static_cast<std::size_t>(b)]->output);
    return out;
  }
  std::vector<std::int64_t> source(static_cast<std::size_t>(batch));
  for (std::int64_t b = 0; b < batch; ++b) source[static_cast<std::size_t>(b)] = b;
  if (shares(c)) source = pairs_of(call);
  const bool refreshes = plan.kind == StepKind::Refresh;
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto at_b = static_cast<std::size_t>(b);
    if (source[at_b] != b) continue;
    LayerCall one = call;
    one.qk = options_.qk;
    if (adds_residual(c)) {
      const std::size_t from = shares(c) && options_.first_half_residual ? at_b % static_cast<std::size_t>(batch / 2) : at_b;
      residuals_[at_b] = states[from]->residual.restored();
      masked_attention(one, b, *plan.mask, {}, residuals_[at_b], out);
    } else if (refreshes) {
      const Selection& window = *plan.selections[at_b];
      const SplitResult split = split_attention(call, b, window.mask(), window.skipped(), /*unit_rho=*/true, /*with_residual=*/true, out);
      states[at_b]->residual = StoredResidual(split.residual, options_.storage);
    } else {
      for (at::Tensor* tensor : {&one.q, &one.k, &one.v}) *tensor = tensor->narrow(0, b, 1);
      if (one.key_mask.defined()) one.key_mask = one.key_mask.narrow(0, b, 1);
      one.branches = {call.branches.empty() ? Branch::Conditional : call.branches[at_b]};
      out[b].copy_(dense_attention(one)[0]);
      states[at_b]->residual = {};
    }
  }
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto at_b = static_cast<std::size_t>(b), from = static_cast<std::size_t>(source[at_b]);
    if (from != at_b) {
      out[b].copy_(out[source[at_b]]);
      residuals_[at_b] = residuals_[from];
      if (is_full(c)) states[at_b]->residual = states[from]->residual;
    }
    states[at_b]->output = needs_output(call.step, call.layer) ? out[b].clone() : at::Tensor();
    states[at_b]->shape = shape;
  }
  return out;
}

RowCorrection CompressedMethod::row_correction(const LayerCall&, std::int64_t batch) {
  if (static_cast<std::size_t>(batch) >= residuals_.size()) return {};
  return {{}, {}, residuals_[static_cast<std::size_t>(batch)]};
}

std::int64_t CompressedMethod::bytes_held() const {
  std::set<const Selection*> selections;
  window_->add_selections(selections);
  std::int64_t bytes = window_->bytes_held() + states_.bytes([](const State& state) {
    return state.residual.bytes() + (state.output.defined() ? static_cast<std::int64_t>(state.output.nbytes()) : 0);
  });
  for (const Selection* selection : selections) bytes += selection->bytes();
  return bytes;
}

}  // namespace ditscope
