#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/run_options.h"
#include "core/media/video_writer.h"
#include "core/pipeline/generator.h"
#include "core/training/example_factory.h"
#include "core/training/world/judge.h"
#include "core/training/world/renderer.h"

namespace ditscope::cli {
namespace {

struct EvaluateOptions {
  Request request;
  std::string method = "full", step_cache;
  int clips = 24;
  std::uint64_t caption_seed = 7;
  bool ground_truth = false, shuffled = false, trained = false;
  std::filesystem::path output;
};

/// Captions the model never saw (or, with --trained, ones of the kinds it did): the same for the same seed.
std::vector<world::Scene> asked_scenes(const EvaluateOptions& options) {
  world::SceneRandom random(options.caption_seed);
  std::vector<world::Scene> scenes;
  for (int i = 0; i < options.clips; ++i) {
    scenes.push_back(world::sample_scene(random, {.split = options.trained ? world::Split::Training : world::Split::HeldOut}));
  }
  return scenes;
}

Frames rendered(const world::Scene& scene, const Request& request) {
  Frames frames;
  frames.count = request.frames > 0 ? request.frames : kClipFrames;
  frames.height = request.height > 0 ? request.height : 256;
  frames.width = request.width > 0 ? request.width : 256;
  std::vector<std::uint8_t> bytes(frames.frame_size() * frames.count);
  world::render(scene, frames.width, frames.height, frames.count, bytes.data());
  frames.rgb.resize(bytes.size());
  std::transform(bytes.begin(), bytes.end(), frames.rgb.begin(), [](std::uint8_t byte) { return static_cast<float>(byte) / 255.0F; });
  return frames;
}

/// Sums of scores per attribute, and over all of them.
class Tally {
 public:
  void add(const world::Score& score) {
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += score.values[i];
    ++clips_;
  }
  int clips() const { return clips_; }
  double of(std::size_t attribute) const { return clips_ ? sums_[attribute] / clips_ : 0.0; }
  double mean() const {
    double total = 0;
    for (std::size_t i = 0; i < sums_.size(); ++i) total += of(i);
    return total / static_cast<double>(sums_.size());
  }

 private:
  std::array<double, world::kScoredAttributes.size()> sums_{};
  int clips_ = 0;
};

void print_tally(const Tally& tally, const EvaluateOptions& options, const nlohmann::json& clips) {
  if (json_wanted()) {
    nlohmann::json attributes;
    for (std::size_t i = 0; i < world::kScoredAttributes.size(); ++i) attributes[std::string(world::kScoredAttributes[i])] = tally.of(i);
    print_result(nlohmann::json{{"clips", tally.clips()}, {"attributes", attributes}, {"mean", tally.mean()},
                                {"method", options.ground_truth ? "rendered ground truth" : to_string(method_of(options.method, options.step_cache))},
                                {"captions", options.trained ? "trained" : "held out"}, {"shuffled", options.shuffled}, {"details", clips}}
                     .dump(2));
    return;
  }
  std::string text = "attribute   right\n";
  char line[64];
  for (std::size_t i = 0; i < world::kScoredAttributes.size(); ++i) {
    std::snprintf(line, sizeof line, "%-10s %5.1f %%\n", std::string(world::kScoredAttributes[i]).c_str(), tally.of(i) * 100);
    text += line;
  }
  std::snprintf(line, sizeof line, "%-10s %5.1f %%  (%d clips)", "all", tally.mean() * 100, tally.clips());
  print_result(text + line);
}

void run_evaluate(const EvaluateOptions& options) {
  const MethodChoice method = method_of(options.method, options.step_cache);
  const auto scenes = asked_scenes(options);
  Generator generator;
  ConsoleProgress progress(false);
  Tally tally;
  nlohmann::json details = nlohmann::json::array();
  if (!options.output.empty()) std::filesystem::create_directories(options.output);
  for (std::size_t i = 0; i < scenes.size(); ++i) {
    progress.set_title("clip " + std::to_string(i + 1) + " of " + std::to_string(scenes.size()));
    Request request = options.request;
    request.prompt = world::caption(scenes[i]);
    request.seed = options.request.seed + i;
    request.method = method;
    Frames frames;
    if (options.ground_truth) {
      frames = rendered(scenes[i], request);
    } else {
      const RunResult result = generator.run(request, progress, Interrupt::control());
      if (result.stopped) break;
      frames = result.frames;
    }
    const auto& asked = options.shuffled ? scenes[(i + scenes.size() / 2) % scenes.size()] : scenes[i];
    const world::Score score = world::compare(asked, world::judge(frames));
    tally.add(score);
    nlohmann::json detail{{"caption", request.prompt}, {"seed", request.seed}, {"mean", score.mean()}};
    for (const auto attribute : world::kScoredAttributes) detail[std::string(attribute)] = score.of(attribute);
    details.push_back(detail);
    if (!options.output.empty()) {
      char name[32];
      std::snprintf(name, sizeof name, "%03zu.mp4", i + 1);
      write_video(frames, options.output / name, {.parameters_json = to_json(request)});
    }
  }
  progress.clear();
  print_tally(tally, options, details);
  if (Interrupt::control().stop_requested() != RunControl::Stop::None) throw CLI::RuntimeError(kStopped);
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command = app.add_subcommand("evaluate", "Generate held-out captions and measure from the pixels whether they are as asked");
  command->add_option("--model", options->request.model, "Model folder trained on the captioned world (default: the bundled model)");
  command->add_option("--method", options->method, "Attention method, NAME[:key=value,...]");
  add_step_cache_option(*command, options->step_cache);
  command->add_option("--clips", options->clips, "How many captions")->check(CLI::Range(1, 100000));
  command->add_option("--steps", options->request.steps, "Denoising steps");
  command->add_option("--guidance", options->request.guidance_scale, "Guidance scale");
  command->add_option("--seed", options->request.seed, "Noise seed of the first clip; the next ones count up");
  command->add_option("--caption-seed", options->caption_seed, "Which captions are drawn");
  command->add_option("--frames", options->request.frames, "Pixel frames");
  command->add_option("--width", options->request.width, "px");
  command->add_option("--height", options->request.height, "px");
  command->add_option("--dtype", options->request.dtype, "auto, float32, mixed, bfloat16 or float16");
  command->add_option("--device", options->request.device, "cpu or cuda");
  command->add_option("--threads", options->request.threads, "0: all cores");
  command->add_flag("--trained", options->trained, "Captions of the kinds that were trained on, instead of held-out ones");
  command->add_flag("--ground-truth", options->ground_truth, "Judge rendered clips instead of generated ones: what the judge itself scores");
  command->add_flag("--shuffled", options->shuffled, "Score each clip against another's caption: what chance scores");
  command->add_option("-o,--output", options->output, "Folder for the clips as MP4");
  add_json_flag(*command);
  command->footer(
      "Examples:\n"
      "  ditscope-cli evaluate --clips 24\n"
      "  ditscope-cli evaluate --ground-truth --clips 200\n"
      "  ditscope-cli evaluate --ground-truth --shuffled --clips 200");
  command->callback([options] { run_evaluate(*options); });
}

}  // namespace ditscope::cli
