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
#include "kernels/error.h"

namespace ditscope {

#ifdef DITSCOPE_CUDA_KERNELS
namespace {

/// A plan on the GPU, as long as its masks live.
struct KeptPlan {
  std::weak_ptr<const void> kept, first;
  bool splits = false;
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
PlanOptions plan_options(const BlockMask& mask, int heads, std::int64_t width, bool splits) {
  PlanOptions options;
  // A split walks all pairs, which any two query blocks share.
  const bool pairs = splits || (!std::is_same_v<Element, float> && cuda_attention_uses_hopper(width, 2));
  options.tile_blocks = tile_blocks_for<Element>(width, pairs ? 2 : better_tile_blocks(mask));
  if (!splits && !std::is_same_v<Element, float>) {
    options.most_entries = balanced_entries(mask, heads, options.tile_blocks, cuda_attention_workers(width, options.tile_blocks));
  }
  return options;
}

/// Made when it is first asked for. @param first  the mask that a split visits first, or null
template <typename Element>
KeptPlan plan_on_device(const BlockMask& kept, const BlockMask* first, const at::Tensor& q) {
  static std::mutex mutex;
  static std::vector<KeptPlan> plans;
  const std::lock_guard lock(mutex);
  std::erase_if(plans, [](const KeptPlan& plan) { return plan.kept.expired() || (plan.splits && plan.first.expired()); });
  const std::int64_t heads = q.size(0), width = q.size(2);
  for (const KeptPlan& plan : plans) {
    if (plan.splits == (first != nullptr) && plan.heads == heads && plan.width == width && plan.dtype == q.scalar_type() &&
        plan.device == q.device() && same(plan.kept, kept.identity()) && (!first || same(plan.first, first->identity()))) {
      return plan;
    }
  }
  const AttentionPlan made = make_attention_plan(
      kept, static_cast<int>(heads), plan_options<Element>(kept, static_cast<int>(heads), width, first != nullptr), first);
  const at::Tensor host = at::empty({static_cast<std::int64_t>(made.words.size())}, at::kLong);
  std::memcpy(host.data_ptr(), made.words.data(), made.words.size() * sizeof(made.words[0]));
  KeptPlan plan{kept.identity(), {},          first != nullptr,   heads, width, q.scalar_type(),
                q.device(),      made.layout, host.to(q.device())};
  if (first) plan.first = first->identity();
  plans.push_back(plan);
  return plan;
}

void* stream_of(const at::Tensor& tensor) {
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

template <typename Element>
void run_masked(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& row_scale,
                const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp) {
  const at::Tensor q = prepared(call.q[batch]), k = prepared(call.k[batch]), v = prepared(call.v[batch]);  // (H,T,D)
  const at::Tensor target = out[batch], written = writable(target, q);                                     // (H,T,D)
  const at::Tensor scales = row_scale.defined() ? row_scale.to(at::kFloat) : row_scale;
  const at::Tensor added = residual.defined() ? prepared(residual.to(q.scalar_type())) : residual;
  const KeptPlan plan = plan_on_device<Element>(mask, nullptr, q);
  const std::int64_t floats = part_floats(plan.layout, q.size(2));
  const at::Tensor parts = floats > 0 ? at::empty({floats}, q.options().dtype(at::kFloat)) : at::Tensor();
  CudaAttentionArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(call.scale);
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(log_sum_exp);
  a.row_scale = view<const float, 2>(scales);
  a.residual = view<const Element, 3>(added);
  a.parts = parts.defined() ? parts.data_ptr<float>() : nullptr;
  cuda_attention(a, {plan.layout, plan.bytes.data_ptr()}, stream_of(q));
  copy_back(written, target);
}

template <typename Element>
SplitResult run_split(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped, bool unit_rho,
                      bool with_residual, at::Tensor& out) {
  const at::Tensor q = prepared(call.q[batch]), k = prepared(call.k[batch]), v = prepared(call.v[batch]);  // (H,T,D)
  const at::Tensor target = out[batch], written = writable(target, q);                                     // (H,T,D)
  const KeptPlan plan = plan_on_device<Element>(kept, &skipped, q);
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

#else

bool cuda_kernels_take(const LayerCall&) {
  return false;
}

void cuda_masked_attention(const LayerCall&, std::int64_t, const BlockMask&, const at::Tensor&, const at::Tensor&, at::Tensor&,
                           const at::Tensor&) {
  throw Error(ErrorKind::Unsupported,
              "expected a build with kernels for GPUs, got one without; build with -DDITSCOPE_CUDA_KERNELS=ON");
}
SplitResult cuda_split_attention(const LayerCall&, std::int64_t, const BlockMask&, const BlockMask&, bool, bool, at::Tensor&) {
  throw Error(ErrorKind::Unsupported,
              "expected a build with kernels for GPUs, got one without; build with -DDITSCOPE_CUDA_KERNELS=ON");
}

#endif

}  // namespace ditscope
