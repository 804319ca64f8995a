#include "app/cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "app/cli/print.h"
#include "core/catalog/catalog.h"
#include "core/media/gif_writer.h"
#include "core/media/png_writer.h"
#include "core/media/side_by_side.h"
#include "core/media/video_writer.h"
#include "kernels/error.h"

namespace ditscope::cli {
namespace {

namespace fs = std::filesystem;

void write_frames(const Frames& frames, const std::string& parameters_json, const fs::path& path) {
  switch (output_kind(path)) {
    case OutputKind::Mp4: {
      VideoOptions options;
      options.parameters_json = parameters_json;
      write_video(frames, path, options);
      break;
    }
    case OutputKind::Gif: {
      GifOptions options;
      options.parameters_json = parameters_json;
      write_gif(frames, path, options);
      break;
    }
    case OutputKind::Png:
      write_png(frames, frames.count / 2, path, parameters_json);
      break;
    case OutputKind::Folder:
      write_png_sequence(frames, path, parameters_json);
      break;
  }
}

/// "kept 12.5 %  ·  4.1 s  ·  31.2 dB"
std::string figures_of(const ComparedRun& run) {
  const RunResult& result = run.result;
  std::string text;
  if (result.kept_ratio.requested < 1)
    text =
        print("kept %.1f %%, skipped %.1f %%  ·  ", 100 * result.kept_ratio.requested, 100 * (1 - result.kept_ratio.requested));
  text += print("%.2f s, attention %.2f s", result.seconds, result.attention_seconds);
  if (run.psnr_db) text += print("  ·  %.1f dB", *run.psnr_db);
  return text;
}

}  // namespace

OutputKind output_kind(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::error_code ignored;
  if (ending.empty() || path.filename().empty() || fs::is_directory(path, ignored)) return OutputKind::Folder;
  if (ending == ".mp4") return OutputKind::Mp4;
  if (ending == ".gif") return OutputKind::Gif;
  if (ending == ".png") return OutputKind::Png;
  throw Error(ErrorKind::InvalidArgument, "Nothing here writes \"" + ending + "\" (" + path.string() +
                                              "). Give a name that ends in .mp4, .gif or .png, or a folder.");
}

void require_writable(const fs::path& path) {
  std::error_code ignored;
  fs::path existing = fs::absolute(path);
  if (!existing.has_filename()) existing = existing.parent_path();  // "videos/" is the folder itself
  if (!fs::is_directory(existing, ignored)) existing = existing.parent_path();
  while (!fs::exists(existing, ignored) && existing != existing.parent_path()) existing = existing.parent_path();
  if (!fs::is_directory(existing, ignored))
    throw Error(ErrorKind::Device,
                "Cannot write " + path.string() + ": " + existing.string() + " is a file. Choose another folder.");
  if (access(existing.c_str(), W_OK | X_OK) != 0)
    throw Error(ErrorKind::Device,
                "Cannot write " + path.string() + ": no permission in " + existing.string() + ". Choose another folder.");
}

void write_output(const RunResult& result, const fs::path& path) {
  write_frames(result.frames, to_json(result.request), path);
}

void save_tensors(const RunResult& result, const RunOptions& options, const std::string& suffix) {
  const auto named = [&](const fs::path& path) { return suffix.empty() ? path : with_suffix(path, suffix); };
  if (!options.latents_out.empty()) Generator::save_latents(result, named(options.latents_out));
  if (!options.prompt_embeds_out.empty()) Generator::save_prompt_embeds(result, named(options.prompt_embeds_out));
  if (!options.frames_out.empty() && !result.frames.empty()) Generator::save_frames(result, named(options.frames_out));
}

void write_side_by_side(const std::vector<const ComparedRun*>& runs, const fs::path& path) {
  std::vector<Pane> panes;
  for (const ComparedRun* run : runs)
    panes.push_back({&run->result.frames, find_method(run->result.request.method.key).name, figures_of(*run)});
  write_frames(side_by_side(panes), to_json(runs.back()->result.request), path);
}

}  // namespace ditscope::cli
