// The CPU's half of a launch: plain C++, tested without a GPU.
#include "kernels/cuda/launch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "kernels/error.h"

namespace ditscope::cuda {
namespace {

[[noreturn]] void refuse(const std::string& expected, const std::string& got, const std::string& advice) {
  throw Error(ErrorKind::InvalidArgument, "expected " + expected + ", got " + got + "; " + advice);
}

template <int kRank>
std::string text(const std::array<std::int64_t, kRank>& shape) {
  std::string all = "(";
  for (std::size_t i = 0; i < kRank; ++i) {
    if (i > 0) all += ',';
    all += std::to_string(shape[i]);
  }
  all += ')';
  return all;
}

template <typename T, int kRank>
void check_shape(const char* name, const DeviceView<T, kRank>& view, const std::array<std::int64_t, kRank>& shape,
                 bool required) {
  if (!view.data && !required) return;
  if (!view.data) refuse(std::string(name) + " to have data", "a null pointer", "give it memory on the device");
  if (view.shape != shape)
    refuse(std::string(name) + " of shape " + text<kRank>(shape), text<kRank>(view.shape), "make them agree");
}

template <typename T>
Strides3 strides(const DeviceView<T, 3>& view) {
  return {view.stride[0], view.stride[1], view.stride[2]};
}
template <typename T>
Strides2 strides(const DeviceView<T, 2>& view) {
  return {view.stride[0], view.stride[1]};
}

/// The 16-bit kernels move 16 bytes at a time. A view that is not there does not hinder.
template <typename T>
void check_vectors(const char* name, const DeviceView<T, 3>& view) {
  if constexpr (sizeof(T) == 2) {
    if (!view.data) return;
    const auto& s = view.stride;
    if (reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 && s[0] % 8 == 0 && s[1] % 8 == 0 && s[2] == 1 &&
        view.shape[2] % 8 == 0)
      return;
    refuse(
        std::string(name) + " with channels side by side, their number and the strides multiples of 8, at a multiple of 16 bytes",
        text<3>(view.shape) + " with strides " + text<3>(s), "copy it to such memory, padded with zeros");
  }
}

/// What all kernels take: q, k, the scale and the plan.
template <class Arguments>
Parameters of_plan(const Arguments& a, const DevicePlan& plan) {
  using Element = std::remove_const_t<std::remove_pointer_t<decltype(a.q.data)>>;
  const PlanLayout& layout = plan.layout;
  const std::int64_t heads = layout.heads, width = a.q.shape[2];
  kernel_width(width, std::is_same_v<Element, float>);
  if (layout.queries * heads > 0) check_shape("q", a.q, {heads, layout.queries, width}, true);
  if (layout.keys * heads > 0) check_shape("k", a.k, {heads, layout.keys, width}, true);
  check_vectors("q", a.q);
  check_vectors("k", a.k);
  if (!std::isfinite(a.scale)) refuse("a finite scale", std::to_string(a.scale), "compute it from the head width");
  if (!plan.data || reinterpret_cast<std::uintptr_t>(plan.data) % 16 != 0) {
    refuse("a plan at a multiple of 16 bytes", "another address", "copy it to memory of its own");
  }
  Parameters p{};
  unsigned char* base = static_cast<unsigned char*>(plan.data);
  p.counters = reinterpret_cast<int*>(base);
  p.tickets = reinterpret_cast<int*>(base + layout.tickets_offset);
  p.items = reinterpret_cast<const PlanItem*>(base + layout.items_offset);
  p.entries = reinterpret_cast<const PlanEntry*>(base + layout.entries_offset);
  p.row_words = reinterpret_cast<const std::uint64_t*>(base + layout.words_offset);
  p.item_count = layout.items;
  p.heads = layout.heads;
  p.queries = static_cast<int>(layout.queries);
  p.keys = static_cast<int>(layout.keys);
  p.width = static_cast<int>(width);
  p.q = a.q.data;
  p.k = a.k.data;
  p.q_strides = strides(a.q);
  p.k_strides = strides(a.k);
  // A scale of 0 would turn the -inf of a masked pair into a NaN.
  p.scale_log2 = std::max(std::abs(a.scale) * kLog2E, std::numeric_limits<float>::min() * 64);
  p.lazy_growth = std::min(8 / p.scale_log2, std::numeric_limits<float>::max());
  p.negative = std::signbit(a.scale);
  return p;
}

/// What both kernels of attention take.
template <class Arguments>
Parameters common(const Arguments& a, const DevicePlan& plan) {
  const PlanLayout& layout = plan.layout;
  const std::int64_t heads = layout.heads, width = a.q.shape[2];
  if (layout.queries * heads > 0) check_shape("out", a.out, {heads, layout.queries, width}, true);
  if (layout.keys * heads > 0) check_shape("v", a.v, {heads, layout.keys, width}, true);
  check_shape("log_sum_exp", a.log_sum_exp, {heads, layout.queries}, false);
  check_shape("residual", a.residual, {heads, layout.queries, width}, false);
  check_vectors("v", a.v);
  check_vectors("out", a.out);
  check_vectors("residual", a.residual);
  Parameters p = of_plan(a, plan);
  p.v = a.v.data;
  p.out = a.out.data;
  p.log_sum_exp = a.log_sum_exp.data;
  p.v_strides = strides(a.v);
  p.out_strides = strides(a.out);
  p.log_sum_exp_strides = strides(a.log_sum_exp);
  return p;
}

std::int64_t blocks_of(std::int64_t tokens) {
  return (tokens + kBlockTokens - 1) / kBlockTokens;
}

void add_block_mass(Parameters& p, const DeviceView<float, 3>& mass, float* logs, const PlanLayout& layout, bool required) {
  check_shape("block_mass", mass, {layout.heads, blocks_of(layout.queries), blocks_of(layout.keys)},
              required && layout.heads * layout.queries * layout.keys > 0);
  if (!mass.data) return;
  if (!logs) refuse("memory for the logs of blocks", "a null pointer", "give it cuda_block_log_floats()");
  p.block_mass = mass.data;
  p.block_logs = logs;
  p.block_mass_strides = strides(mass);
  p.most_entries = std::max(layout.most_entries, 1);
}

}  // namespace

int kernel_width(std::int64_t width, bool floats) {
  if (width >= 1) {
    if (floats) {
      for (const int candidate : kFloatWidths) {
        if (width <= candidate) return candidate;
      }
    } else {
      for (const int candidate : kWidths) {
        if (width <= candidate) return candidate;
      }
    }
  }
  refuse("a head width of 1 to 256", std::to_string(width), "split wider heads");
}

template <typename Element>
Parameters plain_parameters(const CudaAttentionArguments<Element>& a, const DevicePlan& plan) {
  Parameters p = common(a, plan);
  if (plan.layout.splits) refuse("a plan of one mask", "one of two", "make it without the second mask");
  check_shape("row_scale", a.row_scale, {plan.layout.heads, plan.layout.queries}, false);
  if (plan.layout.part_slots > 0 && (!a.parts || std::is_same_v<Element, float>)) {
    refuse("memory for the parts of divided tiles, in bfloat16 or float16", "none, or float32",
           "make the plan with most_entries 0");
  }
  const std::int64_t blocks = blocks_of(plan.layout.queries);
  check_shape("block_scale", a.block_scale, {plan.layout.heads, blocks}, false);
  check_shape("block_vector", a.block_vector, {plan.layout.heads, blocks, a.q.shape[2]}, false);
  p.block_scale = a.block_scale.data;
  p.block_scale_strides = strides(a.block_scale);
  p.block_vector = a.block_vector.data;
  p.block_vector_strides = strides(a.block_vector);
  p.row_scale = a.row_scale.data;
  p.row_scale_strides = strides(a.row_scale);
  p.residual = a.residual.data;
  p.residual_strides = strides(a.residual);
  p.parts = a.parts;
  return p;
}

template <typename Element>
Parameters split_parameters(const CudaSplitArguments<Element>& a, const DevicePlan& plan) {
  Parameters p = common(a, plan);
  if (!plan.layout.splits) refuse("a plan of two masks", "one of one", "give the complement to make_attention_plan()");
  check_shape("log_sum_exp_kept", a.log_sum_exp_kept, {plan.layout.heads, plan.layout.queries}, false);
  p.log_sum_exp_kept = a.log_sum_exp_kept.data;
  p.log_sum_exp_kept_strides = strides(a.log_sum_exp_kept);
  p.skipped_residual = a.residual.data;
  p.skipped_residual_strides = strides(a.residual);
  p.unit_rho = a.unit_rho;
  add_block_mass(p, a.block_mass, a.block_logs, plan.layout, false);
  p.mean_mass = true;
  return p;
}

std::int64_t block_log_floats(const PlanLayout& layout, int blocks) {
  return std::int64_t{std::min(layout.items, blocks)} * std::max(layout.most_entries, 1) * layout.tile_blocks * kBlockTokens;
}

template <typename Element>
Parameters search_parameters(const CudaBlockSearchArguments<Element>& a, const DevicePlan& plan) {
  if (plan.layout.splits || plan.layout.part_slots > 0)
    refuse("a plan of one mask with whole tiles", "another", "make it with most_entries 0");
  CudaSplitArguments<Element> split;
  split.q = a.q;
  split.k = a.k;
  split.v = a.v;
  split.scale = a.scale;
  split.out = a.out;
  split.log_sum_exp = a.log_sum_exp;
  Parameters p = common(split, plan);
  add_block_mass(p, a.mass, a.block_logs, plan.layout, true);
  return p;
}

template <typename Element>
MassParameters mass_parameters(const CudaBlockMassArguments<Element>& a, const DevicePlan& plan) {
  const PlanLayout& layout = plan.layout;
  MassParameters p{};
  p.common = of_plan(a, plan);
  if (layout.splits || layout.part_slots > 0 || layout.tile_blocks != tile_blocks_for<Element>(a.q.shape[2], 2)) {
    refuse(
        "a plan of one mask with whole tiles of " + std::to_string(tile_blocks_for<Element>(a.q.shape[2], 2)) + " query blocks",
        "another", "make it with such PlanOptions");
  }
  check_shape("log_sum_exp", a.log_sum_exp, {layout.heads, layout.queries}, layout.heads * layout.queries > 0);
  check_shape("mass", a.mass, {layout.heads, blocks_of(layout.queries), blocks_of(layout.keys)},
              layout.heads * layout.queries * layout.keys > 0);
  p.log_sum_exp = a.log_sum_exp.data;
  p.log_sum_exp_strides = strides(a.log_sum_exp);
  p.mass = a.mass.data;
  p.mass_strides = strides(a.mass);
  p.query_blocks = static_cast<int>(blocks_of(layout.queries));
  p.key_blocks = static_cast<int>(blocks_of(layout.keys));
  return p;
}

template MassParameters mass_parameters(const CudaBlockMassArguments<float>&, const DevicePlan&);
template MassParameters mass_parameters(const CudaBlockMassArguments<Bfloat16Bits>&, const DevicePlan&);
template MassParameters mass_parameters(const CudaBlockMassArguments<Float16Bits>&, const DevicePlan&);
template Parameters plain_parameters(const CudaAttentionArguments<float>&, const DevicePlan&);
template Parameters plain_parameters(const CudaAttentionArguments<Bfloat16Bits>&, const DevicePlan&);
template Parameters plain_parameters(const CudaAttentionArguments<Float16Bits>&, const DevicePlan&);
template Parameters search_parameters(const CudaBlockSearchArguments<float>&, const DevicePlan&);
template Parameters search_parameters(const CudaBlockSearchArguments<Bfloat16Bits>&, const DevicePlan&);
template Parameters search_parameters(const CudaBlockSearchArguments<Float16Bits>&, const DevicePlan&);
template Parameters split_parameters(const CudaSplitArguments<float>&, const DevicePlan&);
template Parameters split_parameters(const CudaSplitArguments<Bfloat16Bits>&, const DevicePlan&);
template Parameters split_parameters(const CudaSplitArguments<Float16Bits>&, const DevicePlan&);

}  // namespace ditscope::cuda

namespace ditscope {

std::int64_t part_floats(const PlanLayout& layout, std::int64_t width) {
  if (layout.part_slots == 0) return 0;
  // Whichever kernel takes the call: of tiles of two query blocks it may be one for compute capability 9.0.
  const int least = layout.tile_blocks == 2 ? cuda::kNarrowestHopper : 1;
  return std::int64_t{layout.part_slots} * layout.tile_blocks * kBlockTokens *
         (std::max(cuda::kernel_width(width, false), least) + 1);
}

template <typename Element>
int tile_blocks_for(std::int64_t width, int wanted) {
  if (std::is_same_v<Element, float> || cuda::kernel_width(width, false) > cuda::kWidestPair) return 1;
  return wanted;
}
template int tile_blocks_for<float>(std::int64_t, int);
template int tile_blocks_for<Bfloat16Bits>(std::int64_t, int);
template int tile_blocks_for<Float16Bits>(std::int64_t, int);

}  // namespace ditscope
