#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/ranges.h"
#include "core/training/trainer.h"

namespace ditscope::cli {
namespace {

/// One line a report on stderr, and the same as JSON lines in the run folder.
TrainingReport reporter(const std::filesystem::path& folder) {
  return [folder](const TrainingProgress& p) {
    char line[256];
    if (p.quality > 0) {
      std::snprintf(line, sizeof line, "step %lld: %.2f dB, %s", static_cast<long long>(p.step), p.quality, p.phase.c_str());
    } else {
      std::snprintf(line, sizeof line, "%5.1f %%  step %lld  loss %.5f  |g| %.2f  rate %.2g  %s left  (%s)", p.fraction * 100,
                    static_cast<long long>(p.step), p.loss, p.gradient_norm, p.learning_rate, clock_text(p.remaining_seconds).c_str(),
                    p.phase.c_str());
    }
    std::cerr << line << '\n';
    std::filesystem::create_directories(folder);
    append_training_log(folder / "log.jsonl", p);
  };
}

/// "33x128x8:0.5" -> frames, size, batch, share.
TrainingPhase parse_phase(const std::string& text) {
  TrainingPhase phase;
  char x1 = 0, x2 = 0, colon = 0;
  std::istringstream stream(text);
  if (!(stream >> phase.frames >> x1 >> phase.size >> x2 >> phase.batch >> colon >> phase.share) || x1 != 'x' || x2 != 'x' ||
      colon != ':' || phase.frames < 1 || phase.frames % 4 != 1 || phase.size < 32 || phase.size % 16 != 0 || phase.batch < 1 ||
      !(phase.share > 0)) {
    throw Error(ErrorKind::InvalidArgument, "A phase is FRAMESxSIZExBATCH:SHARE, such as 33x128x8:0.5, with 4n+1 frames and a size that "
                                            "is a multiple of 16; got \"" + text + "\".");
  }
  phase.fresh_ratio = phase.frames == 1 ? 0.34 : 0.16;
  return phase;
}

void add_common(CLI::App& command, TrainingOptions& options) {
  command.add_option("--out", options.folder, "Run folder; a run found there goes on")->required();
  command.add_option("--minutes", options.minutes, "Training time in all, resumed runs counted together")->check(above_zero());
  command.add_option("--steps", options.steps, "Steps in all, instead of --minutes")->check(above_zero());
  command.add_option("--threads", options.threads, "Pieces of a batch computed side by side on a CPU; 0: one a core")->check(from_zero());
  command.add_option("--render-threads", options.render_threads, "Threads that render clips")->check(above_zero());
  command.add_option("--device", options.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
  command.add_option("--seed", options.seed, "Seed of weights, scenes and noise");
  command.add_option("--learning-rate", options.learning_rate, "Peak of the schedule")->check(above_zero());
  command.add_option("--checkpoint-minutes", options.checkpoint_minutes, "Between two saves")->check(above_zero());
  command.add_option("--from", options.initial_model, "A model folder whose weights to start from")->check(CLI::ExistingDirectory);
  command.add_flag("!--float32", options.bfloat16, "Compute in float32 instead of bfloat16 autocast");
}

bool stop_requested() { return Interrupt::control().stop_requested() != RunControl::Stop::None; }

void finish(const TrainingOptions& options) {
  if (!stop_requested()) return;
  std::cerr << "Stopped; saved in " << options.folder.string() << ". The same command goes on from there.\n";
  throw CLI::RuntimeError(kStopped);
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* train = app.add_subcommand("train", "Train the bundled model from scratch, or go on with it");
  train->require_subcommand(1);
  train->footer(
      "Examples:\n"
      "  ditscope-cli train vae --out runs/vae --minutes 60\n"
      "  ditscope-cli train transformer --out runs/dit --vae runs/vae/vae --minutes 240\n"
      "  ditscope-cli evaluate --model runs/dit/model\n"
      "Ctrl-C saves and ends; the same command goes on.");

  auto vae = std::make_shared<TrainingOptions>();
  vae->learning_rate = 2e-3;
  CLI::App* vae_command = train->add_subcommand("vae", "The video autoencoder, on clips rendered on the fly");
  add_common(*vae_command, *vae);
  vae_command->callback([vae] {
    train_vae(*vae, reporter(vae->folder), stop_requested);
    finish(*vae);
  });

  auto transformer = std::make_shared<TransformerTrainingOptions>();
  auto phases = std::make_shared<std::vector<std::string>>();
  CLI::App* transformer_command = train->add_subcommand("transformer", "The transformer and its text encoder, on latents of a trained VAE");
  add_common(*transformer_command, *transformer);
  transformer_command->add_option("--vae", transformer->vae, "The vae folder that `train vae` wrote")->required()->check(CLI::ExistingDirectory);
  transformer_command->add_option("--phase", *phases, "FRAMESxSIZExBATCH:SHARE, several in order, e.g. 1x128x48:0.3 33x128x8:0.7");
  transformer_command->callback([transformer, phases] {
    for (const auto& text : *phases) transformer->phases.push_back(parse_phase(text));
    train_transformer(*transformer, reporter(transformer->folder), stop_requested);
    finish(*transformer);
  });
}

}  // namespace ditscope::cli
