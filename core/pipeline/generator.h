#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/media/frames.h"
#include "core/pipeline/events.h"
#include "core/pipeline/request.h"
#include "core/pipeline/run_control.h"

namespace ditscope {

struct KeptRatio {
  double requested = 1;         ///< what the parameter asks of a sparse step
  double achieved = 1;          ///< mean over the sparse steps, text included
  double schedule_average = 1;  ///< mean over all steps, a refresh counted as 1 + kept, a layer that was left out as 0
};

/// Where a stopped run stands: latents and the method's memory, to resume or decode. Opaque; frees itself.
struct PartialRun;
/// Latents and text embeddings of a run, for the save_ functions. Opaque.
struct RunTensors;

/// One finished (or stopped) run.
struct RunResult {
  Request request;                        ///< completed: no field left at "default"
  Frames frames;                          ///< empty when stopped without decoding
  double seconds = 0;                     ///< first stage to last, loading excluded
  double attention_seconds = 0;
  std::map<std::string, double> stages;   ///< "text" "denoise" "decode" -> seconds; "load" apart
  std::vector<StepRecord> steps;
  KeptRatio kept_ratio;
  double reused_ratio = 0;                ///< transformer blocks that a step cache left out, over all blocks of all steps
  std::int64_t peak_bytes = 0;            ///< highest resident memory of the process during the run (CUDA: of the allocator)
  std::int64_t method_bytes = 0;          ///< what the method and its step cache remembered between steps
  std::string noise_hash;                 ///< first latents, 16 hex digits: the same noise or not
  bool stopped = false;
  std::shared_ptr<PartialRun> partial;    ///< set when stopped
  std::shared_ptr<const RunTensors> tensors;
  std::vector<std::string> notices;       ///< what a person should know: a cut prompt, an unusual size
};

/// What a model folder is and can do; read from its configs, no weights loaded.
struct ModelInfo {
  std::filesystem::path folder;
  std::string name;                ///< folder name
  std::string family;              ///< "CogVideoX"
  std::string published_as;        ///< what papers call it, "CogVideoX-2B": whose values of parameters apply; empty: another model
  bool bundled = false;
  int layers = 0, heads = 0, head_dim = 0;
  std::int64_t parameters = 0;     ///< of all parts
  std::int64_t weight_bytes = 0;   ///< on disk
  int default_steps = 50, default_frames = 49, default_height = 480, default_width = 720, max_text_tokens = 226;
  double default_guidance = 6, fps = 8;
  std::string default_scheduler;   ///< class name
  int size_multiple = 16;          ///< px: height and width are multiples of it
  int frame_multiple = 4;          ///< frames are frame_multiple * n + 1
  int max_frames = 0;              ///< 0: no limit
  bool fixed_size = false;         ///< learned positions: only the default size works
  std::vector<std::pair<int, int>> sizes;  ///< offered (width, height)
  std::vector<int> frame_counts;           ///< offered
  std::string example_prompt;
};

class CaptureReader;
class CaptureWriter;
struct CaptureRun;
struct AttentionOperands;
struct CaptureSizes;
struct SampledCalls;
struct Calibration;
struct CalibrationTask;

/// Loads models and runs requests. One instance keeps one model loaded. Not thread-safe: one worker owns it.
/// Torch stays behind this header.
class Generator {
 public:
  Generator();
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// @throws Error{NotFound, Corrupt, Unsupported} saying which file is wrong and what to do
  static ModelInfo inspect(const std::filesystem::path& folder);
  /// The bundled model: $DITSCOPE_MODELS, beside the installed program, or in the source tree, first found.
  /// @throws Error{NotFound} naming the places
  static std::filesystem::path bundled_model();
  /// "ditscope" and "libtorch" -> version.
  static std::map<std::string, std::string> versions();

  /// Fills in the defaults of the model and the method, and checks everything without loading weights.
  /// @throws Error{InvalidArgument} offering the nearest valid size or frame count
  static Request complete(const Request& request);

  /// Bytes a run will need: {"weights", "activations", "vae", "method"}. An estimate, shown before the run.
  static std::map<std::string, std::int64_t> estimate_bytes(const Request& request);

  /// Runs one request from prompt to frames. Loads the model if another one is loaded.
  /// @param capture  where the run is recorded; null: nowhere, at no cost
  /// @throws Error; Error{OutOfMemory} leaves the generator usable
  RunResult run(const Request& request, EventSink& sink, RunControl& control, CaptureWriter* capture = nullptr);
  /// Searches what the task's method needs to know of a model and grid: the plan of DiTFastAttn, the windows of sliding tile
  /// attention, the thresholds of SpargeAttn (core/pipeline/calibrate.h). @throws Error as run(); Error{Cancelled} when stopped
  Calibration calibrate(const CalibrationTask& task, EventSink& sink, RunControl& control);
  /// Goes on with a stopped run to its end, as if it had never stopped.
  RunResult resume(const RunResult& stopped, EventSink& sink, RunControl& control);
  /// Goes on with a stopped run as another method, which has seen none of its steps: text, noise and the steps so far are shared.
  /// `attention_seconds`, `kept_ratio` and `method_bytes` of the result are of the steps after it.
  RunResult resume_as(const MethodChoice& method, const RunResult& stopped, EventSink& sink, RunControl& control);
  /// The attention of some steps as full attention meets it on the way from where a stopped run stands; see sampled_calls.h.
  /// @param steps  ascending, not before the stopped run's next one
  std::shared_ptr<const SampledCalls> sample_calls(const RunResult& stopped, const std::vector<int>& steps, EventSink& sink,
                                                   RunControl& control);
  /// Decodes the latents of a stopped run as they stand (the predicted clean ones).
  RunResult decode(const RunResult& stopped, EventSink& sink, RunControl& control);

  /// Number of text tokens of a prompt under the model's tokenizer (loads the tokenizer only).
  int count_tokens(const std::filesystem::path& model, const std::string& text);

  /// Sizes of a run that the size of its capture depends on; see estimate_capture().
  static CaptureSizes capture_sizes(const Request& request);
  /// The folder that holds the model of a captured run. @param chosen  where it lies now; empty: where it lay, else the bundled model
  /// @throws Error{NotFound} it is not there; Error{InvalidArgument} another one is
  static std::filesystem::path model_of(const CaptureRun& run, const std::filesystem::path& chosen);
  /// Runs the steps of a captured run up to one call again, from its stored latents, and holds the outcome against the run's.
  /// @param model  as `chosen` of model_of()
  /// @throws Error{NotFound} no such call in the capture; as model_of()
  AttentionOperands replay(const CaptureReader& capture, int run_id, int step, int layer, int branch,
                           const std::filesystem::path& model, EventSink& sink, RunControl& control);

  /// Frees the loaded model.
  void unload();

  /// Safetensors of a result: `latents`, and `latents_per_step` (S,B,F,C,Y,X) where they were kept.
  static void save_latents(const RunResult& result, const std::filesystem::path& file);
  static void save_prompt_embeds(const RunResult& result, const std::filesystem::path& file);
  static void save_frames(const RunResult& result, const std::filesystem::path& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ditscope
