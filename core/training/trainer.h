#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace ditscope {

/// What every training run shares: where it lives, how long it goes on, and on what.
struct TrainingOptions {
  std::filesystem::path folder;   ///< run folder: state, log, exported weights; a run found there goes on
  double minutes = 0;             ///< of training time in all, resumed runs counted together
  std::int64_t steps = 0;         ///< instead of minutes
  int threads = 0;                ///< pieces of a batch that a CPU computes side by side; 0: one a core
  int render_threads = 1;
  std::string device = "cpu";
  std::uint64_t seed = 1;
  double learning_rate = 1e-3;
  bool bfloat16 = true;           ///< autocast; weights and optimiser stay float32
  double checkpoint_minutes = 5;
  std::filesystem::path initial_model;  ///< a diffusers folder whose weights to start from; may be empty
};

struct TrainingProgress {
  std::string phase;              ///< "33 x 128 px, batch 8"
  std::int64_t step = 0;
  double fraction = 0;            ///< of the whole run, 0..1
  double seconds = 0, remaining_seconds = 0;
  double loss = 0;                ///< mean since the last report
  double gradient_norm = 0, learning_rate = 0;
  double quality = 0;             ///< VAE: PSNR in dB on held-out clips, where measured; else 0
};
using TrainingReport = std::function<void(const TrainingProgress&)>;
using TrainingStop = std::function<bool()>;

/// One stretch of a transformer training: which clips, how many a step, for which share of the run.
struct TrainingPhase {
  int frames = 33;            ///< pixel frames; 1 = images, cheap lessons in colour, shape and background
  int size = 128;             ///< px, square
  int batch = 8;
  double share = 0.5;         ///< of the run
  double fresh_ratio = 0.15;  ///< newly rendered clips per trained clip; the rest comes from the latents made before
};

struct TransformerTrainingOptions : TrainingOptions {
  std::filesystem::path vae;            ///< a folder with the trained VAE: config.json and weights
  std::vector<TrainingPhase> phases;    ///< empty: images first, then clips at 128 px, then clips at 256 px
};

/// Trains the VAE of the bundled model from scratch on clips rendered on the fly: crops of short windows of 64, 128 and 256 px
/// clips, L1 + L2 + a small KL term, AdamW with linear decay; then measures PSNR on whole held-out clips.
///
/// Writes into options.folder: state.safetensors (to go on), and vae/ (config.json and averaged weights in diffusers'
/// format, scaling_factor = 1 / standard deviation of the latents), renewed at every checkpoint.
/// @throws Error{InvalidArgument} where the folder holds a run of another configuration
void train_vae(const TrainingOptions& options, const TrainingReport& report, const TrainingStop& stop);

/// Trains the transformer and the text encoder of the bundled model together: v-prediction on the zero-terminal-SNR schedule
/// (Salimans & Ho 2022, arXiv:2202.00512; Lin et al. 2023, arXiv:2305.08891), captions dropped for one clip in ten, AdamW,
/// moving average of the weights. The VAE stays as it is; latents of rendered clips are kept and used again.
///
/// Writes into options.folder: state.safetensors (to go on) and model/, a whole diffusers folder with averaged fp16 weights,
/// renewed at every checkpoint.
void train_transformer(const TransformerTrainingOptions& options, const TrainingReport& report, const TrainingStop& stop);

/// Appends one report as a JSON line.
void append_training_log(const std::filesystem::path& file, const TrainingProgress& progress);

}  // namespace ditscope
