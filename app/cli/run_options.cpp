#include "app/cli/run_options.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include "app/cli/console.h"
#include "app/cli/interrupt.h"
#include "app/cli/output.h"
#include "app/cli/ranges.h"
#include "core/catalog/step_caches.h"
#include "core/pipeline/generator.h"
#include "kernels/error.h"

namespace ditscope::cli {
namespace {

constexpr const char* kStepCacheHelp =
    "Reuse blocks of earlier steps: teacache, adacache, foresight or fbcache, such as teacache:threshold=0.1; the same as a plus and its "
    "name after the method";
constexpr std::uintmax_t kLargestPromptsFile_bytes = 64u << 20;

void add_prompt_options(CLI::App& command, RunOptions& options) {
  Request& request = options.request;
  command.add_option("--model", request.model, "Model folder in diffusers format (default: the bundled model)")->type_name("DIR");
  command
      .add_option_function<std::string>(
          "--prompt",
          [&options](const std::string& text) {
            options.request.prompt = text;
            options.prompt_given = true;
          },
          "What to show, UTF-8 (default: the model's example prompt)")
      ->type_name("TEXT");
  command.add_option("--negative-prompt", request.negative_prompt, "What to keep away from")->type_name("TEXT");
  command.add_option("--prompts-file", options.prompts_file, "One prompt a line; a prompt that fails does not stop the others")
      ->type_name("FILE")
      ->excludes("--prompt");
  command.add_option("--max-sequence-length", request.max_sequence_length, "Text tokens (default: the model's)")
      ->check(above_zero())
      ->type_name("N");
}

void add_sampling_options(CLI::App& command, Request& request) {
  command.add_option("--steps", request.steps, "Denoising steps (default: the model's)")
      ->check(above_zero())
      ->type_name("N");
  command.add_option("--guidance", request.guidance_scale, "Guidance scale; 1 or less runs without the negative prompt")
      ->check(from_zero())
      ->type_name("X");
  command.add_flag("--vae-tiling", request.vae_tiling, "Decode in tiles: less memory, slightly other pixels at the seams");
  command.add_flag("--dynamic-cfg", request.dynamic_cfg, "Guidance follows CogVideoX's cosine schedule");
  command.add_option("--scheduler", request.scheduler, "Scheduler, see `ditscope-cli schedulers` (default: the model's)")
      ->type_name("NAME");
  command.add_option("--seed", request.seed, "Seed of the noise; the same numbers as torch.Generator().manual_seed(N)")
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--frames", request.frames, "Frames (default: the model's)")->check(above_zero())->type_name("N");
  command.add_option("--width", request.width, "Width in pixels (default: the model's)")
      ->check(above_zero())
      ->type_name("PX");
  command.add_option("--height", request.height, "Height in pixels (default: the model's)")
      ->check(above_zero())
      ->type_name("PX");
  command.add_option("--dtype", request.dtype, "auto, float32, mixed, bfloat16 or float16 (default: auto, which is mixed on a CPU with AVX-512 BF16, else float32)")->type_name("TYPE");
  command.add_option("--device", request.device, "cpu or cuda (default: cuda where a GPU is found)")->type_name("NAME");
  command
      .add_option("--memory-budget", request.memory_budget_bytes,
                  "The most that the method may remember between steps, such as 512MB or 2GB (default: what is free)")
      ->transform(CLI::AsSizeValue(true))
      ->type_name("SIZE");
  command.add_option("--threads", request.threads, "CPU threads (default: all cores)")
      ->check(thread_count())
      ->type_name("N");
}

void add_file_options(CLI::App& command, RunOptions& options) {
  command
      .add_option("--latents-in", options.request.latents_in,
                  "Safetensors with `latents` (B,F,C,Y,X): start from these instead of noise, as diffusers' latents=")
      ->type_name("FILE");
  command.add_option("--latents-out", options.latents_out, "Write safetensors `latents` and `latents_per_step` (S,B,F,C,Y,X)")
      ->type_name("FILE");
  command
      .add_option("--prompt-embeds-out", options.prompt_embeds_out,
                  "Write safetensors `prompt_embeds` and `negative_prompt_embeds` (B,T,C)")
      ->type_name("FILE");
  command.add_option("--frames-out", options.frames_out, "Write safetensors `frames` (F,3,Y,X), float32 0..1, before encoding")
      ->type_name("FILE");
  command.add_flag("--decode-on-stop", options.decode_on_stop, "Ctrl-C decodes the predicted clean video instead of dropping it");
  command.add_flag("--quiet", options.quiet, "No progress");
  add_json_flag(command);
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions& options) {
  add_prompt_options(command, options);
  add_sampling_options(command, options.request);
  add_step_cache_option(command, options.step_cache);
  add_file_options(command, options);
}

void add_step_cache_option(CLI::App& command, std::string& text) {
  command.add_option("--step-cache", text, kStepCacheHelp)->type_name("NAME[:KEY=VALUE,...]");
}

MethodChoice method_of(const std::string& text, const std::string& step_cache) {
  const MethodChoice method = parse_method_choice(text);
  return step_cache.empty() ? method : with_step_cache(method, step_cache);
}

void prepare(RunOptions& options) {
  options.request.keep_latents_per_step = !options.latents_out.empty();
  Interrupt::set_stop(options.decode_on_stop ? RunControl::Stop::Decode : RunControl::Stop::Keep);
  if (!options.output.empty()) output_kind(options.output);
  for (const auto* path : {&options.output, &options.latents_out, &options.prompt_embeds_out, &options.frames_out})
    if (!path->empty()) require_writable(*path);
}

void note_defaults(const RunOptions& options, const std::vector<MethodChoice>& methods) {
  if (options.quiet) return;
  const ModelInfo info = Generator::inspect(options.request.model.empty() ? Generator::bundled_model() : options.request.model);
  for (const MethodChoice& method : methods) {
    const std::string note = defaults_note(method, info.published_as, info.name);
    if (!note.empty()) std::fprintf(stderr, "%s: %s\n", method.key.c_str(), note.c_str());
  }
}

std::vector<std::string> prompts_of(const RunOptions& options) {
  if (options.prompts_file.empty()) {
    if (options.prompt_given) return {options.request.prompt};
    const auto model = options.request.model.empty() ? Generator::bundled_model() : options.request.model;
    return {Generator::inspect(model).example_prompt};
  }
  std::error_code failed;
  const auto size = std::filesystem::file_size(options.prompts_file, failed);
  std::ifstream stream(options.prompts_file, std::ios::binary);
  if (failed || !stream)
    throw Error(ErrorKind::NotFound, "Cannot read the prompts in " + options.prompts_file.string() + ". Check the path.");
  if (size > kLargestPromptsFile_bytes)
    throw Error(ErrorKind::InvalidArgument, options.prompts_file.string() + " is larger than 64 MiB. Split it.");
  std::vector<std::string> prompts;
  for (std::string line; std::getline(stream, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
    if (!line.empty()) prompts.push_back(line);
  }
  if (prompts.empty())
    throw Error(ErrorKind::InvalidArgument, options.prompts_file.string() + " holds no prompt. Write one on each line.");
  return prompts;
}

std::filesystem::path with_suffix(const std::filesystem::path& path, const std::string& suffix) {
  return path.parent_path() / (path.stem().string() + "-" + suffix + path.extension().string());
}

std::string prompt_number(std::size_t index) {
  char text[24];
  std::snprintf(text, sizeof text, "%03zu", index + 1);
  return text;
}

}  // namespace ditscope::cli
