#include <nlohmann/json.hpp>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "core/pipeline/generator.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

Json json_of(const ModelInfo& info) {
  Json sizes = Json::array();
  for (const auto& [width, height] : info.sizes) sizes.push_back({{"width", width}, {"height", height}});
  return {{"folder", info.folder.string()},
          {"name", info.name},
          {"family", info.family},
          {"bundled", info.bundled},
          {"layers", info.layers},
          {"heads", info.heads},
          {"head_dim", info.head_dim},
          {"parameters", info.parameters},
          {"weight_bytes", info.weight_bytes},
          {"defaults",
           {{"steps", info.default_steps},
            {"guidance_scale", info.default_guidance},
            {"frames", info.default_frames},
            {"height", info.default_height},
            {"width", info.default_width},
            {"max_sequence_length", info.max_text_tokens},
            {"scheduler", info.default_scheduler},
            {"fps", info.fps}}},
          {"size_multiple", info.size_multiple},
          {"frame_multiple", info.frame_multiple},
          {"sizes", sizes},
          {"frame_counts", info.frame_counts},
          {"example_prompt", info.example_prompt}};
}

std::string text_of(const ModelInfo& info) {
  char text[512];
  std::snprintf(text, sizeof text,
                "%s%s\n    %s, %d layers, %d heads of %d, %.1f M parameters, %s on disk\n"
                "    default: %d frames of %d x %d, %d steps, guidance %g, %s\n"
                "    width and height: multiples of %d; frames: %dn + 1",
                info.name.c_str(), info.bundled ? " (bundled)" : "", info.family.c_str(), info.layers, info.heads, info.head_dim,
                static_cast<double>(info.parameters) / 1e6, bytes_text(static_cast<double>(info.weight_bytes)).c_str(),
                info.default_frames, info.default_width, info.default_height, info.default_steps, info.default_guidance,
                info.default_scheduler.c_str(), info.size_multiple, info.frame_multiple);
  return std::string(text) + "\n    " + info.folder.string();
}

void run_models(std::vector<std::string> folders) {
  if (folders.empty()) folders.push_back(Generator::bundled_model().string());
  Json json = Json::array();
  std::string text;
  for (const std::string& folder : folders) {
    const ModelInfo info = Generator::inspect(folder);
    json.push_back(json_of(info));
    text += (text.empty() ? "" : "\n\n") + text_of(info);
  }
  print_result(json_wanted() ? Json{{"models", json}}.dump(2) : text);
}

}  // namespace

void add_models(CLI::App& app) {
  auto folders = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("models", "Describe the bundled model, or model folders");
  command->add_option("folders", *folders, "Model folders in diffusers format (default: the bundled model)")->type_name("DIR");
  add_json_flag(*command);
  command->footer(std::string("Examples:\n  ditscope-cli models\n  ditscope-cli models ~/models/CogVideoX-2b --json\n\n") +
                  kExitCodeHelp);
  command->callback([folders] { run_models(*folders); });
}

}  // namespace ditscope::cli
