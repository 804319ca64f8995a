// The way of data, stop by stop: prompt, tokens, text embedding, denoising loop, each layer, recording, pixels.
// It follows diffusers 0.42.1, CogVideoXPipeline.__call__, number for number.
#include "core/pipeline/generate.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "core/bridge/accelerator.h"
#include "core/bridge/profile.h"
#include "core/capture_run/recorder.h"
#include "core/checkpoint/safetensors.h"
#include "core/pipeline/memory_errors.h"
#include "core/pipeline/process_memory.h"
#include "core/vae/reused_memory.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Clock = std::chrono::steady_clock;
using Stop = RunControl::Stop;

constexpr double kBetweenLayerEvents_s = 0.05;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Seconds of a stage, without what was spent loading, paused or on shadow passes in it.
class StageTimer {
 public:
  explicit StageTimer(const Watch& watch) : watch_(watch), idle_(idle(watch)) {}
  double seconds() const { return seconds_since(start_) - (idle(watch_) - idle_); }

 private:
  static double idle(const Watch& watch) { return watch.load_seconds + watch.pause_seconds + watch.shadow_seconds; }

  const Watch& watch_;
  double idle_;
  Clock::time_point start_ = Clock::now();
};

std::string shape_text(at::IntArrayRef shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "(" : ",") + std::to_string(size);
  return text + ")";
}

/// FNV-1a over the bytes: tells whether two runs began from the same noise.
std::string noise_hash(const at::Tensor& latents) {
  const at::Tensor bytes = latents.to(at::kCPU).contiguous();
  const auto* data = static_cast<const unsigned char*>(bytes.const_data_ptr());
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::size_t i = 0; i < bytes.nbytes(); ++i) hash = (hash ^ data[i]) * 0x100000001b3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

/// Values that are not finite spread to all pixels: the stage where they first show is named.
void require_finite(const at::Tensor& values, const std::string& stage, c10::ScalarType dtype) {
  const auto [least, most] = at::aminmax(values);  // one pass; what is no number comes through
  if (std::isfinite(least.item<float>()) && std::isfinite(most.item<float>())) return;
  if (dtype == at::kHalf || dtype == at::kBFloat16)
    throw Error(ErrorKind::InvalidArgument, "Values that are not finite came out of " + stage + ": " +
                                                std::string(c10::toString(dtype)) +
                                                " overflows in this model. Choose the dtype float32.");
  throw Error(ErrorKind::Corrupt,
              "Values that are not finite came out of " + stage + ". The weights are damaged: fetch them again.");
}

/// A quarter of the memory, slightly other pixels at the seams.
at::Tensor decode_in_tiles(const CogVideoXVae& vae, const at::Tensor& latents, const CogVideoXVae::Progress& progress) {
  const std::int64_t ratio = vae.config().spatial_compression();
  const auto half = [&](std::int64_t latent_size) { return std::max<std::int64_t>((latent_size + 1) / 2, 8) * ratio; };
  CogVideoXVae tiled = vae;
  CogVideoXVae::Tiling tiling = vae.default_tiling();
  tiling.tile_height_px = std::min(tiling.tile_height_px, half(latents.size(3)));
  tiling.tile_width_px = std::min(tiling.tile_width_px, half(latents.size(4)));
  tiled.set_tiling(tiling);
  return tiled.decode(latents, progress);
}

class Run {
 public:
  Run(LoadedModel& model, const Request& request, Watch& watch);
  Run(LoadedModel& model, const PartialRun& partial, Watch& watch);

  RunResult from_prompt_to_pixels();
  RunResult pixels_as_they_stand();

 private:
  TokenIds tokens(const std::string& text, const char* what);
  void embed_text();
  void draw_latents();
  void denoise();
  bool before_layer(int layer, int layers);
  void record_step(double seconds);
  void begin_recording(const std::vector<Branch>& branches);
  double remaining_seconds() const;
  void decode(const at::Tensor& latents);
  bool tiles_fit() const;
  void keep_partial();
  RunResult finish();

  LoadedModel& model_;
  Request request_;
  Watch& watch_;
  std::unique_ptr<Scheduler> scheduler_;
  RunSizes sizes_;
  at::Tensor text_;  // (B,T,C)
  DenoisingState state_;
  std::shared_ptr<AttentionSession> attention_;
  std::shared_ptr<StepCacheSession> step_cache_;  ///< null where the method has none
  std::shared_ptr<RunRecorder> recorder_;
  RunTensors tensors_;
  RunResult result_;
  PeakMemory memory_;
  PeakDeviceMemory device_memory_;
  Clock::time_point layer_event_at_{};
};

// ---- 1. Prompt: the request, completed and checked by Generator::complete(); here it becomes sizes and timesteps.

Run::Run(LoadedModel& model, const Request& request, Watch& watch)
    : model_(model), request_(request), watch_(watch), device_memory_(model.device()) {
  result_.request = request;
  scheduler_ = make_scheduler(model.configs().scheduler_json, request.scheduler);
  scheduler_->set_timesteps(request.steps);
  sizes_ = run_sizes(model.configs(), request);
  at::set_num_threads(request.threads);
}

Run::Run(LoadedModel& model, const PartialRun& partial, Watch& watch) : Run(model, partial.request, watch) {
  result_ = partial.result;
  tensors_ = partial.tensors;
  text_ = partial.text;
  state_ = partial.state.fork();
  if (partial.attention) attention_ = partial.attention->fork();
  if (partial.step_cache) step_cache_ = partial.step_cache->fork();
}

// ---- 2. Tokens: T5 pieces with </s>, padded to a fixed length.

TokenIds Run::tokens(const std::string& text, const char* what) {
  const TokenIds ids = model_.tokenizer().encode(text, request_.max_sequence_length);  // (T)
  if (ids.truncated)
    result_.notices.push_back("The " + std::string(what) + " is longer than " + std::to_string(request_.max_sequence_length) +
                              " tokens; its end was cut off.");
  return ids;
}

// ---- 3. Text embedding: each prompt by itself, padding attended to; then [negative, prompt] where there is guidance.

void Run::embed_text() {
  const StageTimer timer(watch_);
  const Profile::Stage profiled("text");
  watch_.stage = "text encoding";
  tensors_.prompt_embeds = model_.embed(tokens(request_.prompt, "prompt"), watch_);  // (1,T,C)
  require_finite(tensors_.prompt_embeds, "the text encoder", model_.dtype());
  text_ = tensors_.prompt_embeds;
  if (sizes_.batch == 2) {
    tensors_.negative_prompt_embeds = model_.embed(tokens(request_.negative_prompt, "negative prompt"), watch_);  // (1,T,C)
    require_finite(tensors_.negative_prompt_embeds, "the text encoder", model_.dtype());
    text_ = at::cat({tensors_.negative_prompt_embeds, tensors_.prompt_embeds});  // (2,T,C)
  }
  model_.finish_text();
  result_.stages["text"] += timer.seconds();
}

// ---- 4. Denoising loop: noise of the seed, then one denoise_step() for each timestep.

void Run::draw_latents() {
  state_.generator = at::detail::createCPUGenerator(request_.seed);
  const std::vector<std::int64_t> shape{1, sizes_.latent_frames, model_.configs().transformer.in_channels, sizes_.rows,
                                        sizes_.columns};
  at::Tensor latents;  // (1,F,C,Y,X)
  if (request_.latents_in.empty()) {
    latents = at::randn(shape, state_.generator, at::TensorOptions().dtype(model_.dtype()));
  } else {
    TensorMap tensors = load_tensors(request_.latents_in);
    const auto found = tensors.find("latents");
    if (found == tensors.end())
      throw Error(ErrorKind::Corrupt, request_.latents_in.string() + ": expected a tensor named \"latents\", there is none.");
    if (found->second.sizes() != at::IntArrayRef(shape))
      throw Error(ErrorKind::InvalidArgument, request_.latents_in.string() + ": this run takes latents of shape " +
                                                  shape_text(shape) + ", got " + shape_text(found->second.sizes()) +
                                                  ". Choose the frames and size they were made for.");
    latents = found->second.to(model_.dtype()).clone();
    require_finite(latents, request_.latents_in.string(), at::kFloat);
  }
  state_.latents = latents.to(model_.device()).mul(scheduler_->init_noise_sigma());
  result_.noise_hash = noise_hash(state_.latents);
  if (sizes_.output_frames != request_.frames)
    result_.notices.push_back(std::to_string(request_.frames) + " frames make an even number of latents, which become " +
                              std::to_string(sizes_.output_frames) + " frames, as in diffusers.");
}

void Run::denoise() {
  const CogVideoXTransformer& transformer = model_.transformer(watch_);
  model_.latent_to_rgb(watch_);
  if (!attention_) {
    attention_ = std::make_shared<AttentionSession>(request_.method, request_.steps);
    step_cache_ = make_step_cache(model_.configs(), request_);
    if (step_cache_ && !step_cache_->notice().empty()) result_.notices.push_back(step_cache_->notice());
  }
  std::vector<Branch> branches{Branch::Conditional};
  if (sizes_.batch == 2) branches = {Branch::Unconditional, Branch::Conditional};
  begin_recording(branches);
  const DenoisingTask task{transformer, *scheduler_, text_, branches, request_.guidance_scale, request_.dynamic_cfg};
  const vae::ReusedMemory memory;  // every step asks for the same sizes
  while (state_.next_step < request_.steps) {
    const int step = state_.next_step;
    watch_.stage = "sampling, step " + std::to_string(step + 1) + " of " + std::to_string(request_.steps);
    const StageTimer timer(watch_);
    const Profile::Stage profiled("denoise");
    const std::shared_ptr<AttentionSession> before = attention_->fork();  // a stopped step must leave no trace
    const std::shared_ptr<StepCacheSession> cache_before = step_cache_ ? step_cache_->fork() : nullptr;
    try {
      denoise_step(task, state_, *attention_, [this](int layer, int layers) { return before_layer(layer, layers); }, step_cache_.get());
    } catch (...) {
      attention_ = before;
      step_cache_ = cache_before;
      if (recorder_) recorder_->abandon_step();
      throw;
    }
    if (recorder_) watch_.shadow_seconds = recorder_->shadow_seconds();
    require_finite(state_.latents, "the transformer at step " + std::to_string(step + 1), model_.precision().products);
    record_step(timer.seconds());
  }
}

// ---- 5. Each layer: the transformer hands its LayerCall to the AttentionSession (core/attention); here the run can be stopped.

bool Run::before_layer(int layer, int layers) {
  watch_.check();
  memory_.sample();
  if (seconds_since(layer_event_at_) >= kBetweenLayerEvents_s) {
    watch_.sink.on_event(LayerProgress{state_.next_step, request_.steps, layer, layers});
    layer_event_at_ = Clock::now();
  }
  return false;
}

// ---- 6. Recording: what a step cost and kept, and a preview of the clean video it predicts.

void Run::begin_recording(const std::vector<Branch>& branches) {
  if (!watch_.capture) return;
  recorder_ = RunRecorder::begin(*watch_.capture, {model_, request_, sizes_, *scheduler_, *attention_, text_, state_.latents, branches,
                                                   result_.noise_hash, state_.next_step});
  attention_->set_sink(recorder_->sink());
}

void Run::record_step(double seconds) {
  const int step = state_.next_step - 1;
  StepFinished event;
  event.record = attention_->step_record(step);
  if (const double reused = step_cache_ ? step_cache_->reused_ratio(step) : 0; reused > 0) {
    event.record.kind = StepRecord::Kind::Cached;
    event.record.reused_ratio = reused;
    event.record.kept_ratio_requested *= 1 - reused;
    event.record.kept_ratio_achieved *= 1 - reused;
  }
  event.record.timestep = static_cast<double>(scheduler_->timesteps()[step]);
  event.record.seconds = seconds;
  result_.steps.push_back(event.record);
  result_.stages["denoise"] += seconds;
  if (request_.keep_latents_per_step) tensors_.latents_per_step.push_back(state_.latents.to(at::kCPU));

  const double fps = model_.configs().info.fps / static_cast<double>(model_.configs().vae.temporal_compression_ratio);
  const at::Tensor clean = state_.predicted_clean.slice(1, sizes_.additional_frames);  // (1,F,C,Y,X)
  event.preview = model_.latent_to_rgb(watch_)(clean, fps);
  event.steps = request_.steps;
  event.elapsed_seconds = result_.stages["text"] + result_.stages["denoise"];
  event.remaining_seconds = remaining_seconds();
  if (recorder_) {
    const auto timestep = scheduler_->timesteps()[static_cast<std::size_t>(step)];
    recorder_->end_step(event, *attention_, step_cache_.get(), state_.latents,
                        guidance_at(request_.guidance_scale, request_.dynamic_cfg, request_.steps, timestep));
  }
  watch_.sink.on_event(event);
}

/// Steps to come cost what steps of their kind have cost; decoding costs what it cost the last time.
double Run::remaining_seconds() const {
  std::map<StepRecord::Kind, std::pair<double, int>> of_kind;
  for (const StepRecord& record : result_.steps) {
    of_kind[record.kind].first += record.seconds;
    ++of_kind[record.kind].second;
  }
  const double mean = result_.stages.at("denoise") / static_cast<double>(result_.steps.size());
  double seconds = model_.decode_seconds_per_pixel * request_.height * request_.width * sizes_.output_frames;
  for (int step = state_.next_step; step < request_.steps; ++step) {
    const auto found = of_kind.find(attention_->step_record(step).kind);
    seconds += found == of_kind.end() ? mean : found->second.first / found->second.second;
  }
  return seconds;
}

// ---- 7. Pixels: the latents, unscaled, through the VAE, to 0..1.

void Run::decode(const at::Tensor& latents) {
  watch_.decoding = true;
  const CogVideoXVae& vae = model_.vae(watch_);
  const StageTimer timer(watch_);
  const Profile::Stage profiled("decode");
  watch_.stage = "VAE decode";
  const at::Tensor kept = latents.slice(1, sizes_.additional_frames).to(model_.dtype());                   // (1,F,C,Y,X)
  const at::Tensor scaled = kept.permute({0, 2, 1, 3, 4}).mul(1.0 / model_.configs().vae.scaling_factor);  // (1,C,F,Y,X)
  watch_.sink.on_event(StageProgress{StageProgress::Stage::Decoding, "", 0, static_cast<double>(kept.size(1)), "latent frames"});
  const auto progress = [&](int done, int total) {
    memory_.sample();
    watch_.sink.on_event(
        StageProgress{StageProgress::Stage::Decoding, "", static_cast<double>(done), static_cast<double>(total), "chunks"});
    watch_.check();
    return false;
  };
  at::Tensor video;  // (1,3,F,Y,X)
  bool in_tiles = request_.vae_tiling;
  if (!in_tiles) {
    try {
      video = vae.decode(scaled, progress);
    } catch (...) {
      if (!is_out_of_memory() || !tiles_fit()) throw;
      in_tiles = true;
      result_.notices.push_back("Memory ran out while whole frames were decoded; they were decoded in tiles, whose seams are blended.");
    }
  }
  if (in_tiles) {
    watch_.stage = "VAE decode in tiles";
    video = decode_in_tiles(vae, scaled, progress);
  }
  require_finite(video, "the VAE", model_.precision().decoder);
  const at::Tensor pixels =
      video.mul_(0.5).add_(0.5).clamp_(0, 1).squeeze(0).permute({1, 2, 3, 0}).to(at::kCPU, at::kFloat).contiguous();
  Frames& frames = result_.frames;  // (F,Y,X,3)
  frames.count = static_cast<int>(pixels.size(0));
  frames.height = static_cast<int>(pixels.size(1));
  frames.width = static_cast<int>(pixels.size(2));
  frames.fps = model_.configs().info.fps;
  frames.rgb.assign(pixels.const_data_ptr<float>(), pixels.const_data_ptr<float>() + pixels.numel());
  const double seconds = timer.seconds();
  result_.stages["decode"] += seconds;
  model_.decode_seconds_per_pixel = seconds / static_cast<double>(pixels.numel() / 3);
}

/// Whether another, smaller try makes sense. Libraries below LibTorch do not survive it where a CPU has no memory left at all.
bool Run::tiles_fit() const {
  if (!model_.device().is_cpu()) return true;
  return available_bytes() > Generator::estimate_bytes(request_).at("vae") / 2;
}

// ---- The whole way.

RunResult Run::from_prompt_to_pixels() {
  result_.stopped = false;
  result_.partial.reset();
  try {
    if (!text_.defined()) embed_text();
    if (!state_.latents.defined()) draw_latents();
    denoise();
    decode(state_.latents);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Cancelled) throw;
    keep_partial();
    if (watch_.control.stop_requested() == Stop::Decode && state_.predicted_clean.defined()) return pixels_as_they_stand();
  }
  return finish();
}

RunResult Run::pixels_as_they_stand() {
  if (!state_.predicted_clean.defined())
    throw Error(ErrorKind::InvalidArgument,
                "There is nothing to decode: the run was stopped before its first step ended. Resume it instead.");
  keep_partial();
  try {
    decode(state_.predicted_clean);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Cancelled) throw;
    result_.frames = {};
  }
  return finish();
}

void Run::keep_partial() {
  auto partial = std::make_shared<PartialRun>();
  partial->request = request_;
  partial->state = state_.fork();
  partial->text = text_;
  if (attention_) partial->attention = attention_->fork();
  if (step_cache_) partial->step_cache = step_cache_->fork();
  partial->tensors = tensors_;
  partial->result = result_;
  partial->result.partial.reset();
  partial->result.frames = {};
  result_.partial = std::move(partial);
  result_.stopped = true;
}

RunResult Run::finish() {
  result_.stages["load"] += watch_.load_seconds;
  result_.seconds = 0;
  for (const char* stage : {"text", "denoise", "decode"}) result_.seconds += result_.stages[stage];
  if (attention_) {
    const KeptRatios ratios = attention_->kept_ratios();
    result_.kept_ratio = {ratios.requested, ratios.achieved, ratios.schedule_average};
    result_.attention_seconds = attention_->attention_seconds();
    result_.method_bytes = attention_->peak_bytes_held();
  }
  if (step_cache_) {
    result_.reused_ratio = step_cache_->reused_ratio();
    result_.kept_ratio.schedule_average *= 1 - result_.reused_ratio;
    result_.method_bytes += step_cache_->peak_bytes_held();
  }
  result_.peak_bytes = std::max(result_.peak_bytes, model_.device().is_cpu() ? memory_.bytes() : device_memory_.bytes());
  if (state_.latents.defined()) tensors_.latents = state_.latents.to(at::kCPU);
  result_.tensors = std::make_shared<const RunTensors>(tensors_);
  if (recorder_) recorder_->end_run(result_);
  return result_;
}

}  // namespace

RunResult generate(LoadedModel& model, const Request& request, Watch& watch) {
  return Run(model, request, watch).from_prompt_to_pixels();
}

RunResult generate_rest(LoadedModel& model, const PartialRun& partial, Watch& watch) {
  return Run(model, partial, watch).from_prompt_to_pixels();
}

RunResult decode_partial(LoadedModel& model, const PartialRun& partial, Watch& watch) {
  return Run(model, partial, watch).pixels_as_they_stand();
}

}  // namespace ditscope
