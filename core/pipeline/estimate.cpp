// Generator::estimate_bytes(): what a run will need, shown before it starts and held against the free memory.
#include "core/pipeline/estimate.h"

#include <algorithm>

#include "core/attention/memory_budget.h"
#include "core/attention/registry.h"
#include "core/pipeline/generator.h"
#include "core/pipeline/process_memory.h"

namespace ditscope {
namespace {

/// Mixed runs count as float32: an upper bound.
std::int64_t element_bytes(const Request& request) {
  return request.dtype == "bfloat16" || request.dtype == "float16" ? 2 : 4;
}

/// Hidden states, their normed copy, q, k, v and what attention writes: 8 widths; the feed-forward layer: 4 more.
constexpr std::int64_t kLiveWidths = 12;
/// Tensors of the widest decoder layer that live at once: input, normed, padded for the causal convolution, output, gain, offset.
constexpr std::int64_t kLiveDecoderTensors = 6;
/// An odd count of latents begins with a chunk of three, which becomes nine frames.
constexpr std::int64_t kChunk_frames = 9;

std::int64_t decoder_bytes(const ModelConfigs& model, const Request& request, const RunSizes& sizes) {
  const std::int64_t pixels = std::int64_t{request.height} * request.width;
  const std::int64_t chunk = std::min<std::int64_t>(kChunk_frames, sizes.output_frames);
  // The last block works at full size, at the width of the block before it on its way in.
  const auto& widths = model.vae.block_out_channels;
  const std::int64_t width = widths.size() > 1 ? std::max(widths[0], widths[1]) : widths[0];
  const std::int64_t video = pixels * sizes.output_frames * 3 * (element_bytes(request) + 4);
  return pixels * chunk * width * kLiveDecoderTensors * element_bytes(request) + video;
}

}  // namespace

MethodSizes method_sizes(const ModelConfigs& model, const Request& request) {
  const RunSizes sizes = run_sizes(model, request);
  return {model.transformer.num_layers,          sizes.batch,
          model.transformer.num_attention_heads, sizes.tokens,
          model.transformer.attention_head_dim,  element_bytes(request)};
}

MemoryBudget memory_budget(const Request& request, std::int64_t device_bytes) {
  if (request.device == "cpu") return {device_bytes};
  return {device_bytes, available_bytes()};
}

std::map<std::string, std::int64_t> Generator::estimate_bytes(const Request& asked) {
  const Request request = complete(asked);
  const ModelConfigs model = read_model_configs(request.model);
  const RunSizes sizes = run_sizes(model, request);
  const std::int64_t width = model.transformer.inner_dim();
  const MethodMemory held = method_memory(request.method, request.steps, method_sizes(model, request));
  return {{"weights", model.info.parameters * element_bytes(request)},
          {"activations", sizes.batch * sizes.tokens * width * kLiveWidths * element_bytes(request)},
          {"vae", decoder_bytes(model, request, sizes)},
          {"method", (request.device == "cpu" ? held.device_bytes + held.host_bytes : held.device_bytes) +
                         estimate_step_cache_bytes(model, request)}};
}

}  // namespace ditscope
