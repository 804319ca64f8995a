#include "core/bridge/cuda_attention.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/block_mass.h"
#include "kernels/cuda/int8_attention.h"
#include "kernels/error.h"

namespace ditscope {

#ifdef DITSCOPE_CUDA_KERNELS
namespace {

enum class PlanUse { Attention, Split, WholeTiles };

/// A plan on the GPU, as long as its masks live.
struct KeptPlan {
  std::weak_ptr<const void> kept, first;
  PlanUse use = PlanUse::Attention;
  std::int64_t heads = 0, width = 0;
  at::ScalarType dtype = at::kFloat;
  c10::Device device{c10::kCPU};
  PlanLayout layout;
  at::Tensor bytes;
};

bool same(const std::weak_ptr<const void>& a, const std::shared_ptr<const void>& b) {
  return b ? !a.owner_before(b) && !b.owner_before(a) : true;
}

template <typename Element>
PlanOptions plan_options(const BlockMask& mask, int heads, std::int64_t width, PlanUse use) {
  PlanOptions options;
  // The other two walk all pairs, which any two query blocks share.
  const bool pairs = use != PlanUse::Attention || (!std::is_same_v<Element, float> && cuda_attention_uses_hopper(width, 2));
  options.tile_blocks = tile_blocks_for<Element>(width, pairs ? 2 : better_tile_blocks(mask));
  if (use == PlanUse::Attention && !std::is_same_v<Element, float>) {
    options.most_entries = balanced_entries(mask, heads, options.tile_blocks, cuda_attention_workers(width, options.tile_blocks));
  }
  return options;
}

/// Made when it is first asked for. @param first  the mask that a split visits first, or null
template <typename Element>
KeptPlan plan_on_device(const BlockMask& kept, const BlockMask* first, const at::Tensor& q, PlanUse use) {
  static std::mutex mutex;
  static std::vector<KeptPlan> plans;
  const std::lock_guard lock(mutex);
  std::erase_if(plans, [](const KeptPlan& plan) { return plan.kept.expired() || (plan.use == PlanUse::Split && plan.first.expired()); });
  const std::int64_t heads = q.size(0), width = q.size(2);
  for (const KeptPlan& plan : plans) {
    if (plan.use == use && plan.heads == heads && plan.width == width && plan.dtype == q.scalar_type() &&
        plan.device == q.device() && same(plan.kept, kept.identity()) && (!first || same(plan.first, first->identity()))) {
      return plan;
    }
  }
  const AttentionPlan made = make_attention_plan(kept, static_cast<int>(heads),
                                                 plan_options<Element>(kept, static_cast<int>(heads), width, use), first);
  const at::Tensor host = at::empty({static_cast<std::int64_t>(made.words.size())}, at::kLong);
  std::memcpy(host.data_ptr(), made.words.data(), made.words.size() * sizeof(made.words[0]));
  KeptPlan plan{kept.identity(), {}, use, heads, width, q.scalar_type(), q.device(), made.layout, host.to(q.device())};
  if (first) plan.first = first->identity();
  plans.push_back(plan);
  return plan;
}

/// Every pair of so many tokens; the latest is kept, and with it its plan.
BlockMask every_pair(std::int64_t tokens) {
  static std::mutex mutex;
  static BlockMask latest;
  const std::lock_guard lock(mutex);
  if (latest.queries() != tokens) latest = BlockMask::dense(tokens, tokens);
  return latest;
}

/// Null is the default one; only tests give memory of the CPU, to kernels that are emulated.
void* stream_of(const at::Tensor& tensor) {
  if (!tensor.is_cuda()) return nullptr;
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  return guard.getStream(tensor.device()).native_handle();
}

/// Whether the kernels can read or write a tensor where it lies.
bool movable(const at::Tensor& t) {
  if (t.scalar_type() == at::kFloat) return true;
  return t.stride(2) == 1 && t.stride(0) % 8 == 0 && t.stride(1) % 8 == 0 && t.size(2) % 8 == 0 &&
         reinterpret_cast<std::uintptr_t>(t.data_ptr()) % 16 == 0;
}

/// The tensor, or a copy with zeros up to a multiple of 8 channels.
at::Tensor prepared(const at::Tensor& t) {  // (H,T,D)
  if (!t.defined() || movable(t)) return t;
  return at::constant_pad_nd(t, {0, (8 - t.size(2) % 8) % 8}).contiguous();
}

/// Where results of the width of `q` can be written: the tensor itself, or memory to be copied from.
at::Tensor writable(const at::Tensor& t, const at::Tensor& q) {
  return movable(t) && t.size(2) == q.size(2) ? t : at::empty(q.sizes(), q.options());
}

void copy_back(const at::Tensor& written, at::Tensor target) {
  if (!written.is_same(target)) target.copy_(written.narrow(2, 0, target.size(2)));
}

template <typename Element, int kRank>
DeviceView<Element, kRank> view(const at::Tensor& tensor) {
  DeviceView<Element, kRank> result;
  if (!tensor.defined()) return result;
  result.data = static_cast<Element*>(tensor.data_ptr());
  for (int i = 0; i < kRank; ++i) {
    result.shape[i] = tensor.size(i);
    result.stride[i] = tensor.stride(i);
  }
  return result;
}

Int8Options int8_options(QkPrecision qk) {
  Int8Options options;
  if (qk == QkPrecision::Int8PerToken) options.query_group_tokens = options.key_group_tokens = 1;
  options.smooth_keys = qk != QkPrecision::Int8Unsmoothed;
  return options;
}

/// Attention over a plan, with the logits that a call asks for.
template <typename Element>
void attend(CudaAttentionArguments<Element>& a, QkPrecision qk, const KeptPlan& plan, const at::Tensor& q) {
  const bool int8 = qk != QkPrecision::Float;
  const std::int64_t width = q.size(2),
                     floats = int8 ? cuda_int8_part_floats(plan.layout, width) : part_floats(plan.layout, width);
  const at::Tensor parts = floats > 0 ? at::empty({floats}, q.options().dtype(at::kFloat)) : at::Tensor();
  a.parts = parts.defined() ? parts.data_ptr<float>() : nullptr;
  const DevicePlan placed{plan.layout, plan.bytes.data_ptr()};
  if constexpr (!std::is_same_v<Element, float>) {
    if (int8) {
      const Int8Options options = int8_options(qk);
      const at::Tensor scratch = at::empty({cuda_int8_scratch_bytes(plan.layout, width, options)}, q.options().dtype(at::kByte));
      return cuda_int8_attention(a, options, placed, scratch.data_ptr(), stream_of(q));
    }
  }
  cuda_attention(a, placed, stream_of(q));
}

template <typename Element>
void run_masked(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& row_scale,
                const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp) {
  const at::Tensor q = prepared(call.q[batch]), k = prepared(call.k[batch]), v = prepared(call.v[batch]);  // (H,T,D)
  const at::Tensor target = out[batch], written = writable(target, q);                                     // (H,T,D)
  const at::Tensor scales = row_scale.defined() ? row_scale.to(at::kFloat) : row_scale;
  const at::Tensor added = residual.defined() ? prepared(residual.to(q.scalar_type())) : residual;
  const KeptPlan plan = plan_on_device<Element>(mask, nullptr, q, PlanUse::Attention);
  CudaAttentionArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(call.scale);
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(log_sum_exp);
  a.row_scale = view<const float, 2>(scales);
  a.residual = view<const Element, 3>(added);
  attend(a, call.qk, plan, q);
  copy_back(written, target);
}

template <typename Element>
SplitResult run_split(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped, bool unit_rho,
                      bool with_residual, at::Tensor& out) {
  const at::Tensor q = prepared(call.q[batch]), k = prepared(call.k[batch]), v = prepared(call.v[batch]);  // (H,T,D)
  const at::Tensor target = out[batch], written = writable(target, q);                                     // (H,T,D)
  const KeptPlan plan = plan_on_device<Element>(kept, &skipped, q, PlanUse::Split);
  SplitResult result;
  result.log_sum_exp = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));         // (H,T)
  result.log_sum_exp_kept = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));    // (H,T)
  const at::Tensor residual = with_residual ? at::empty(q.sizes(), q.options()) : at::Tensor();  // (H,T,D)
  CudaSplitArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(call.scale);
  a.unit_rho = unit_rho;
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(result.log_sum_exp);
  a.log_sum_exp_kept = view<float, 2>(result.log_sum_exp_kept);
  a.residual = view<Element, 3>(residual);
  cuda_split_attention(a, {plan.layout, plan.bytes.data_ptr()}, stream_of(q));
  copy_back(written, target);
  if (with_residual) result.residual = residual.narrow(2, 0, target.size(2));  // (H,T,D)
  return result;
}

at::Tensor empty_mass(const at::Tensor& q) {  // (H,M,M)
  const std::int64_t blocks = (q.size(1) + kBlockTokens - 1) / kBlockTokens;
  return at::empty({q.size(0), blocks, blocks}, q.options().dtype(at::kFloat));
}

template <typename Element>
BlockSearch run_search(const LayerCall& one) {
  const at::Tensor q = prepared(one.q[0]), k = prepared(one.k[0]), v = prepared(one.v[0]);  // (H,T,D)
  const KeptPlan plan = plan_on_device<Element>(every_pair(q.size(1)), nullptr, q, PlanUse::WholeTiles);
  const at::Tensor written = at::empty(q.sizes(), q.options());  // (H,T,D)
  BlockSearch result;
  result.log_sum_exp = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));  // (H,T)
  result.mass = empty_mass(q);                                                            // (H,M,M)
  const at::Tensor logs =
      at::empty({cuda_block_log_floats<Element>(plan.layout, q.size(2))}, q.options().dtype(at::kFloat));
  CudaBlockSearchArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(one.scale);
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(result.log_sum_exp);
  a.mass = view<float, 3>(result.mass);
  a.block_logs = logs.data_ptr<float>();
  cuda_block_search(a, {plan.layout, plan.bytes.data_ptr()}, stream_of(q));
  result.out = written.narrow(2, 0, one.q.size(3));  // (H,T,D)
  return result;
}

template <typename Element>
at::Tensor run_mass(const LayerCall& one, const at::Tensor& log_sum_exp) {
  const at::Tensor q = prepared(one.q[0]), k = prepared(one.k[0]);  // (H,T,D)
  const KeptPlan plan = plan_on_device<Element>(every_pair(q.size(1)), nullptr, q, PlanUse::WholeTiles);
  const at::Tensor mass = empty_mass(q);  // (H,M,M)
  CudaBlockMassArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.scale = static_cast<float>(one.scale);
  a.log_sum_exp = view<const float, 2>(log_sum_exp);
  a.mass = view<float, 3>(mass);
  cuda_block_mass(a, {plan.layout, plan.bytes.data_ptr()}, stream_of(q));
  return mass;
}

}  // namespace

bool cuda_kernels_take(const LayerCall& call) {
  static const bool wanted = [] {
    const char* value = std::getenv("DITSCOPE_CUDA_KERNELS");
    return !value || std::strcmp(value, "0") != 0;
  }();
  const auto type = call.q.scalar_type();
  return wanted && call.q.is_cuda() && (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf) && !call.key_mask.defined() &&
         call.q.size(3) <= 256 && !(at::GradMode::is_enabled() && call.q.requires_grad()) && cuda_attention_runs_here();
}

bool cuda_int8_takes(const LayerCall& call) {
  return cuda_kernels_take(call) && call.q.scalar_type() != at::kFloat && call.q.size(3) <= 128 && !call.pv_skip.defined();
}

void cuda_masked_attention(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& row_scale,
                           const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp) {
  switch (call.q.scalar_type()) {
    case at::kBFloat16:
      return run_masked<Bfloat16Bits>(call, batch, mask, row_scale, residual, out, log_sum_exp);
    case at::kHalf:
      return run_masked<Float16Bits>(call, batch, mask, row_scale, residual, out, log_sum_exp);
    default:
      return run_masked<float>(call, batch, mask, row_scale, residual, out, log_sum_exp);
  }
}

SplitResult cuda_split_attention(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped,
                                 bool unit_rho, bool with_residual, at::Tensor& out) {
  switch (call.q.scalar_type()) {
    case at::kBFloat16:
      return run_split<Bfloat16Bits>(call, batch, kept, skipped, unit_rho, with_residual, out);
    case at::kHalf:
      return run_split<Float16Bits>(call, batch, kept, skipped, unit_rho, with_residual, out);
    default:
      return run_split<float>(call, batch, kept, skipped, unit_rho, with_residual, out);
  }
}

BlockSearch cuda_block_search(const LayerCall& one) {
  switch (one.q.scalar_type()) {
    case at::kBFloat16:
      return run_search<Bfloat16Bits>(one);
    case at::kHalf:
      return run_search<Float16Bits>(one);
    default:
      return run_search<float>(one);
  }
}

at::Tensor cuda_block_mass(const LayerCall& one, const at::Tensor& log_sum_exp) {
  switch (one.q.scalar_type()) {
    case at::kBFloat16:
      return run_mass<Bfloat16Bits>(one, log_sum_exp);
    case at::kHalf:
      return run_mass<Float16Bits>(one, log_sum_exp);
    default:
      return run_mass<float>(one, log_sum_exp);
  }
}

#else

bool cuda_kernels_take(const LayerCall&) {
  return false;
}
bool cuda_int8_takes(const LayerCall&) {
  return false;
}

namespace {
[[noreturn]] void refuse() {
  throw Error(ErrorKind::Unsupported,
              "expected a build with kernels for GPUs, got one without; build with -DDITSCOPE_CUDA_KERNELS=ON");
}
}  // namespace

void cuda_masked_attention(const LayerCall&, std::int64_t, const BlockMask&, const at::Tensor&, const at::Tensor&, at::Tensor&,
                           const at::Tensor&) {
  refuse();
}
SplitResult cuda_split_attention(const LayerCall&, std::int64_t, const BlockMask&, const BlockMask&, bool, bool, at::Tensor&) {
  refuse();
}
BlockSearch cuda_block_search(const LayerCall&) {
  refuse();
}
at::Tensor cuda_block_mass(const LayerCall&, const at::Tensor&) {
  refuse();
}

#endif

}  // namespace ditscope
