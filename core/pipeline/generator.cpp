#include "core/pipeline/generator.h"

#include <ATen/ATen.h>
#include <torch/headeronly/version.h>

#include <numeric>

#include "core/checkpoint/safetensors.h"
#include "core/pipeline/generate.h"
#include "core/pipeline/memory_errors.h"
#include "core/pipeline/process_memory.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

c10::ScalarType dtype_of(const std::string& name) {
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  return at::kFloat;
}

/// Refuses what cannot fit before it makes the system kill the program: Linux promises more memory than it has.
void require_memory(const Request& request) {
  if (request.device != "cpu") return;
  const std::int64_t free = available_bytes();
  auto needs = Generator::estimate_bytes(request);
  needs.erase("weights");  // mapped from the files and, where they are converted, known to fit only after the first run
  std::int64_t total = 0;
  std::string parts;
  const auto gigabytes = [](std::int64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
    return std::string(text);
  };
  for (const auto& [name, bytes] : needs) {
    total += bytes;
    parts += (parts.empty() ? "" : ", ") + name + " " + gigabytes(bytes);
  }
  if (free <= 0 || total <= free) return;
  throw Error(ErrorKind::OutOfMemory, "Out of memory before the start: this run needs about " + gigabytes(total) + " (" + parts +
                                          "), " + gigabytes(free) + " are free. Choose fewer frames or a smaller size.");
}

}  // namespace

struct Generator::Impl {
  std::unique_ptr<LoadedModel> model;
  std::filesystem::path tokenizer_of;
  std::unique_ptr<Tokenizer> tokenizer;

  LoadedModel& load(const Request& request) {
    const c10::ScalarType dtype = dtype_of(request.dtype);
    const c10::Device device(request.device);
    if (!model || model->configs().folder.path() != request.model || model->dtype() != dtype || model->device() != device) {
      model.reset();  // before the next one is loaded: two need not fit
      model = std::make_unique<LoadedModel>(read_model_configs(request.model), dtype, device);
    }
    return *model;
  }

  /// Runs `work(model, watch)`; running out of memory frees the model and leaves the generator usable.
  template <typename Work>
  RunResult guarded(const Request& request, EventSink& sink, RunControl& control, Work work) {
    const c10::InferenceMode inference;
    Watch watch{sink, control, "loading"};
    try {
      return work(load(request), watch);
    } catch (const Error&) {
      throw;
    } catch (...) {
      model.reset();
      rethrow_naming_stage(watch.stage);
    }
  }
};

Generator::Generator() : impl_(std::make_unique<Impl>()) {}
Generator::~Generator() = default;

ModelInfo Generator::inspect(const std::filesystem::path& folder) {
  ModelInfo info = read_model_configs(std::filesystem::absolute(folder).lexically_normal()).info;
  try {
    std::error_code failed;
    info.bundled = std::filesystem::equivalent(folder, bundled_model(), failed) && !failed;
  } catch (const Error&) {
    info.bundled = false;  // there is no bundled model here
  }
  return info;
}

std::map<std::string, std::string> Generator::versions() {
  return {{"ditscope", DITSCOPE_VERSION}, {"libtorch", TORCH_VERSION}};
}

RunResult Generator::run(const Request& asked, EventSink& sink, RunControl& control) {
  const Request request = complete(asked);
  require_memory(request);
  return impl_->guarded(request, sink, control,
                        [&](LoadedModel& model, Watch& watch) { return generate(model, request, watch); });
}

RunResult Generator::resume(const RunResult& stopped, EventSink& sink, RunControl& control) {
  if (!stopped.partial)
    throw Error(ErrorKind::InvalidArgument, "This run was not stopped, so there is nothing to resume. Run it again instead.");
  return impl_->guarded(stopped.partial->request, sink, control,
                        [&](LoadedModel& model, Watch& watch) { return generate_rest(model, *stopped.partial, watch); });
}

RunResult Generator::decode(const RunResult& stopped, EventSink& sink, RunControl& control) {
  if (!stopped.partial)
    throw Error(ErrorKind::InvalidArgument, "This run was not stopped, so there is nothing to decode. Its frames are there.");
  return impl_->guarded(stopped.partial->request, sink, control,
                        [&](LoadedModel& model, Watch& watch) { return decode_partial(model, *stopped.partial, watch); });
}

int Generator::count_tokens(const std::filesystem::path& folder, const std::string& text) {
  const auto path = std::filesystem::absolute(folder.empty() ? bundled_model() : folder).lexically_normal();
  if (!impl_->tokenizer || impl_->tokenizer_of != path) {
    impl_->tokenizer = open_tokenizer(ModelFolder::open(path).folder("tokenizer"));
    impl_->tokenizer_of = path;
  }
  return impl_->tokenizer->count(text);
}

void Generator::unload() {
  impl_->model.reset();
}

void Generator::save_latents(const RunResult& result, const std::filesystem::path& file) {
  if (!result.tensors || !result.tensors->latents.defined())
    throw Error(ErrorKind::InvalidArgument, "This run was stopped before it had latents; there is nothing to save.");
  TensorMap tensors{{"latents", result.tensors->latents}};
  if (!result.tensors->latents_per_step.empty())
    tensors["latents_per_step"] = at::stack(result.tensors->latents_per_step);  // (S,B,F,C,Y,X)
  save_tensors(file, tensors);
}

void Generator::save_prompt_embeds(const RunResult& result, const std::filesystem::path& file) {
  if (!result.tensors || !result.tensors->prompt_embeds.defined())
    throw Error(ErrorKind::InvalidArgument, "This run was stopped before it had text embeddings; there is nothing to save.");
  TensorMap tensors{{"prompt_embeds", result.tensors->prompt_embeds}};
  if (result.tensors->negative_prompt_embeds.defined())
    tensors["negative_prompt_embeds"] = result.tensors->negative_prompt_embeds;
  save_tensors(file, tensors);
}

void Generator::save_frames(const RunResult& result, const std::filesystem::path& file) {
  const Frames& frames = result.frames;
  if (frames.empty()) throw Error(ErrorKind::InvalidArgument, "This run has no frames to save: it was stopped before decoding.");
  const at::Tensor rgb =
      at::tensor(at::ArrayRef<float>(frames.rgb)).view({frames.count, frames.height, frames.width, 3});  // (F,Y,X,3)
  save_tensors(file, {{"frames", rgb.permute({0, 3, 1, 2}).contiguous()}});                              // (F,3,Y,X)
}

}  // namespace ditscope
