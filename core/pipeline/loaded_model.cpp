#include "core/pipeline/loaded_model.h"

#include <ATen/ATen.h>

#include <chrono>

#include "core/bridge/accelerator.h"
#include "core/checkpoint/checkpoint.h"
#include "core/pipeline/process_memory.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kRememberedPrompts = 8;
/// A text encoder that takes more than this share of the free memory is dropped once it has read the prompts.
constexpr double kLargestIdleShare = 0.25;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Adds the time a scope takes to `seconds`.
class Timed {
 public:
  explicit Timed(double& seconds) : seconds_(seconds) {}
  ~Timed() { seconds_ += seconds_since(start_); }

 private:
  double& seconds_;
  Clock::time_point start_ = Clock::now();
};

/// Hands weights on and reports how far loading is. Polls for a stop at each weight.
class WatchedWeights final : public WeightSource {
 public:
  WatchedWeights(Checkpoint& weights, std::string name, Watch& watch)
      : weights_(weights), name_(std::move(name)), watch_(watch), total_(static_cast<double>(weights.stored_bytes())) {}

  at::Tensor take(const std::string& key, at::IntArrayRef shape) override {
    watch_.check();
    const at::Tensor weight = weights_.take(key, shape);
    done_ += static_cast<double>(weight.numel()) * static_cast<double>(c10::elementSize(weights_.stored_dtype()));
    if (seconds_since(reported_) > 0.05) report();
    return weight;
  }
  bool has(const std::string& key) const override { return weights_.has(key); }

  void report() {
    watch_.sink.on_event(StageProgress{StageProgress::Stage::Loading, name_, std::min(done_, total_), total_, "bytes"});
    reported_ = Clock::now();
  }

 private:
  Checkpoint& weights_;
  std::string name_;
  Watch& watch_;
  double done_ = 0, total_;
  Clock::time_point reported_{};
};

/// Keys of a component's weights that begin with one of `prefixes`.
std::vector<std::string> keys_below(const std::filesystem::path& folder, std::initializer_list<std::string_view> prefixes) {
  std::vector<std::string> keys;
  const Checkpoint checkpoint(folder);
  for (const auto& file : checkpoint.files())
    for (const auto& [key, entry] : file->entries())
      for (const std::string_view prefix : prefixes)
        if (key.starts_with(prefix)) keys.push_back(key);
  return keys;
}

/// Loads one component through `make(weights)`, strictly: no weight may be left over.
template <typename Make>
auto load(const ModelConfigs& configs, const std::string& component, const std::string& name, const WeightOptions& options,
          Watch& watch, Make make) {
  const Timed timed(watch.load_seconds);
  watch.stage = "loading the " + name;
  Checkpoint checkpoint(configs.folder.folder(component), options);
  WatchedWeights weights(checkpoint, name, watch);
  weights.report();
  auto module = make(weights);
  checkpoint.finish();
  return module;
}

}  // namespace

void Watch::check() {
  const auto start = Clock::now();
  const bool stop = control.check();
  pause_seconds += seconds_since(start);
  if (stop && !(decoding && control.stop_requested() == RunControl::Stop::Decode))
    throw Error(ErrorKind::Cancelled, "Stopped during " + stage + ".");
}

Precision Precision::of(const std::string& name) {
  if (name == "mixed") return {at::kFloat, at::kBFloat16, at::kBFloat16};
  const c10::ScalarType all = name == "bfloat16" ? at::kBFloat16 : name == "float16" ? at::kHalf : at::kFloat;
  return {all, all, all};
}

LoadedModel::LoadedModel(ModelConfigs configs, Precision precision, c10::Device device)
    : configs_(std::move(configs)), precision_(precision), device_(device) {}

const Tokenizer& LoadedModel::tokenizer() {
  if (!tokenizer_) tokenizer_ = open_tokenizer(configs_.folder.folder("tokenizer"));
  return *tokenizer_;
}

const T5Encoder& LoadedModel::text_encoder(Watch& watch) {
  if (!text_encoder_) {
    const auto config = T5Config::from_json(configs_.folder.config_text("text_encoder"), "text_encoder/config.json");
    if (config.d_model != configs_.transformer.text_embed_dim)
      throw Error(ErrorKind::Corrupt,
                  "The text encoder gives " + std::to_string(config.d_model) + " channels, the transformer takes " +
                      std::to_string(configs_.transformer.text_embed_dim) + ". The parts belong to different models.");
    text_encoder_ = load(configs_, "text_encoder", "text encoder", T5Encoder::weight_options(dtype(), device_), watch,
                         [&](WeightSource& weights) { return std::make_unique<T5Encoder>(config, weights); });
  }
  return *text_encoder_;
}

at::Tensor LoadedModel::embed(const TokenIds& tokens, Watch& watch) {
  for (const auto& [ids, embedding] : embeddings_)
    if (ids == tokens.ids) return embedding;
  const T5Encoder& encoder = text_encoder(watch);
  watch.stage = "text encoding";
  watch.sink.on_event(StageProgress{StageProgress::Stage::Text, "", static_cast<double>(tokens.used), 0, "tokens"});
  const at::Tensor ids = at::tensor(tokens.ids, at::kLong).unsqueeze(0);                                         // (1,T)
  const at::Tensor embedding = encoder.forward(ids, std::nullopt, [&watch] { watch.check(); }).to(dtype());  // (1,T,C)
  embeddings_.emplace_back(tokens.ids, embedding);
  if (embeddings_.size() > kRememberedPrompts) embeddings_.pop_front();
  return embedding;
}

void LoadedModel::finish_text() {
  if (!text_encoder_) return;
  const Checkpoint weights(configs_.folder.folder("text_encoder"));
  const double widening =
      static_cast<double>(c10::elementSize(dtype())) / static_cast<double>(c10::elementSize(weights.stored_dtype()));
  const double bytes = static_cast<double>(weights.stored_bytes()) * widening;
  const std::int64_t free = device_.is_cpu() ? available_bytes() : free_device_bytes(device_);
  if (bytes > kLargestIdleShare * static_cast<double>(free)) text_encoder_.reset();
}

const CogVideoXTransformer& LoadedModel::transformer(Watch& watch) {
  if (!transformer_) {
    WeightOptions options;
    options.dtype = precision_.products;
    options.device = device_;
    if (precision_.dtype == at::kFloat && precision_.products != at::kFloat) {
      options.float32_parts = {"patch_embed", "time_embedding", "norm1", "norm2", "norm_q", "norm_k", "norm_final", "norm_out", "proj_out"};
    }
    transformer_ = load(configs_, "transformer", "transformer", options, watch, [&](WeightSource& weights) {
      return std::make_unique<CogVideoXTransformer>(configs_.transformer, weights);
    });
  }
  return *transformer_;
}

const CogVideoXVae& LoadedModel::vae(Watch& watch) {
  if (!vae_) {
    WeightOptions options;
    options.dtype = precision_.decoder;
    options.device = device_;
    options.ignorable = keys_below(configs_.folder.folder("vae"), {"encoder.", "quant_conv."});  // generating needs no encoder
    vae_ = load(configs_, "vae", "VAE", options, watch, [&](WeightSource& weights) {
      return std::make_unique<CogVideoXVae>(configs_.vae, weights, /*with_encoder=*/false);
    });
  }
  return *vae_;
}

const LatentToRgb& LoadedModel::latent_to_rgb(Watch& watch) {
  if (!latent_to_rgb_) {
    const std::int64_t channels = configs_.vae.latent_channels;
    latent_to_rgb_ = LatentToRgb::read(configs_.folder.path(), channels);
    if (!latent_to_rgb_) {
      const CogVideoXVae& decoder = vae(watch);
      const Timed timed(watch.load_seconds);
      watch.stage = "fitting the preview";
      latent_to_rgb_ = LatentToRgb::fit(
          [&](const at::Tensor& latents) {
            return decoder.decode(latents.to(device_, precision_.decoder).div(configs_.vae.scaling_factor), [&](int, int) {
              watch.check();
              return false;
            });
          },
          channels);
    }
  }
  return *latent_to_rgb_;
}

}  // namespace ditscope
