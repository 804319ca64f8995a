#include "core/bridge/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <vector>

#include "core/bridge/cuda_attention.h"
#include "core/bridge/views.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/error.h"
#include "kernels/int8_attention.h"

namespace ditscope {
namespace {

/// Logits that the path of LibTorch operations holds at once.
constexpr std::int64_t kLogitBytes = std::int64_t{256} << 20;

std::int64_t visited_blocks(const BlockMask& mask) {
  return mask.visits_end(0, mask.query_blocks() - 1) - mask.visits_begin(0, 0);
}

std::int64_t all_blocks(std::int64_t tokens) {
  const std::int64_t blocks = (tokens + kBlockTokens - 1) / kBlockTokens;
  return blocks * blocks;
}

/// Which tokens stand at the places of a mask; undefined: as they come.
struct Places {
  at::Tensor queries, keys;  // (P) or (H,P) int
};

HostView<const std::int32_t, 2> order_of(const at::Tensor& tokens, std::int64_t heads) {
  if (!tokens.defined()) return {};
  const std::int64_t places = tokens.size(-1);
  return {tokens.data_ptr<std::int32_t>(), {heads, places}, {tokens.dim() == 1 ? 0 : places, 1}};
}

Int8Options int8_options(const LayerCall& call) {
  const QkPrecision qk = call.qk;
  Int8Options options;
  options.pv_skip = view<const float, 1>(call.pv_skip);
  if (qk == QkPrecision::Int8PerToken) options.query_group_tokens = options.key_group_tokens = 1;
  options.smooth_keys = qk != QkPrecision::Int8Unsmoothed;
  return options;
}

template <typename Element>
void run_kernel(const LayerCall& call, std::int64_t batch, const BlockMask* mask, const at::Tensor& row_scale,
                const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp, const Places& places) {
  const at::Tensor q = widened(call.q[batch]), k = widened(call.k[batch]), v = widened(call.v[batch]);  // (H,T,D)
  at::Tensor target = out[batch];                                                                       // (H,T,D)
  const bool narrow = target.scalar_type() != q.scalar_type();
  const at::Tensor written = narrow ? at::empty(q.sizes(), q.options()) : target;
  const at::Tensor scales = row_scale.defined() ? row_scale.to(at::kFloat) : row_scale;
  const at::Tensor added = residual.defined() ? residual.to(q.scalar_type()) : residual;
  AttentionArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(call.scale);
  a.mask = mask;
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(log_sum_exp);
  a.row_scale = view<const float, 2>(scales);
  a.residual = view<const Element, 3>(added);
  a.query_tokens = order_of(places.queries, q.size(0));
  a.key_tokens = order_of(places.keys, q.size(0));
  const Workers workers = workers_for(q.size(0), mask ? visited_blocks(*mask) : all_blocks(q.size(1)));
  if (call.qk == QkPrecision::Float)
    block_sparse_attention(a, workers);
  else
    int8_attention(a, int8_options(call), workers);
  if (narrow) target.copy_(written);
}

void on_kernel(const LayerCall& call, std::int64_t batch, const BlockMask* mask, const at::Tensor& row_scale,
               const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp, const Places& places = {}) {
  if (call.q.scalar_type() == at::kBFloat16)
    run_kernel<Bfloat16Bits>(call, batch, mask, row_scale, residual, out, log_sum_exp, places);
  else
    run_kernel<float>(call, batch, mask, row_scale, residual, out, log_sum_exp, places);
}

template <typename Element>
SplitResult run_split(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped, bool unit_rho,
                      bool with_residual, at::Tensor& out) {
  const at::Tensor q = widened(call.q[batch]), k = widened(call.k[batch]), v = widened(call.v[batch]);  // (H,T,D)
  at::Tensor target = out[batch];                                                                       // (H,T,D)
  const bool narrow = target.scalar_type() != q.scalar_type();
  const at::Tensor written = narrow ? at::empty(q.sizes(), q.options()) : target;
  SplitResult result;
  result.log_sum_exp = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));       // (H,T)
  result.log_sum_exp_kept = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));  // (H,T)
  if (with_residual) result.residual = at::empty(q.sizes(), q.options());                      // (H,T,D)
  SplitArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(call.scale);
  a.kept = &kept;
  a.skipped = &skipped;
  a.unit_rho = unit_rho;
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(result.log_sum_exp);
  a.log_sum_exp_kept = view<float, 2>(result.log_sum_exp_kept);
  a.residual = view<Element, 3>(result.residual);
  split_attention(a, workers_for(q.size(0), all_blocks(q.size(1))));
  if (narrow) {
    target.copy_(written);
    if (with_residual) result.residual = result.residual.to(target.scalar_type());
  }
  return result;
}

/// Masked attention in LibTorch operations, float32, some rows at a time; null keeps every pair. @return out (H,T,D) and
/// log-sum-exp (H,T)
std::pair<at::Tensor, at::Tensor> in_torch(const LayerCall& call, std::int64_t batch, const BlockMask* mask) {
  const at::Tensor q = call.q[batch].to(at::kFloat), k = call.k[batch].to(at::kFloat),
                   v = call.v[batch].to(at::kFloat);  // (H,T,D)
  const std::int64_t heads = q.size(0), tokens = q.size(1);
  const std::int64_t step =
      std::clamp<std::int64_t>(kLogitBytes / std::max<std::int64_t>(heads * tokens * 4, 1), 1, std::max<std::int64_t>(tokens, 1));
  at::Tensor out = at::empty_like(q), log_sum_exp = at::empty({heads, tokens}, q.options());
  for (std::int64_t first = 0; first < tokens; first += step) {
    const std::int64_t last = std::min(first + step, tokens);
    at::Tensor logits = at::matmul(q.slice(1, first, last), k.transpose(1, 2)) * call.scale;  // (H,rows,T)
    const double lowest = -std::numeric_limits<double>::infinity();
    if (mask) {
      std::vector<std::int64_t> rows(static_cast<std::size_t>(last - first));
      std::iota(rows.begin(), rows.end(), first);
      logits.masked_fill_(kept_rows(*mask, heads, rows).to(q.device()).logical_not_(), lowest);
    }
    if (call.key_mask.defined()) logits.masked_fill_(call.key_mask[batch].logical_not().unsqueeze(0).unsqueeze(0), lowest);
    const at::Tensor sums = at::logsumexp(logits, -1);  // (H,rows)
    const at::Tensor finite =
        at::where(at::isinf(sums), at::zeros_like(sums), sums).unsqueeze(-1);  // a row that keeps nothing gives 0
    out.slice(1, first, last).copy_(at::matmul(at::exp(logits - finite), v));
    log_sum_exp.slice(1, first, last).copy_(sums);
  }
  return {out, log_sum_exp};
}

}  // namespace

at::Tensor kept_rows(const BlockMask& mask, std::int64_t heads, at::IntArrayRef rows) {
  const std::int64_t planes = mask.heads() == 0 ? 1 : heads, count = static_cast<std::int64_t>(rows.size());
  at::Tensor kept = at::zeros({planes, count, mask.keys()}, at::kBool);  // (1 or H, rows, T)
  bool* next = kept.data_ptr<bool>();
  for (std::int64_t h = 0; h < planes; ++h) {
    for (const std::int64_t i : rows) {
      const int list = mask.list_of_head(h), block = static_cast<int>(i / kBlockTokens);
      for (const BlockMask::Visit* visit = mask.visits_begin(list, block); visit != mask.visits_end(list, block); ++visit) {
        std::uint64_t bits = visit->bits == BlockMask::kWhole ? ~std::uint64_t{0} : mask.row_bits(visit->bits)[i % kBlockTokens];
        for (; bits != 0; bits &= bits - 1) next[std::int64_t{visit->key_block} * kBlockTokens + std::countr_zero(bits)] = true;
      }
      next += mask.keys();
    }
  }
  return kept;
}

at::Tensor output_like(const at::Tensor& q) {
  return at::empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q.options()).transpose(1, 2);  // (B,H,T,D)
}

at::Tensor dense_attention(const LayerCall& call) {
  // Measured: the portable code is slower than LibTorch's kernels, the others are faster for every width and both types.
  static const bool vectors = available_instruction_sets().front() != "portable";
  if (!vectors || !kernel_takes(call)) return DenseAttention().attend(call);
  at::Tensor out = output_like(call.q);  // (B,H,T,D)
  for (std::int64_t b = 0; b < call.q.size(0); ++b) on_kernel(call, b, nullptr, {}, {}, out, {});
  return out;
}

void masked_attention(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& row_scale,
                      const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp) {
  if (kernel_takes(call)) return on_kernel(call, batch, &mask, row_scale, residual, out, log_sum_exp);
  if (call.qk != QkPrecision::Float && !cuda_int8_takes(call))
    throw Error(ErrorKind::Unsupported,
                std::string("expected qk=float ") + (call.key_mask.defined() ? "where keys are masked" : "for this call on a GPU") +
                    ", got int8, whose kernels take no key mask and on a GPU want bfloat16 or float16, heads up to 128 wide and "
                    "pv_skip off; set qk=float");
  if (cuda_kernels_take(call)) return cuda_masked_attention(call, batch, mask, row_scale, residual, out, log_sum_exp);
  auto [attended, sums] = in_torch(call, batch, &mask);
  if (row_scale.defined()) attended.mul_(row_scale.unsqueeze(-1));
  if (residual.defined()) attended.add_(residual);
  out[batch].copy_(attended);
  if (log_sum_exp.defined()) log_sum_exp.copy_(sums);
}

bool places_taken(const LayerCall& call) {
  return kernel_takes(call);
}

void masked_attention_by_place(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& query_tokens,
                               const at::Tensor& key_tokens, at::Tensor& out) {
  on_kernel(call, batch, &mask, {}, {}, out, {}, {query_tokens, key_tokens});
}

SplitResult split_attention(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped,
                            bool unit_rho, bool with_residual, at::Tensor& out) {
  if (kernel_takes(call)) {
    return call.q.scalar_type() == at::kBFloat16
               ? run_split<Bfloat16Bits>(call, batch, kept, skipped, unit_rho, with_residual, out)
               : run_split<float>(call, batch, kept, skipped, unit_rho, with_residual, out);
  }
  if (cuda_kernels_take(call)) return cuda_split_attention(call, batch, kept, skipped, unit_rho, with_residual, out);
  auto [full, sums] = in_torch(call, batch, nullptr);
  auto [window, window_sums] = in_torch(call, batch, &kept);
  SplitResult result{sums, window_sums, {}};
  out[batch].copy_(full);
  if (with_residual) {
    const at::Tensor rho = unit_rho ? at::ones_like(sums) : at::exp(window_sums - sums);  // (H,T)
    result.residual = (full - rho.unsqueeze(-1) * window).to(call.q.scalar_type());       // (H,T,D)
  }
  return result;
}

}  // namespace ditscope
