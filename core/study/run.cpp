#include "core/study/run.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/capture/fingerprint.h"
#include "core/files/atomic_file.h"
#include "core/media/jpeg_writer.h"
#include "core/media/png_writer.h"
#include "core/metrics/psnr.h"
#include "core/metrics/ssim.h"
#include "core/pipeline/generator.h"
#include "core/pipeline/sampled_calls.h"
#include "core/study/folder.h"
#include "core/study/statistics.h"
#include "core/training/world/judge.h"
#include "kernels/error.h"

namespace ditscope::study {
namespace {

constexpr int kStripFrames = 5, kStripFrame_px = 96, kStripPrompts = 2;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Stops a run after some steps; 0: in the first, whose noise is then what the run stands at.
class StopAfter final : public EventSink {
 public:
  StopAfter(int steps, RunControl& control) : steps_(steps), control_(control) {}
  void on_event(const Event& event) override {
    const auto* step = std::get_if<StepFinished>(&event);
    if (steps_ == 0 ? std::holds_alternative<LayerProgress>(event) : step && step->record.index + 1 == steps_) control_.request_stop();
  }

 private:
  int steps_;
  RunControl& control_;
};

class Quiet final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

class Claims {
 public:
  Claims(const Settings& settings, const std::filesystem::path& path, RunControl& control,
         const std::function<void(const Progress&)>& progress)
      : settings_(settings), path_(path), control_(control), progress_(progress) {}
  bool run();

 private:
  /// A prompt with what all methods share of it.
  struct Prompt {
    int index = -1;
    Request request;
    RunResult start;  ///< stopped where the shared steps end
    Frames dense;
    double start_cpu_seconds = 0;
  };

  Request request_of(int prompt) const;
  bool stopped() const { return control_.stop_requested() != RunControl::Stop::None; }
  void begin(int prompt);
  void match(Folder& folder);
  /// Full attention from the noise of the prompt's own type, in another one: drawing in another type would draw other noise.
  RunResult run_in(const std::string& dtype);
  std::optional<RunResult> run_cell(const Cell& cell, double& cpu);
  Record record_of(const Cell& cell, const RunResult& result, double cpu) const;
  void save_strip(const Cell& cell, const Frames& frames) const;

  Settings settings_;
  std::filesystem::path path_;
  RunControl& control_;
  const std::function<void(const Progress&)>& progress_;
  std::vector<world::Scene> scenes_;
  Generator generator_, other_dtype_;
  Quiet quiet_;
  Prompt prompt_;
  int done_ = 0, total_ = 0;
};

Request Claims::request_of(int prompt) const {
  Request request;
  request.model = settings_.model;
  request.prompt = world::caption(scenes_[static_cast<std::size_t>(prompt)]);
  request.seed = settings_.seed + static_cast<std::uint64_t>(prompt);
  request.steps = settings_.steps;
  request.frames = settings_.frames;
  request.height = settings_.height;
  request.width = settings_.width;
  request.dtype = settings_.dtype;
  request.threads = settings_.threads;
  request.method = {"full", {}};
  return Generator::complete(request);
}

/// Computes the steps that all methods share, and full attention to its end.
void Claims::begin(int prompt) {
  if (prompt_.index == prompt) return;
  prompt_ = {};
  const Request request = request_of(prompt);
  RunControl own;
  StopAfter sink(common_warmup(request.steps), own);
  const double before = cpu_seconds();
  RunResult start = generator_.run(request, sink, own);
  const double cpu = cpu_seconds() - before;
  const RunResult dense = generator_.resume_as(request.method, start, quiet_, control_);
  if (dense.stopped) return;
  prompt_ = {prompt, request, std::move(start), dense.frames, cpu};
}

void Claims::match(Folder& folder) {
  const auto wanted = settings_.methods.empty() ? studied_methods() : settings_.methods;
  std::shared_ptr<const SampledCalls> calls;
  for (const std::string& method : wanted) {
    if (method == "full" || stopped()) continue;
    const auto knob = knob_of(common_schedule(method, settings_.steps));
    std::vector<double> missing;
    const MethodMatches* known = folder.matches_of(method);
    MethodMatches matches = known ? *known : MethodMatches{method, {}};
    for (const double ratio : settings_.ratios) {
      const auto same = [&](const Match& m) { return std::abs(m.target - ratio) < 1e-9; };
      if (knob && std::none_of(matches.matches.begin(), matches.matches.end(), same)) missing.push_back(ratio);
    }
    if (known && missing.empty()) continue;
    progress_({done_, total_, "matching " + method});
    if (knob) {
      if (!calls) {
        begin(0);
        if (stopped()) return;
        const int first = common_warmup(settings_.steps), sparse = std::min(first + 2, settings_.steps - 1);
        std::vector<int> steps{first};  // refreshes and searches fall on it, so one that is sparse for all
        if (sparse > first) steps.push_back(sparse);
        calls = generator_.sample_calls(prompt_.start, steps, quiet_, control_);
      }
      for (Match& found : match_ratios(*knob, missing, [&](const MethodChoice& choice) {
             if (stopped()) throw Error(ErrorKind::Cancelled, "Stopped while methods were matched.");
             return kept_ratio(*calls, choice);
           }))
        matches.matches.push_back(std::move(found));
    }
    folder.add_matches(matches);
  }
}

RunResult Claims::run_in(const std::string& dtype) {
  RunControl own;
  StopAfter first(0, own);
  Request request = prompt_.request;
  request.latents_in = path_ / "noise.safetensors";
  Generator::save_latents(generator_.run(prompt_.request, first, own), request.latents_in);
  request.dtype = dtype;
  RunResult result = other_dtype_.run(request, quiet_, control_);
  std::filesystem::remove(request.latents_in);
  return result;
}

/// A run of a cell of the current prompt, its shared steps included; nothing where it was stopped.
std::optional<RunResult> Claims::run_cell(const Cell& cell, double& cpu) {
  const double before = cpu_seconds();
  RunResult result;
  if (!cell.whole) {
    result = generator_.resume_as(cell.choice, prompt_.start, quiet_, control_);
    cpu = prompt_.start_cpu_seconds;
  } else {
    Request request = prompt_.request;
    request.method = cell.choice;
    if (cell.method == "full") request.seed += 1000;
    const bool other_dtype = cell.method == "full" && cell.variant != "another seed";
    result = other_dtype ? run_in(cell.variant) : generator_.run(request, quiet_, control_);
    cpu = 0;
  }
  cpu += cpu_seconds() - before;
  if (result.stopped) return std::nullopt;
  return result;
}

Record Claims::record_of(const Cell& cell, const RunResult& result, double cpu) const {
  Record record{cell.id, prompt_.index, {}};
  auto& v = record.values;
  if (cell.id != "full") {
    v["psnr_db"] = psnr(result.frames, prompt_.dense).mean_db;
    if (std::min(result.frames.height, result.frames.width) >= Ssim::kWindow_px) v["ssim"] = ssim(result.frames, prompt_.dense).mean;
  }
  const world::Score score = world::compare(scenes_[static_cast<std::size_t>(prompt_.index)], world::judge(result.frames));
  v["accuracy"] = score.mean();
  for (std::size_t i = 0; i < world::kScoredAttributes.size(); ++i)
    v["accuracy_" + std::string(world::kScoredAttributes[i])] = score.values[i];
  v["flicker"] = flicker(result.frames);
  v["seconds"] = result.seconds;
  v["cpu_seconds"] = cpu;
  v["method_bytes"] = static_cast<double>(result.method_bytes);
  v["kept_sparse"] = result.kept_ratio.achieved;
  for (const StepRecord& step : result.steps) {
    v["attention_seconds"] += step.attention_seconds;
    v["kept_run"] += step.kept_ratio_achieved / static_cast<double>(result.steps.size());
  }
  return record;
}

void Claims::save_strip(const Cell& cell, const Frames& frames) const {
  if (prompt_.index >= kStripPrompts) return;
  Frames strip;
  for (int i = 0; i < kStripFrames; ++i) {
    const Frames one = thumbnail(frames, i * (frames.count - 1) / (kStripFrames - 1), kStripFrame_px);
    if (strip.empty()) {
      strip.count = 1, strip.height = one.height, strip.width = one.width * kStripFrames;
      strip.rgb.resize(strip.frame_size());
    }
    for (int y = 0; y < one.height; ++y)
      std::copy_n(one.rgb.data() + static_cast<std::size_t>(y) * one.width * 3, static_cast<std::size_t>(one.width) * 3,
                  strip.rgb.data() + (static_cast<std::size_t>(y) * strip.width + static_cast<std::size_t>(i) * one.width) * 3);
  }
  write_file(Folder::strip(path_, cell.id, prompt_.index), encode_jpeg(strip, 0));
}

bool Claims::run() {
  world::SceneRandom random(settings_.caption_seed);
  for (int i = 0; i < settings_.prompts; ++i) scenes_.push_back(world::sample_scene(random, {.split = world::Split::HeldOut}));
  const Request complete = request_of(0);  // every setting is checked before anything runs
  for (const std::string& method : settings_.methods) find_method(method);
  settings_.model = complete.model;
  settings_.frames = complete.frames, settings_.height = complete.height, settings_.width = complete.width;
  if (common_warmup(settings_.steps) < 1 || common_warmup(settings_.steps) >= settings_.steps)
    throw Error(ErrorKind::InvalidArgument, "expected at least 3 steps, got " + std::to_string(settings_.steps) + "; ask for more");
  for (const double ratio : settings_.ratios)
    if (!(ratio > 0 && ratio <= 1))
      throw Error(ErrorKind::InvalidArgument, "expected kept ratios above 0 and up to 1, got " + std::to_string(ratio) + "; change it");

  Folder folder(path_, settings_, model_fingerprint(settings_.model));
  std::vector<std::string> captions;
  for (const world::Scene& scene : scenes_) captions.push_back(world::caption(scene));
  folder.set_captions(captions);
  match(folder);
  if (stopped()) return false;
  std::vector<MethodMatches> wanted;
  for (const MethodMatches& of : folder.study().matches)
    if (settings_.methods.empty() || std::find(settings_.methods.begin(), settings_.methods.end(), of.method) != settings_.methods.end())
      wanted.push_back(of);
  for (MethodMatches& of : wanted)
    std::erase_if(of.matches, [&](const Match& m) {
      return std::none_of(settings_.ratios.begin(), settings_.ratios.end(), [&](double r) { return std::abs(r - m.target) < 1e-9; });
    });
  const std::vector<Cell> cells = cells_of(settings_, wanted);
  folder.set_cells(cells);
  const std::vector<Task> tasks = order_of(cells, settings_);
  total_ = static_cast<int>(tasks.size());
  for (const Task& task : tasks) {
    if (!folder.has(task.cell->id, task.prompt)) {
      progress_({done_, total_, "prompt " + std::to_string(task.prompt + 1) + ", " + task.cell->id});
      begin(task.prompt);
      if (stopped()) return false;
      double cpu = 0;
      const auto result = run_cell(*task.cell, cpu);
      if (!result) return false;
      save_strip(*task.cell, result->frames);
      folder.add(record_of(*task.cell, *result, cpu));
    }
    ++done_;
  }
  progress_({done_, total_, "done"});
  return true;
}

}  // namespace

bool run_claims(const Settings& settings, const std::filesystem::path& folder, RunControl& control,
                const std::function<void(const Progress&)>& progress) {
  return Claims(settings, folder, control, progress).run();
}

}  // namespace ditscope::study
