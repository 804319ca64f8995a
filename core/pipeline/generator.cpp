#include "core/pipeline/generator.h"

#include <ATen/ATen.h>
#include <torch/headeronly/version.h>

#include <numeric>

#include "core/attention/memory_budget.h"
#include "core/attention/registry.h"
#include "core/bridge/accelerator.h"
#include "core/capture/capture_options.h"
#include "core/capture/fingerprint.h"
#include "core/capture_run/replay.h"
#include "core/checkpoint/safetensors.h"
#include "core/pipeline/calibrate_runs.h"
#include "core/pipeline/estimate.h"
#include "core/pipeline/generate.h"
#include "core/pipeline/memory_errors.h"
#include "core/pipeline/process_memory.h"
#include "core/pipeline/sampled_calls.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

/// Refuses what cannot fit before it makes the system kill the program: Linux promises more memory than it has.
void require_memory(const Request& request) {
  if (request.device != "cpu") {  // what a run needs besides is the allocator's to say
    const std::int64_t free = free_device_bytes(c10::Device(request.device));
    return require_memory_budget(request.method, request.steps, method_sizes(read_model_configs(request.model), request),
                                 memory_budget(request, free));
  }
  const std::int64_t free = available_bytes();
  auto needs = Generator::estimate_bytes(request);
  needs.erase("weights");  // mapped from the files and, where they are converted, known to fit only after the first run
  std::int64_t total = 0;
  std::string parts;
  for (const auto& [name, bytes] : needs) {
    total += bytes;
    parts += (parts.empty() ? "" : ", ") + name + " " + bytes_text(bytes);
  }
  if (free <= 0 || total <= free) return;
  const std::string offers = lighter_residuals(request.method, request.steps, method_sizes(read_model_configs(request.model), request),
                                               {free - (total - needs.at("method"))});
  throw Error(ErrorKind::OutOfMemory, "Out of memory before the start: this run needs about " + bytes_text(total) + " (" + parts +
                                          "), " + bytes_text(free) + " are free." +
                                          (offers.empty() ? " Choose fewer frames or a smaller size." : offers));
}

/// Empty where there is no such folder.
std::string fingerprint_of(const std::filesystem::path& folder) {
  try {
    return model_fingerprint(folder);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
    return {};
  }
}

}  // namespace

struct Generator::Impl {
  std::unique_ptr<LoadedModel> model;
  std::filesystem::path tokenizer_of;
  std::unique_ptr<Tokenizer> tokenizer;

  LoadedModel& load(const Request& request) {
    const Precision precision = Precision::of(request.dtype);
    const c10::Device device(request.device);
    if (!model || model->configs().folder.path() != request.model || model->precision() != precision || model->device() != device) {
      model.reset();  // before the next one is loaded: two need not fit
      model = std::make_unique<LoadedModel>(read_model_configs(request.model), precision, device);
    }
    return *model;
  }

  /// Runs `work(model, watch)`; running out of memory frees the model and leaves the generator usable.
  template <typename Work>
  auto guarded(const Request& request, EventSink& sink, RunControl& control, Work work) {
    const c10::InferenceMode inference;
    Watch watch{sink, control, "loading"};
    try {
      return work(load(request), watch);  // what the work returns
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

RunResult Generator::run(const Request& asked, EventSink& sink, RunControl& control, CaptureWriter* capture) {
  const Request request = complete(asked);
  require_memory(request);
  return impl_->guarded(request, sink, control, [&](LoadedModel& model, Watch& watch) {
    watch.capture = capture;
    return generate(model, request, watch);
  });
}

Calibration Generator::calibrate(const CalibrationTask& asked, EventSink& sink, RunControl& control) {
  if (asked.prompts.empty()) throw Error(ErrorKind::InvalidArgument, "expected at least one prompt to calibrate with, got none; add one");
  CalibrationTask task = asked;
  task.request.prompt = task.prompts.front();
  task.request = complete(task.request);
  require_memory(task.request);
  return impl_->guarded(task.request, sink, control, [&](LoadedModel& model, Watch& watch) { return ditscope::calibrate(model, task, watch); });
}

RunResult Generator::resume(const RunResult& stopped, EventSink& sink, RunControl& control) {
  if (!stopped.partial)
    throw Error(ErrorKind::InvalidArgument, "This run was not stopped, so there is nothing to resume. Run it again instead.");
  return impl_->guarded(stopped.partial->request, sink, control,
                        [&](LoadedModel& model, Watch& watch) { return generate_rest(model, *stopped.partial, watch); });
}

RunResult Generator::resume_as(const MethodChoice& method, const RunResult& stopped, EventSink& sink, RunControl& control) {
  if (!stopped.partial)
    throw Error(ErrorKind::InvalidArgument, "This run was not stopped, so no other method can go on with it. Stop it after some steps.");
  PartialRun partial = *stopped.partial;
  partial.request.method = method;
  partial.request = complete(partial.request);
  partial.attention.reset();
  partial.result.request = partial.request;
  return impl_->guarded(partial.request, sink, control,
                        [&](LoadedModel& model, Watch& watch) { return generate_rest(model, partial, watch); });
}

std::shared_ptr<const SampledCalls> Generator::sample_calls(const RunResult& stopped, const std::vector<int>& steps, EventSink& sink,
                                                            RunControl& control) {
  if (!stopped.partial || steps.empty() || steps.front() < stopped.partial->state.next_step)
    throw Error(ErrorKind::InvalidArgument, "expected a stopped run and steps after it, got others; stop the run earlier");
  return impl_->guarded(stopped.partial->request, sink, control, [&](LoadedModel& model, Watch& watch) {
    return sample_attention(model, *stopped.partial, steps, watch);
  });
}

RunResult Generator::decode(const RunResult& stopped, EventSink& sink, RunControl& control) {
  if (!stopped.partial)
    throw Error(ErrorKind::InvalidArgument, "This run was not stopped, so there is nothing to decode. Its frames are there.");
  return impl_->guarded(stopped.partial->request, sink, control,
                        [&](LoadedModel& model, Watch& watch) { return decode_partial(model, *stopped.partial, watch); });
}

CaptureSizes Generator::capture_sizes(const Request& asked) {
  const Request request = complete(asked);
  const ModelConfigs model = read_model_configs(request.model);
  const RunSizes run = run_sizes(model, request);
  const CogVideoXConfig& transformer = model.transformer;
  const std::int64_t element = c10::elementSize(Precision::of(request.dtype).dtype);
  CaptureSizes sizes;
  sizes.steps = request.steps;
  sizes.layers = transformer.num_layers;
  sizes.branches = static_cast<int>(run.batch);
  sizes.heads = transformer.num_attention_heads;
  sizes.head_width = transformer.attention_head_dim;
  sizes.tokens = run.tokens;
  sizes.text_tokens = request.max_sequence_length;
  sizes.latent_bytes = run.latent_frames * transformer.in_channels * run.rows * run.columns * element;
  sizes.text_bytes = run.batch * request.max_sequence_length * transformer.text_embed_dim * element;
  sizes.preview_bytes = run.latent_frames * run.rows * run.columns * 3;
  sizes.frames_bytes = std::int64_t{run.output_frames} * request.height * request.width * 3;
  const Schedule schedule = make_method(request.method, request.steps)->schedule(request.steps, sizes.layers);
  for (int step = 0; step < request.steps; ++step) {
    const StepKind kind = schedule.at(step, sizes.layers - 1);
    sizes.dense_steps += kind != StepKind::Sparse && kind != StepKind::Cached;
  }
  return sizes;
}

std::filesystem::path Generator::model_of(const CaptureRun& run, const std::filesystem::path& chosen) {
  namespace fs = std::filesystem;
  if (run.model.class_name == "tensors")
    throw Error(ErrorKind::NotFound, "This capture was made of q, k and v from a file: no model can make more of them than it holds.");
  fs::path folder = chosen.empty() ? request_from_json(run.request).model : fs::absolute(chosen).lexically_normal();
  if (folder.empty()) folder = bundled_model();
  const std::string found = fingerprint_of(folder);
  if (found == run.model.fingerprint) return folder;
  if (chosen.empty()) {
    try {  // of a capture from another machine
      fs::path bundled = bundled_model();
      if (fingerprint_of(bundled) == run.model.fingerprint) return bundled;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::NotFound) throw;
    }
  }
  const auto hash = [](const std::string& fingerprint) { return fingerprint.substr(0, 12); };
  const std::string here = "Maps, masks and curves come from the file; exact rows, tiles and q\u00b7k need the folder of those weights: "
                           "\"Locate model\u2026\" in the window, --model on the command line.";
  if (found.empty()) {
    throw Error(ErrorKind::NotFound, "Replay is off: this machine does not have the model of this capture, " + run.model.name + " (hash " +
                                         hash(run.model.fingerprint) + "): no folder " + folder.string() + ". " + here);
  }
  throw Error(ErrorKind::InvalidArgument, "Replay is off: the model in " + folder.string() + " is another one than this capture was made with (hash " +
                                              hash(found) + ", the capture's " + hash(run.model.fingerprint) + "). " + here);
}

AttentionOperands Generator::replay(const CaptureReader& capture, int run_id, int step, int layer, int branch,
                                    const std::filesystem::path& model_folder, EventSink& sink, RunControl& control) {
  const CaptureRun run = capture.run(run_id);
  Request request = request_from_json(run.request);
  request.model = model_of(run, model_folder);
  request = complete(request);
  return impl_->guarded(request, sink, control, [&](LoadedModel& model, Watch& watch) {
    return replay_call(model, request, capture, run_id, step, layer, branch, watch);
  });
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
