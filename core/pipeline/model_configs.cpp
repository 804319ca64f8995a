#include "core/pipeline/model_configs.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/attention/registry.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

void require_class(const ModelFolder& folder, const std::string& component, std::initializer_list<const char*> classes) {
  const std::string& found = folder.component(component).class_name;
  std::string names;
  for (const char* name : classes) {
    if (found == name) return;
    names += (names.empty() ? "" : " or ") + std::string(name);
  }
  throw Error(ErrorKind::Unsupported, folder.path().string() + ": expected " + component + " to be a " + names + ", got " +
                                          found + ". Choose a text-to-video CogVideoX model.");
}

/// Sizes far beyond any model are a damaged or hostile config; products of them must not overflow below.
void require_sane(const CogVideoXConfig& config, const std::filesystem::path& folder) {
  const auto at_most = [&](const char* key, int value, int most) {
    if (value > most)
      throw Error(ErrorKind::Unsupported, (folder / "transformer/config.json").string() + ": expected " + key + " of at most " +
                                              std::to_string(most) + ", got " + std::to_string(value) +
                                              ". Fetch the file again.");
  };
  at_most("num_layers", config.num_layers, 1024);
  at_most("num_attention_heads", config.num_attention_heads, 1024);
  at_most("attention_head_dim", config.attention_head_dim, 4096);
  at_most("in_channels", config.in_channels, 4096);
  at_most("patch_size", config.patch_size, 64);
  at_most("patch_size_t", config.frame_patch(), 64);
  at_most("sample_width", config.sample_width, 4096);
  at_most("sample_height", config.sample_height, 4096);
  at_most("sample_frames", config.sample_frames, 100001);
  at_most("max_text_seq_length", config.max_text_seq_length, 4096);
}

/// Adds the sizes of a component's weights; only headers are read.
void count_weights(const std::filesystem::path& folder, ModelInfo& info) {
  const Checkpoint weights(folder);
  for (const auto& file : weights.files()) {
    for (const auto& [name, entry] : file->entries()) {
      std::int64_t elements = 1;
      for (const std::int64_t size : entry.shape) elements *= size;
      info.parameters += elements;
      info.weight_bytes += static_cast<std::int64_t>(entry.size_bytes);
    }
  }
}

template <typename T>
void read(const Json& json, const char* key, T& out, const std::filesystem::path& file) {
  const auto found = json.find(key);
  if (found == json.end()) return;
  try {
    out = found->get<T>();
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::Corrupt, file.string() + ": \"" + key + "\" has the wrong type (" + error.what() + ").");
  }
}

/// What the makers of a model recommend, from the optional ditscope.json beside model_index.json.
void read_recommendations(const std::filesystem::path& folder, ModelInfo& info) {
  const auto file = folder / "ditscope.json";
  if (!std::filesystem::exists(file)) return;
  const Json json = load_json(file);
  if (!json.is_object())
    throw Error(ErrorKind::Corrupt, file.string() + ": expected a JSON object, got " + json.type_name() + ".");
  read(json, "display_name", info.name, file);
  read(json, "default_steps", info.default_steps, file);
  read(json, "default_guidance", info.default_guidance, file);
  read(json, "default_frames", info.default_frames, file);
  read(json, "default_height", info.default_height, file);
  read(json, "default_width", info.default_width, file);
  read(json, "fps", info.fps, file);
  read(json, "example_prompt", info.example_prompt, file);
  read(json, "sizes", info.sizes, file);
  read(json, "frame_counts", info.frame_counts, file);
}

ModelInfo describe(const ModelConfigs& model) {
  ModelInfo info;
  const CogVideoXConfig& transformer = model.transformer;
  const int spatial = static_cast<int>(model.vae.spatial_compression());
  info.folder = model.folder.path();
  info.name = info.folder.filename().string();
  info.family = transformer.patch_size_t ? "CogVideoX 1.5" : "CogVideoX";
  info.published_as = transformer.published_name();
  info.layers = transformer.num_layers;
  info.heads = transformer.num_attention_heads;
  info.head_dim = transformer.attention_head_dim;
  info.default_frames = transformer.sample_frames;
  info.default_height = transformer.sample_height * spatial;
  info.default_width = transformer.sample_width * spatial;
  info.max_text_tokens = transformer.max_text_seq_length;
  info.fps = transformer.patch_size_t ? 16 : 8;  // as the CogVideoX model cards give them
  info.default_scheduler = model.scheduler_class;
  info.size_multiple = spatial * transformer.patch_size;
  info.frame_multiple = static_cast<int>(model.vae.temporal_compression_ratio);
  info.example_prompt = "A panda sits on a stool in a bamboo forest and plays a small guitar, sunlight falls through the leaves";
  for (const char* component : {"transformer", "text_encoder", "vae"}) count_weights(model.folder.folder(component), info);
  read_recommendations(info.folder, info);
  if (info.sizes.empty()) {
    const auto whole = [&](int size_px) { return std::max(1, size_px / info.size_multiple) * info.size_multiple; };
    info.sizes = {{info.default_width, info.default_height}};
    const std::pair<int, int> half{whole(info.default_width / 2), whole(info.default_height / 2)};
    if (half != info.sizes.front()) info.sizes.push_back(half);
  }
  if (info.frame_counts.empty())
    for (int n = 0; n * 8 + 1 <= info.default_frames && n < 16; n = n < 2 ? n + 1 : n + 2) info.frame_counts.push_back(n * 8 + 1);
  return info;
}

}  // namespace

ModelConfigs read_model_configs(const std::filesystem::path& path) {
  ModelConfigs model{ModelFolder::open(path), {}, {}, {}, {}, {}};
  const ModelFolder& folder = model.folder;
  if (folder.pipeline_class() != "CogVideoXPipeline")
    throw Error(ErrorKind::Unsupported, path.string() + ": expected a CogVideoXPipeline, got " + folder.pipeline_class() +
                                            ". Models of the CogVideoX text-to-video family run here.");
  require_class(folder, "transformer", {"CogVideoXTransformer3DModel"});
  require_class(folder, "vae", {"AutoencoderKLCogVideoX"});
  require_class(folder, "text_encoder", {"T5EncoderModel"});
  require_class(folder, "tokenizer", {"T5Tokenizer", "T5TokenizerFast"});
  require_class(folder, "scheduler", {"CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"});
  model.transformer = CogVideoXConfig::from_json(folder.config_text("transformer"));
  require_sane(model.transformer, folder.path());
  model.vae = CogVideoXVaeConfig::from_json(folder.config_text("vae"));
  model.scheduler_json = folder.config_text("scheduler");
  model.scheduler_class = folder.component("scheduler").class_name;
  if (model.transformer.in_channels != model.vae.latent_channels)
    throw Error(ErrorKind::Corrupt, path.string() + ": the transformer takes " + std::to_string(model.transformer.in_channels) +
                                        " latent channels, the VAE has " + std::to_string(model.vae.latent_channels) +
                                        ". The parts belong to different models.");
  model.info = describe(model);
  return model;
}

RunSizes run_sizes(const ModelConfigs& model, const Request& request) {
  RunSizes sizes;
  const CogVideoXConfig& transformer = model.transformer;
  const std::int64_t time_patch = transformer.frame_patch();
  const std::int64_t wanted = (request.frames - 1) / model.vae.temporal_compression_ratio + 1;
  sizes.batch = request.guidance_scale > 1 ? 2 : 1;
  sizes.additional_frames = (time_patch - wanted % time_patch) % time_patch;
  sizes.latent_frames = wanted + sizes.additional_frames;
  sizes.rows = request.height / model.vae.spatial_compression();
  sizes.columns = request.width / model.vae.spatial_compression();
  sizes.tokens = request.max_sequence_length + sizes.latent_frames / time_patch * (sizes.rows / transformer.patch_size) *
                                                   (sizes.columns / transformer.patch_size);
  const std::int64_t ratio = model.vae.temporal_compression_ratio;
  sizes.output_frames = static_cast<int>(wanted % 2 == 1 ? (wanted - 1) * ratio + 1 : wanted * ratio);
  return sizes;
}

namespace {

ModelShape shape_of(const CogVideoXConfig& transformer) {
  return {"CogVideoX", transformer.num_layers, transformer.num_attention_heads, transformer.frame_patch()};
}

}  // namespace

std::unique_ptr<StepCacheSession> make_step_cache(const ModelConfigs& model, const Request& request) {
  const Schedule attention = make_method(request.method, request.steps)->schedule(request.steps, model.transformer.num_layers);
  return make_step_cache_session(request.method, request.steps, shape_of(model.transformer), attention);
}

std::int64_t estimate_step_cache_bytes(const ModelConfigs& model, const Request& request) {
  const RunSizes sizes = run_sizes(model, request);
  return estimate_step_cache_bytes(request.method, request.steps, shape_of(model.transformer),
                                   {model.transformer.num_layers, sizes.batch, sizes.tokens, model.transformer.inner_dim(),
                                    model.transformer.time_embed_dim, request.dtype == "float32" ? 4 : 2});
}

}  // namespace ditscope
