#include "core/training/bundled_model.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <ATen/ops/linalg_solve.h>

#include <nlohmann/json.hpp>

#include "core/files/atomic_file.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/text/train_tokenizer.h"
#include "core/training/video_tensor.h"
#include "core/training/world/caption.h"
#include "core/training/world/renderer.h"
#include "core/training/component_files.h"

namespace ditscope {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kTokenizerSentences = 20000;
constexpr int kTokenizerVocabulary = 200;
constexpr int kWordRepeats = 300;
constexpr int kMaxTextTokens = 32;
constexpr int kPreviewStills = 48;

std::vector<std::string> tokenizer_sentences() {
  world::SceneRandom random(1);
  std::vector<std::string> sentences;
  for (int i = 0; i < kTokenizerSentences; ++i) {
    world::Scene scene = world::sample_scene(random, {.split = world::Split::Any});
    scene.phrasing = random.below(world::kPhrasings);
    sentences.push_back(world::caption(scene));
  }
  // A unigram trainer takes its candidates from substrings that several different words share; with punctuation behind it
  // every word becomes one, and then one token.
  for (const auto& word : world::vocabulary()) {
    sentences.insert(sentences.end(), kWordRepeats, word + ", " + word + ". " + word + " " + word + "! " + word + "?");
  }
  return sentences;
}

}  // namespace

CogVideoXVaeConfig bundled_vae_config() {
  CogVideoXVaeConfig config;
  config.block_out_channels = {16, 32, 32, 64};
  config.latent_channels = 12;
  config.layers_per_block = 1;
  config.norm_num_groups = 8;
  config.sample_height = 256;
  config.sample_width = 256;
  config.scaling_factor = 1.0;
  return config;
}

CogVideoXConfig bundled_transformer_config() {
  CogVideoXConfig config;
  config.num_attention_heads = 8;
  config.attention_head_dim = 32;
  config.in_channels = config.out_channels = static_cast<int>(bundled_vae_config().latent_channels);
  config.time_embed_dim = 128;
  config.text_embed_dim = 128;
  config.num_layers = 8;
  config.sample_width = config.sample_height = 32;
  config.sample_frames = 33;
  config.max_text_seq_length = kMaxTextTokens;
  config.use_rotary_positional_embeddings = true;
  return config;
}

T5Config bundled_text_config(int vocabulary_size) {
  T5Config config;
  config.vocab_size = vocabulary_size;
  config.d_model = 128;
  config.d_kv = 32;
  config.d_ff = 256;
  config.num_layers = 3;
  config.num_heads = 4;
  config.feed_forward_proj = "gated-gelu";
  return config;
}

std::string bundled_scheduler_json() {
  return json{{"_class_name", "CogVideoXDDIMScheduler"}, {"_diffusers_version", "0.42.1"}, {"num_train_timesteps", 1000},
              {"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"trained_betas", nullptr},
              {"clip_sample", false}, {"clip_sample_range", 1.0}, {"set_alpha_to_one", true}, {"steps_offset", 0},
              {"prediction_type", "v_prediction"}, {"sample_max_value", 1.0}, {"timestep_spacing", "trailing"},
              {"rescale_betas_zero_snr", true}, {"snr_shift_scale", 2.0}}
      .dump(2);
}

BundledModelFolder::BundledModelFolder(fs::path folder) : folder_(std::move(folder)) {
  for (const char* part : {"scheduler", "tokenizer", "text_encoder", "transformer", "vae"}) fs::create_directories(folder_ / part);
}

std::unique_ptr<Tokenizer> BundledModelFolder::prepare_tokenizer(const fs::path& from) const {
  const fs::path own = folder_ / "tokenizer";
  if (!from.empty()) {
    for (const auto& file : fs::directory_iterator(from / "tokenizer")) {
      fs::copy_file(file.path(), own / file.path().filename(), fs::copy_options::overwrite_existing);
    }
  } else if (!fs::exists(own / "spiece.model")) {
    train_tokenizer(tokenizer_sentences(), own, {.vocabulary_size = kTokenizerVocabulary, .model_max_length = kMaxTextTokens});
  }
  return open_tokenizer(own);
}

void BundledModelFolder::write_configs() const {
  const json index{{"_class_name", "CogVideoXPipeline"},
                   {"_diffusers_version", "0.42.1"},
                   {"scheduler", {"diffusers", "CogVideoXDDIMScheduler"}},
                   {"text_encoder", {"transformers", "T5EncoderModel"}},
                   {"tokenizer", {"transformers", "T5Tokenizer"}},
                   {"transformer", {"diffusers", "CogVideoXTransformer3DModel"}},
                   {"vae", {"diffusers", "AutoencoderKLCogVideoX"}}};
  const json defaults{{"display_name", "solids-256"},
                      {"default_steps", 30},
                      {"default_guidance", 4.0},
                      {"default_frames", 33},
                      {"default_height", 256},
                      {"default_width", 256},
                      {"fps", 8},
                      {"example_prompt", world::example_prompts().front()},
                      {"sizes", {{256, 256}, {192, 192}, {128, 128}}},
                      {"frame_counts", {1, 17, 33}}};
  write_file(folder_ / "model_index.json", index.dump(2));
  write_file(folder_ / "scheduler" / "scheduler_config.json", bundled_scheduler_json());
  write_file(folder_ / "ditscope.json", defaults.dump(2));
}

CogVideoXVaeConfig BundledModelFolder::write_vae(const fs::path& from) const {
  const auto config = CogVideoXVaeConfig::from_json(read_file(from / "config.json"));
  write_component(folder_ / "vae", config.to_json(), "diffusion_pytorch_model.safetensors",
                  load_tensors(from / "diffusion_pytorch_model.safetensors"), at::kHalf);
  return config;
}

void BundledModelFolder::write_latent_rgb(const CogVideoXVae& vae, at::Device device) const {
  c10::NoGradGuard no_grad;
  world::SceneRandom random(3);
  std::vector<at::Tensor> latents, colours;
  for (int i = 0; i < kPreviewStills; ++i) {
    RenderedClip still{world::sample_scene(random), 1, 128, std::vector<std::uint8_t>(128 * 128 * 3)};
    world::render_frame(still.scene, 0.5F, 128, 128, still.rgb.data());
    const auto video = video_tensor(still).unsqueeze(0).to(device);                                          // (1,3,1,Y,X)
    const auto mean = vae.encode_moments(video).chunk(2, 1)[0] * vae.config().scaling_factor;                // (1,C,1,y,x)
    const auto pixels = at::adaptive_avg_pool2d(video.select(2, 0), mean.sizes().slice(3)) * 0.5 + 0.5;       // (1,3,y,x)
    latents.push_back(mean[0].flatten(1).t().to(at::kCPU, at::kDouble));                                      // (N,C)
    colours.push_back(pixels[0].flatten(1).t().to(at::kCPU, at::kDouble));                                    // (N,3)
  }
  const auto x = at::cat(latents), y = at::cat(colours);
  const auto inputs = at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1);                                // (N,C+1)
  const auto ridge = at::eye(inputs.size(1), x.options()) * 1e-3;
  const auto solution = at::linalg_solve(inputs.t().mm(inputs) + ridge, inputs.t().mm(y)).t().contiguous();  // (3,C+1)
  json weight = json::array(), bias = json::array();
  for (int row = 0; row < 3; ++row) {
    json line = json::array();
    for (std::int64_t column = 0; column < x.size(1); ++column) line.push_back(solution[row][column].item<double>());
    weight.push_back(line);
    bias.push_back(solution[row][x.size(1)].item<double>());
  }
  write_file(folder_ / "latent_rgb.json", json{{"weight", weight}, {"bias", bias}}.dump());
}

void BundledModelFolder::write_transformer(const std::map<std::string, at::Tensor>& weights) const {
  write_component(folder_ / "transformer", bundled_transformer_config().to_json(), "diffusion_pytorch_model.safetensors", weights,
                  at::kHalf);
}

void BundledModelFolder::write_text_encoder(const std::map<std::string, at::Tensor>& weights) const {
  const int vocabulary_size = static_cast<int>(weights.at("shared.weight").size(0));
  write_component(folder_ / "text_encoder", bundled_text_config(vocabulary_size).to_json(), "model.safetensors", weights, at::kHalf);
}

}  // namespace ditscope
