// How a recorder introduces a run to its capture: request, model, environment, words, rows that are measured.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "core/attention/registry.h"
#include "core/capture/fingerprint.h"
#include "core/capture/capture_options.h"
#include "core/capture_run/recorder.h"
#include "core/checkpoint/json_file.h"
#include "kernels/block_sparse_attention.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

/// A list per branch: [token id, piece, first byte of the prompt, end].
Json words_of(LoadedModel& model, const std::vector<std::string>& prompts) {
  Json words = Json::array();
  for (const std::string& prompt : prompts) {
    Json of_branch = Json::array();
    for (const TextPiece& piece : model.tokenizer().pieces(prompt)) of_branch.push_back({piece.id, piece.text, piece.begin, piece.end});
    words.push_back(std::move(of_branch));
  }
  return words;
}

TokenLayout layout_of(const RecordedRun& r) {
  const CogVideoXConfig& config = r.model.configs().transformer;
  TokenLayout layout;
  layout.text_tokens = r.request.max_sequence_length;
  layout.frames = r.sizes.latent_frames / config.frame_patch();
  layout.rows = r.sizes.rows / config.patch_size;
  layout.columns = r.sizes.columns / config.patch_size;
  layout.order = r.session.preferred_order(layout);
  return layout;
}

CaptureRun rows_of(const RecordedRun& r) {
  const CogVideoXConfig& config = r.model.configs().transformer;
  const ModelInfo& info = r.model.configs().info;
  const Request& request = r.request;
  const Json asked = Json::parse(to_json(request));
  const bool guided = r.branches.size() == 2;
  CaptureRun run;
  run.name = request.method.key;
  run.method = request.method.key;
  run.parameters = asked["method"]["parameters"].dump();
  run.schedule = schedule_json(request.method, request.steps, config.num_layers);
  run.branches = guided ? std::vector<std::string>{"unconditional", "conditional"} : std::vector<std::string>{"conditional"};
  run.dtype = request.dtype;
  run.request = asked.dump();
  run.prompt = asked["prompt"].get<std::string>();
  run.negative_prompt = asked["negative_prompt"].get<std::string>();
  run.seed = std::to_string(request.seed);
  run.noise_hash = r.noise_hash;
  run.scheduler = r.scheduler.to_json();
  run.words = words_of(r.model, guided ? std::vector{run.negative_prompt, run.prompt} : std::vector{run.prompt}).dump();
  run.steps = request.steps;
  run.frames = request.frames;
  run.height_px = request.height;
  run.width_px = request.width;
  run.guidance_scale = request.guidance_scale;
  run.fps = info.fps;
  run.model = {info.name, "CogVideoXTransformer3DModel", config.to_json(), model_fingerprint(r.model.configs().folder.path()),
               config.num_layers, config.num_attention_heads, config.attention_head_dim};
  run.environment = environment_json(request.dtype, r.model.device().str());
  return run;
}

}  // namespace

std::string environment_json(const std::string& dtype, const std::string& device) {
  return Json{{"versions", Generator::versions()},
              {"kernel_instruction_set", available_instruction_sets().front()},
              {"torch_cpu_capability", at::get_cpu_capability()},
              {"threads", at::get_num_threads()},
              {"weights", dtype},
              {"device", device},
              {"guidance", "batched"}}
      .dump();
}

std::string schedule_json(const MethodChoice& choice, int steps, int layers) {
  const Schedule schedule = make_method(choice, steps)->schedule(steps, layers);
  Json all = Json::array();
  for (int s = 0; s < steps; ++s) {
    Json of_step = Json::array();
    for (int layer = 0; layer < layers; ++layer) of_step.push_back(step_kind_name(schedule.at(s, layer)));
    all.push_back(std::move(of_step));
  }
  return all.dump();
}

RunRecorder::RunRecorder(CaptureWriter& writer, CaptureRun run, const TokenLayout& layout, const CaptureSizes& sizes)
    : writer_(writer), run_(std::move(run)), layout_(layout) {
  cell_tokens_ = map_block_tokens(layout_.text_tokens, layout_.text_first, layout_.tokens(), sampled_cells(writer.options().level, layout_.tokens()));
  edges_ = map_edges(layout_.text_tokens, layout_.text_first, layout_.tokens(), cell_tokens_);
  std::vector<std::int64_t> rows;
  for (std::size_t c = 0; c + 1 < edges_.size(); ++c) rows.push_back((edges_[c] + edges_[c + 1]) / 2);
  rows_ = at::tensor(rows, at::kLong);

  const CaptureOptions& options = writer.options();
  run_.level = capture_level_name(options.level);
  run_.selection = Json{{"layers", options.layers.text()}, {"steps", options.steps.text()}, {"shadow", options.shadow.text()}}.dump();
  run_.token_order = layout_.order == TokenOrder::PositionMajor ? "position_major" : "frame_major";
  run_.grid_frames = static_cast<int>(layout_.frames);
  run_.grid_rows = static_cast<int>(layout_.rows);
  run_.grid_columns = static_cast<int>(layout_.columns);
  run_.text_tokens = static_cast<int>(layout_.text_tokens);
  run_.text_first = layout_.text_first;
  run_.run_id = writer.begin_run(run_, sizes);
}

void RunRecorder::begin_steps() {
  CaptureTensor ids = tensor_at("row_ids", -1, -1, -1);
  ids.may_repeat = ids.essential = true;
  ids = stored(std::move(ids), rows_.to(at::kInt));
  ids.dtype = "<u4";
  writer_.add(std::move(ids));
  writer_.keep();
}

std::shared_ptr<RunRecorder> RunRecorder::begin(CaptureWriter& writer, const RecordedRun& r) {
  const std::shared_ptr<RunRecorder> recorder(new RunRecorder(writer, rows_of(r), layout_of(r), Generator::capture_sizes(r.request)));
  CaptureTensor text = recorder->tensor_at("text_embedding", -1, -1, -1);
  text.filter = "shuffle";
  text.may_repeat = text.essential = true;
  writer.add(stored(std::move(text), r.text));
  CaptureTensor latents = recorder->tensor_at("latents", r.first_step, -1, -1);
  latents.filter = "shuffle";
  latents.may_repeat = latents.essential = true;
  writer.add(stored(std::move(latents), r.latents));
  recorder->begin_steps();
  return recorder;
}

std::shared_ptr<RunRecorder> RunRecorder::begin(CaptureWriter& writer, CaptureRun run, const TokenLayout& layout, const CaptureSizes& sizes) {
  const std::shared_ptr<RunRecorder> recorder(new RunRecorder(writer, std::move(run), layout, sizes));
  recorder->begin_steps();
  return recorder;
}

}  // namespace ditscope
