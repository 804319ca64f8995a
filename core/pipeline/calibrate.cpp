// Generator::calibrate(): what some methods find out about a model and grid before any run, with a few prompts.
#include "core/pipeline/calibrate.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <map>

#include "core/bridge/attention.h"
#include "core/capture/fingerprint.h"
#include "core/pipeline/calibrate_runs.h"
#include "kernels/error.h"

namespace ditscope {

at::Tensor WatchedAttention::attend(const LayerCall& call) {
  at::Tensor out = dense_attention(call);  // (B,H,T,D)
  visit_(call, out);
  return out;
}

CalibrationKey calibration_key(const ModelConfigs& model, const Request& request) {
  const RunSizes sizes = run_sizes(model, request);
  const CogVideoXConfig& c = model.transformer;
  const std::int64_t visual = sizes.tokens - request.max_sequence_length;
  CalibrationKey key;
  key.model = model_fingerprint(model.folder.path());
  key.layers = static_cast<int>(c.num_layers);
  key.steps = request.steps;
  key.heads = c.num_attention_heads;
  key.head_dim = c.attention_head_dim;
  key.rows = sizes.rows / c.patch_size;
  key.columns = sizes.columns / c.patch_size;
  key.frames = visual / (key.rows * key.columns);
  key.text_tokens = request.max_sequence_length;
  return key;
}

CalibrationRuns::CalibrationRuns(LoadedModel& model, const CalibrationTask& task, Watch& watch)
    : model_(model), request_(task.request), watch_(watch), key_(calibration_key(model.configs(), task.request)) {
  at::set_num_threads(request_.threads);
  scheduler_ = make_scheduler(model.configs().scheduler_json, request_.scheduler);
  scheduler_->set_timesteps(request_.steps);
  const RunSizes sizes = run_sizes(model.configs(), request_);
  branches_ = {Branch::Conditional};
  if (sizes.batch == 2) branches_ = {Branch::Unconditional, Branch::Conditional};
  const auto embed = [&](const std::string& text) {
    return model.embed(model.tokenizer().encode(text, request_.max_sequence_length), watch);  // (1,T,C)
  };
  for (std::size_t i = 0; i < task.prompts.size(); ++i) {
    const at::Tensor prompt = embed(task.prompts[i]);
    texts_.push_back(sizes.batch == 2 ? at::cat({embed(request_.negative_prompt), prompt}) : prompt);  // (B,T,C)
    DenoisingState state;
    state.generator = at::detail::createCPUGenerator(request_.seed + i);
    const at::Tensor noise = at::randn({1, sizes.latent_frames, model.configs().transformer.in_channels, sizes.rows, sizes.columns},
                                       state.generator, at::TensorOptions().dtype(model.dtype()));
    state.latents = noise.to(model.device()).mul(scheduler_->init_noise_sigma());  // (1,F,C,Y,X)
    states_.push_back(std::move(state));
  }
  model.finish_text();
}

int CalibrationRuns::layers() const {
  return key_.layers;
}

DenoisingTask CalibrationRuns::task_of(int run) const {
  return {model_.transformer(watch_), *scheduler_, texts_[static_cast<std::size_t>(run)], branches_, request_.guidance_scale,
          request_.dynamic_cfg};
}

at::Tensor CalibrationRuns::predict(int run, int step, Attention& attention) {
  const auto stop = [this](int, int) { return watch_.check(), false; };
  return ditscope::predict(task_of(run), states_[static_cast<std::size_t>(run)].latents, step, attention, stop);
}

void CalibrationRuns::advance(int run, Attention& attention) {
  const auto stop = [this](int, int) { return watch_.check(), false; };
  denoise_step(task_of(run), states_[static_cast<std::size_t>(run)], attention, stop);
}

void CalibrationRuns::report(int done, int total, const char* what) {
  watch_.check();
  watch_.sink.on_event(
      StageProgress{StageProgress::Stage::Denoising, what, static_cast<double>(done), static_cast<double>(total), "steps"});
}

Calibration calibrate(LoadedModel& model, const CalibrationTask& task, Watch& watch) {
  using Search = void (*)(CalibrationRuns&, const CalibrationTask&, Calibration&);
  const std::map<std::string, Search> searches{
      {"ditfastattn", calibrate_ditfastattn}, {"sta", calibrate_sta}, {"spargeattn", calibrate_spargeattn}};
  const auto found = searches.find(task.request.method.key);
  if (found == searches.end())
    throw Error(ErrorKind::InvalidArgument, "expected a method that is calibrated (ditfastattn, spargeattn, sta), got \"" +
                                                task.request.method.key + "\"; the others need no calibration");
  watch.stage = "calibrating " + found->first;
  CalibrationRuns runs(model, task, watch);
  Calibration calibration;
  calibration.method = found->first;
  calibration.key = runs.key();
  calibration.settings["method"] = to_string(task.request.method);
  calibration.settings["prompts"] = std::to_string(task.prompts.size());
  calibration.settings["seed"] = std::to_string(task.request.seed);
  found->second(runs, task, calibration);
  return calibration;
}

}  // namespace ditscope
