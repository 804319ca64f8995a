// The CPU's half of an int8 launch: plain C++, tested without a GPU.
#include "kernels/cuda/int8_launch.h"

#include <bit>
#include <string>

#include "kernels/cuda/launch.h"
#include "kernels/expect.h"

namespace ditscope {
namespace cuda {
namespace {

std::int64_t groups_of(std::int64_t tokens, std::int64_t group_tokens) {
  return (tokens + group_tokens - 1) / group_tokens;
}

void expect_groups(const Int8Options& options) {
  for (const std::int64_t tokens : {options.query_group_tokens, options.key_group_tokens}) {
    expect(tokens >= 1 && tokens <= 1 << 20 && std::has_single_bit(static_cast<std::uint64_t>(tokens)),
           "expected groups of a power of two of tokens, got " + std::to_string(tokens) + "; take 1, 64 or 128");
  }
}

/// Hands out scratch memory piece by piece, at multiples of 16 bytes; from a null pointer it only counts.
class Scratch {
 public:
  explicit Scratch(void* data) : data_(static_cast<unsigned char*>(data)) {}
  template <typename T>
  T* take(std::int64_t count) {
    T* piece = data_ ? reinterpret_cast<T*>(data_ + bytes_) : nullptr;
    bytes_ += (count * static_cast<std::int64_t>(sizeof(T)) + 15) / 16 * 16;
    return piece;
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  unsigned char* data_;
  std::int64_t bytes_ = 0;
};

std::int64_t share_out(Scratch& scratch, const PlanLayout& layout, std::int64_t width, const Int8Options& options,
                       Int8Launch& launch) {
  const std::int64_t heads = layout.heads, row_bytes = (width + 31) / 32 * 32;
  launch.queries.row_bytes = launch.keys.row_bytes = static_cast<int>(row_bytes);
  launch.queries.values = scratch.take<signed char>(heads * layout.queries * row_bytes);
  launch.keys.values = scratch.take<signed char>(heads * layout.keys * row_bytes);
  launch.queries.scales = scratch.take<float>(heads * groups_of(layout.queries, options.query_group_tokens));
  launch.keys.scales = scratch.take<float>(heads * groups_of(layout.keys, options.key_group_tokens));
  if (options.smooth_keys) {
    launch.keys.sums = scratch.take<float>(heads * groups_of(layout.keys, kSumTokens) * width);
    launch.keys.mean = scratch.take<float>(heads * width);
    launch.queries.bias = scratch.take<float>(heads * layout.queries);
  }
  return scratch.bytes();
}

}  // namespace

int int8_kernel_width(std::int64_t width) {
  expect(width >= 1 && width <= 128,
         "expected a head width of 1 to 128 for int8 on a GPU, got " + std::to_string(width) + "; use cuda_attention()");
  return width <= 64 ? 64 : 128;
}

template <typename Element>
Int8Launch int8_launch(const CudaAttentionArguments<Element>& a, const Int8Options& options, const DevicePlan& plan,
                       void* scratch) {
  const PlanLayout& layout = plan.layout;
  const std::int64_t width = a.q.shape[2];
  Int8Launch launch{};
  launch.attention = plain_parameters(a, plan);
  int8_kernel_width(width);
  expect_groups(options);
  expect(scratch && reinterpret_cast<std::uintptr_t>(scratch) % 16 == 0,
         "expected scratch memory at a multiple of 16 bytes, got another address; give it cuda_int8_scratch_bytes()");
  Scratch memory(scratch);
  share_out(memory, layout, width, options, launch);
  const auto fill = [&](QuantiseParameters& q, const DeviceView<const Element, 3>& x, std::int64_t tokens, std::int64_t group) {
    q.x = x.data;
    q.strides = {x.stride[0], x.stride[1], x.stride[2]};
    q.heads = layout.heads;
    q.tokens = static_cast<int>(tokens);
    q.width = static_cast<int>(width);
    q.group_tokens = static_cast<int>(group);
  };
  fill(launch.queries, a.q, layout.queries, options.query_group_tokens);
  fill(launch.keys, a.k, layout.keys, options.key_group_tokens);
  launch.smooth = options.smooth_keys && layout.keys > 0;
  if (launch.smooth) {
    launch.keys.subtracted = launch.queries.dotted = launch.keys.mean;
    launch.queries.bias_scale = a.scale;
  }
  Parameters& p = launch.attention;
  const std::int64_t row_bytes = launch.queries.row_bytes;
  p.q = launch.queries.values;
  p.k = launch.keys.values;
  p.q_strides = {layout.queries * row_bytes, row_bytes, 1};
  p.k_strides = {layout.keys * row_bytes, row_bytes, 1};
  p.query_scales = launch.queries.scales;
  p.key_scales = launch.keys.scales;
  p.row_bias = launch.smooth ? launch.queries.bias : nullptr;
  p.query_group_shift = std::countr_zero(static_cast<std::uint64_t>(options.query_group_tokens));
  p.key_group_shift = std::countr_zero(static_cast<std::uint64_t>(options.key_group_tokens));
  return launch;
}

template Int8Launch int8_launch(const CudaAttentionArguments<Bfloat16Bits>&, const Int8Options&, const DevicePlan&, void*);
template Int8Launch int8_launch(const CudaAttentionArguments<Float16Bits>&, const Int8Options&, const DevicePlan&, void*);

}  // namespace cuda

std::int64_t cuda_int8_scratch_bytes(const PlanLayout& layout, std::int64_t width, const Int8Options& options) {
  cuda::int8_kernel_width(width);
  cuda::expect_groups(options);
  cuda::Scratch memory(nullptr);
  cuda::Int8Launch launch{};
  return cuda::share_out(memory, layout, width, options, launch);
}

std::int64_t cuda_int8_part_floats(const PlanLayout& layout, std::int64_t width) {
  return std::int64_t{layout.part_slots} * layout.tile_blocks * kBlockTokens * (cuda::int8_kernel_width(width) + 1);
}

}  // namespace ditscope
