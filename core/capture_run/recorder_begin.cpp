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

/// All that the bits of a replay depend on besides model and request.
Json environment_of(const LoadedModel& model, const Request& request) {
  return {{"versions", Generator::versions()},
          {"kernel_instruction_set", available_instruction_sets().front()},
          {"torch_cpu_capability", at::get_cpu_capability()},
          {"threads", at::get_num_threads()},
          {"weights", request.dtype},
          {"device", model.device().str()},
          {"guidance", "batched"}};
}

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

/// The kind of each layer at each step, as the method plans it.
Json schedule_of(const Request& request, int layers) {
  const Schedule schedule = make_method(request.method, request.steps)->schedule(request.steps, layers);
  Json steps = Json::array();
  for (int s = 0; s < request.steps; ++s) {
    Json of_step = Json::array();
    for (int layer = 0; layer < layers; ++layer) of_step.push_back(step_kind_name(schedule.at(s, layer)));
    steps.push_back(std::move(of_step));
  }
  return steps;
}

}  // namespace

RunRecorder::RunRecorder(CaptureWriter& writer, const RecordedRun& r) : writer_(writer) {
  const CogVideoXConfig& config = r.model.configs().transformer;
  const Request& request = r.request;
  layout_.text_tokens = request.max_sequence_length;
  layout_.frames = r.sizes.latent_frames / config.frame_patch();
  layout_.rows = r.sizes.rows / config.patch_size;
  layout_.columns = r.sizes.columns / config.patch_size;
  layout_.order = r.session.preferred_order(layout_);
  cell_tokens_ = map_block_tokens(layout_.text_tokens, layout_.text_first, layout_.tokens(), sampled_cells(writer.options().level, layout_.tokens()));
  edges_ = map_edges(layout_.text_tokens, layout_.text_first, layout_.tokens(), cell_tokens_);
  std::vector<std::int64_t> rows;
  for (std::size_t c = 0; c + 1 < edges_.size(); ++c) rows.push_back((edges_[c] + edges_[c + 1]) / 2);
  rows_ = at::tensor(rows, at::kLong);

  const Json asked = Json::parse(to_json(request));
  run_.name = request.method.key;
  run_.method = request.method.key;
  run_.parameters = asked["method"]["parameters"].dump();
  run_.schedule = schedule_of(request, config.num_layers).dump();
  const bool guided = r.branches.size() == 2;
  run_.branches = guided ? std::vector<std::string>{"unconditional", "conditional"} : std::vector<std::string>{"conditional"};
  run_.dtype = request.dtype;
  run_.level = capture_level_name(writer.options().level);
  const CaptureOptions& options = writer.options();
  run_.selection = Json{{"layers", options.layers.text()}, {"steps", options.steps.text()}, {"shadow", options.shadow.text()}}.dump();
  run_.token_order = layout_.order == TokenOrder::PositionMajor ? "position_major" : "frame_major";
  run_.request = asked.dump();
  run_.prompt = asked["prompt"].get<std::string>();
  run_.negative_prompt = asked["negative_prompt"].get<std::string>();
  run_.seed = std::to_string(request.seed);
  run_.noise_hash = r.noise_hash;
  run_.scheduler = r.scheduler.to_json();
  run_.words = words_of(r.model, guided ? std::vector{run_.negative_prompt, run_.prompt} : std::vector{run_.prompt}).dump();
  run_.steps = request.steps;
  run_.frames = request.frames;
  run_.height_px = request.height;
  run_.width_px = request.width;
  run_.guidance_scale = request.guidance_scale;
  run_.fps = r.model.configs().info.fps;
  run_.grid_frames = static_cast<int>(layout_.frames);
  run_.grid_rows = static_cast<int>(layout_.rows);
  run_.grid_columns = static_cast<int>(layout_.columns);
  run_.text_tokens = static_cast<int>(layout_.text_tokens);
  run_.text_first = layout_.text_first;
  const ModelInfo& info = r.model.configs().info;
  run_.model = {info.name, "CogVideoXTransformer3DModel", config.to_json(), model_fingerprint(r.model.configs().folder.path()),
                config.num_layers, config.num_attention_heads, config.attention_head_dim};
  run_.environment = environment_of(r.model, request).dump();

  run_.run_id = writer.begin_run(run_, Generator::capture_sizes(request));

  CaptureTensor text = tensor_at("text_embedding", -1, -1, -1);
  text.filter = "shuffle";
  text.may_repeat = text.essential = true;
  writer.add(stored(std::move(text), r.text));
  CaptureTensor latents = tensor_at("latents", r.first_step, -1, -1);
  latents.filter = "shuffle";
  latents.may_repeat = latents.essential = true;
  writer.add(stored(std::move(latents), r.latents));
  CaptureTensor ids = tensor_at("row_ids", -1, -1, -1);
  ids.may_repeat = ids.essential = true;
  ids = stored(std::move(ids), rows_.to(at::kInt));
  ids.dtype = "<u4";
  writer.add(std::move(ids));
  writer.keep();
}

std::shared_ptr<RunRecorder> RunRecorder::begin(CaptureWriter& writer, const RecordedRun& run) {
  return std::shared_ptr<RunRecorder>(new RunRecorder(writer, run));
}

}  // namespace ditscope
