#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/capture/capture_options.h"
#include "core/capture/exact_attention.h"
#include "core/pipeline/attend.h"
#include "core/pipeline/generator.h"

namespace ditscope::gui {

/// What the window needs of a Generator, so that tests can put something quick in its place. One thread owns an engine.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual ModelInfo inspect(const std::filesystem::path& folder) = 0;
  virtual std::filesystem::path bundled_model() = 0;
  virtual Request complete(const Request& request) = 0;
  virtual std::map<std::string, std::int64_t> estimate_bytes(const Request& request) = 0;
  virtual int count_tokens(const std::filesystem::path& model, const std::string& text) = 0;
  /// @param capture  where the run is recorded; null: nowhere
  virtual RunResult run(const Request& request, EventSink& sink, RunControl& control, CaptureWriter* capture) = 0;
  virtual RunResult resume(const RunResult& stopped, EventSink& sink, RunControl& control) = 0;
  virtual RunResult decode(const RunResult& stopped, EventSink& sink, RunControl& control) = 0;
  virtual CaptureSizes capture_sizes(const Request& request) = 0;
  /// As Generator's: `model` empty where nobody said where it lies.
  virtual std::filesystem::path model_of(const CaptureRun& run, const std::filesystem::path& model) = 0;
  virtual AttentionOperands replay(const CaptureReader& capture, int run_id, int step, int layer, int branch, const std::filesystem::path& model,
                                   EventSink& sink, RunControl& control) = 0;
  /// As attend_shape() and attend_file().
  virtual std::vector<std::int64_t> attend_shape(const std::filesystem::path& tensors) = 0;
  virtual void attend(const AttendRequest& request, const std::function<bool(std::int64_t)>& goes_on) = 0;
  virtual void unload() = 0;
};

/// Makes an engine on the thread that will own it.
using EngineFactory = std::function<std::unique_ptr<Engine>()>;

}  // namespace ditscope::gui
