// Generator::complete(): every field of a request filled in and checked, before a weight is loaded.
#include <algorithm>
#include <cmath>
#include <thread>

#include "core/attention/calibration.h"
#include "core/attention/memory_budget.h"
#include "core/bridge/device.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "core/models/layers.h"
#include "core/pipeline/calibrate_runs.h"
#include "core/pipeline/estimate.h"
#include "core/pipeline/model_configs.h"
#include "core/schedulers/scheduler.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr std::size_t kLongestPrompt_bytes = 64u << 10;
constexpr int kLargestSide_px = 16384;
constexpr int kMostFrames = 100001;
constexpr int kMostTextTokens = 4096;
constexpr int kMostThreads = 1024;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::InvalidArgument, message);
}

void check_text(const std::string& text, const char* what) {
  std::size_t position = 0;
  if (text.size() > kLongestPrompt_bytes)
    refuse("The " + std::string(what) + " has " + std::to_string(text.size()) + " bytes; at most 65536 are read. Shorten it.");
  if (!is_valid_utf8(text, &position))
    refuse("The " + std::string(what) + " is not UTF-8: byte " + std::to_string(position) + " is wrong. Save the text as UTF-8.");
}

void check_prompt(const Request& request, const ModelInfo& info) {
  check_text(request.prompt, "prompt");
  check_text(request.negative_prompt, "negative prompt");
  if (request.prompt.find_first_not_of(" \t\r\n") == std::string::npos)
    refuse("The prompt is empty. Say what to show, for example: " + info.example_prompt);
}

/// A multiple of `multiple` near `value`: the nearest, then the other neighbour.
std::string nearest_multiples(int value, int multiple) {
  const int below = std::max(multiple, value / multiple * multiple);
  const int above = std::min(below + multiple, kLargestSide_px / multiple * multiple);
  if (value <= below) return std::to_string(below);
  return std::to_string(value - below <= above - value ? below : above) + " or " +
         std::to_string(value - below <= above - value ? above : below);
}

void check_side(int value, const char* name, const ModelInfo& info) {
  if (value >= info.size_multiple && value <= kLargestSide_px && value % info.size_multiple == 0) return;
  refuse("A " + std::string(name) + " of " + std::to_string(value) + " px is not possible: this model needs a multiple of " +
         std::to_string(info.size_multiple) +
         ". Nearest: " + nearest_multiples(std::clamp(value, 1, kLargestSide_px), info.size_multiple) + ".");
}

/// Frame counts that come out as asked or follow the model's own rule: 4n + 1, and 8n, which an even number of latents makes.
bool is_frame_count(int frames, int multiple) {
  return frames >= 1 && ((frames - 1) % multiple == 0 || frames % (2 * multiple) == 0);
}

void check_frames(int frames, const ModelInfo& info) {
  const int most = info.max_frames > 0 ? info.max_frames : kMostFrames;
  if (frames <= most && is_frame_count(frames, info.frame_multiple)) return;
  const auto fits = [&](int count) { return count >= 1 && count <= most && (count - 1) % info.frame_multiple == 0; };
  int below = std::clamp(frames, 1, most), above = below;
  while (below > 1 && !fits(below)) --below;
  while (above < most && !fits(above)) ++above;
  std::string nearest = std::to_string(below);
  if (above != below && fits(above))
    nearest =
        frames - below <= above - frames ? nearest + " or " + std::to_string(above) : std::to_string(above) + " or " + nearest;
  refuse(std::to_string(frames) + " frames are not possible: this model makes " + std::to_string(info.frame_multiple) +
         "n + 1. Nearest: " + nearest + ".");
}

void complete_sampling(Request& request, const ModelConfigs& model) {
  const ModelInfo& info = model.info;
  if (request.steps == 0) request.steps = info.default_steps;
  const int most = make_scheduler(model.scheduler_json)->train_timesteps();
  if (request.steps < 1 || request.steps > most)
    refuse("Steps are to be 1 to " + std::to_string(most) + ", got " + std::to_string(request.steps) + ".");
  if (request.scheduler.empty()) request.scheduler = info.default_scheduler;
  find_scheduler(request.scheduler);
  if (request.guidance_scale < 0) request.guidance_scale = info.default_guidance;
  if (!std::isfinite(request.guidance_scale) || request.guidance_scale > 1000)
    refuse("The guidance scale is to be 0 to 1000, got " + std::to_string(request.guidance_scale) + ".");
  request.method = resolve(with_published(request.method, info.published_as, request.steps), request.steps);
}

void complete_size(Request& request, const ModelConfigs& model) {
  const ModelInfo& info = model.info;
  if (request.frames == 0) request.frames = info.default_frames;
  if (request.height == 0) request.height = info.default_height;
  if (request.width == 0) request.width = info.default_width;
  check_frames(request.frames, info);
  check_side(request.height, "height", info);
  check_side(request.width, "width", info);

  if (request.max_sequence_length == 0) request.max_sequence_length = info.max_text_tokens;
  const bool rotary = model.transformer.use_rotary_positional_embeddings;
  if (!rotary && request.max_sequence_length != info.max_text_tokens)
    refuse("This model reads exactly " + std::to_string(info.max_text_tokens) + " text tokens, got " +
           std::to_string(request.max_sequence_length) + ". Leave the maximum sequence length out.");
  if (request.max_sequence_length < 1 || request.max_sequence_length > kMostTextTokens)
    refuse("The maximum sequence length is to be 1 to " + std::to_string(kMostTextTokens) + " tokens, got " +
           std::to_string(request.max_sequence_length) + ".");
}

/// What most of the transformer's weights are stored as.
std::string stored_dtype(const ModelConfigs& model) {
  switch (Checkpoint(model.folder.folder("transformer")).stored_dtype()) {
    case c10::ScalarType::Half:
      return "float16";
    case c10::ScalarType::BFloat16:
      return "bfloat16";
    default:
      return "float32";
  }
}

void complete_machine(Request& request, const ModelConfigs& model) {
  if (request.device.empty()) request.device = cuda_available() ? "cuda" : "cpu";
  if (request.device != "cpu" && request.device != "cuda")
    refuse("The device is to be cpu or cuda, got \"" + request.device + "\".");
  if (request.device == "cuda" && !cuda_available())
    throw Error(ErrorKind::Device, "No GPU can be used here: none is found, or this build has no CUDA. Choose the device cpu.");
  if (request.dtype.empty() || request.dtype == "auto")
    request.dtype = request.device == "cuda" ? stored_dtype(model) : native_bfloat16() ? "mixed" : "float32";
  const std::vector<std::string> dtypes{"auto", "float32", "mixed", "bfloat16", "float16"};
  if (std::find(dtypes.begin(), dtypes.end(), request.dtype) == dtypes.end()) {
    const auto nearest = nearest_name(request.dtype, dtypes);
    refuse("The dtype is to be auto, float32, mixed, bfloat16 or float16, got \"" + request.dtype + "\"" +
           (nearest ? "; did you mean " + *nearest + "?" : "."));
  }
  if (request.dtype == "mixed" && request.device != "cpu")
    refuse("The dtype mixed is for the CPU. Choose the dtype bfloat16 or the device cpu.");
  if (request.threads == 0) request.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (request.threads < 1 || request.threads > kMostThreads)
    refuse("Threads are to be 1 to " + std::to_string(kMostThreads) + ", got " + std::to_string(request.threads) + ".");
}

}  // namespace

Request Generator::complete(const Request& asked) {
  Request request = asked;
  if (request.model.empty()) request.model = bundled_model();
  request.model = std::filesystem::absolute(request.model).lexically_normal();
  const ModelConfigs model = read_model_configs(request.model);
  check_prompt(request, model.info);
  complete_sampling(request, model);
  complete_size(request, model);
  complete_machine(request, model);
  if (request.memory_budget_bytes < 0) refuse("The memory budget is to be 0 (what is free) or more bytes.");
  // Before anything makes the method: a calibration of another run may have tables of other sizes.
  request.method = with_absolute_calibrations(request.method);
  if (has_calibration(request.method)) require_calibrations(request.method, calibration_key(model, request));
  if (request.memory_budget_bytes > 0)
    require_memory_budget(request.method, request.steps, method_sizes(model, request), memory_budget(request, request.memory_budget_bytes));
  if (!request.latents_in.empty() && !std::filesystem::exists(request.latents_in))
    throw Error(ErrorKind::NotFound,
                "There is no file " + request.latents_in.string() + " to take latents from. Check the path.");
  return request;
}

}  // namespace ditscope
