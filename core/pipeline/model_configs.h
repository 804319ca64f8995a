#pragma once
#include <filesystem>
#include <string>

#include "core/checkpoint/model_folder.h"
#include "core/models/cogvideox_transformer.h"
#include "core/pipeline/generator.h"
#include "core/step_cache/session.h"
#include "core/vae/cogvideox_vae.h"

namespace ditscope {

/// All that a model folder says without its weights being loaded.
struct ModelConfigs {
  ModelFolder folder;
  CogVideoXConfig transformer;
  CogVideoXVaeConfig vae;
  std::string scheduler_json;
  std::string scheduler_class;
  ModelInfo info;
};

/// @throws Error{NotFound, Corrupt, Unsupported} naming the file, class or value that is wrong
ModelConfigs read_model_configs(const std::filesystem::path& folder);

/// Sizes of a run in latents and tokens.
struct RunSizes {
  std::int64_t batch = 2;              ///< guidance branches
  std::int64_t latent_frames = 0;      ///< padded to whole time patches (CogVideoX 1.5)
  std::int64_t additional_frames = 0;  ///< of these, the ones dropped before decoding: the first
  std::int64_t rows = 0, columns = 0;  ///< latents
  std::int64_t tokens = 0;             ///< text and visual, of one branch
  int output_frames = 0;               ///< pixel frames that the VAE makes of them
};
RunSizes run_sizes(const ModelConfigs& model, const Request& request);

/// The step cache that a completed request asks for, at its start; null where it asks for none.
std::unique_ptr<StepCacheSession> make_step_cache(const ModelConfigs& model, const Request& request);
/// Bytes that it will hold between steps.
std::int64_t estimate_step_cache_bytes(const ModelConfigs& model, const Request& request);

}  // namespace ditscope
