#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "core/models/cogvideox_transformer.h"
#include "core/text/t5_encoder.h"
#include "core/text/tokenizer.h"
#include "core/vae/cogvideox_vae.h"

namespace ditscope {

// What the bundled model is: a small CogVideoX of the 5B kind.
CogVideoXVaeConfig bundled_vae_config();
CogVideoXConfig bundled_transformer_config();
T5Config bundled_text_config(int vocabulary_size);
/// scheduler_config.json: the zero-terminal-SNR schedule that it is trained on.
std::string bundled_scheduler_json();

/// The diffusers folder that training writes: model_index.json, scheduler, tokenizer, text_encoder, transformer, vae, and
/// ditscope.json with the defaults of the window and the command line.
class BundledModelFolder {
 public:
  explicit BundledModelFolder(std::filesystem::path folder);

  /// Takes the tokenizer of `from` where given, that of this folder where it has one, else trains one on captions.
  std::unique_ptr<Tokenizer> prepare_tokenizer(const std::filesystem::path& from) const;
  void write_configs() const;
  /// Copies the trained VAE as fp16. @return its config
  CogVideoXVaeConfig write_vae(const std::filesystem::path& from) const;
  /// latent_rgb.json for previews: least squares from scaled latents to the mean colours of rendered clips.
  void write_latent_rgb(const CogVideoXVae& vae, at::Device device) const;
  void write_transformer(const std::map<std::string, at::Tensor>& weights) const;
  void write_text_encoder(const std::map<std::string, at::Tensor>& weights) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace ditscope
