#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/attention/session.h"
#include "core/capture/capture_writer.h"
#include "core/pipeline/events.h"
#include "core/pipeline/loaded_model.h"
#include "core/schedulers/scheduler.h"
#include "core/step_cache/session.h"

namespace ditscope {

/// What a recorder is told of a run before its first step.
struct RecordedRun {
  LoadedModel& model;
  const Request& request;
  const RunSizes& sizes;
  const Scheduler& scheduler;
  AttentionSession& session;
  at::Tensor text;               // (B,T,C)
  at::Tensor latents;            // (1,F,C,Y,X) that enter step `first_step`
  std::vector<Branch> branches;  // (B)
  std::string noise_hash;
  int first_step = 0;
};

/// Watches one run for a capture: measures its attention calls beside them and hands rows and arrays to the writer.
///
/// Its own time is counted apart (capture_ms); so is that of shadow passes (shadow_seconds()), which the run leaves out of its
/// timings.
class RunRecorder : public std::enable_shared_from_this<RunRecorder> {
 public:
  static std::shared_ptr<RunRecorder> begin(CaptureWriter& writer, const RecordedRun& run);
  /// A run of attention alone. @param run  all that is known of it but its level, selection and token order
  static std::shared_ptr<RunRecorder> begin(CaptureWriter& writer, CaptureRun run, const TokenLayout& layout, const CaptureSizes& sizes);

  /// For AttentionSession; does nothing once the recorder is gone.
  AttentionSession::MeasureSink sink();
  /// A step ended. @param latents  that enter the next one
  /// @param step_cache  null where the method has none
  void end_step(const StepFinished& event, const AttentionSession& session, const StepCacheSession* step_cache, const at::Tensor& latents,
                double guidance_scale);
  /// The same without latents: adds what measuring took.
  void end_step(CaptureStep step);
  void abandon_step();
  void end_run(const RunResult& result);
  /// The same without a result. @param figures  of a whole run; rows of the request are not read again
  void end_run(const std::function<void(CaptureRun&)>& figures);
  double shadow_seconds() const { return shadow_seconds_; }

 private:
  RunRecorder(CaptureWriter& writer, CaptureRun run, const TokenLayout& layout, const CaptureSizes& sizes);
  void begin_steps();
  struct Probed;
  void on_call(const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out);
  void record(const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out, std::int64_t batch);
  void shadow(Probed& probed, const LayerCall& call, std::int64_t batch, const Selection* selection, const at::Tensor& out,
              std::int64_t block_tokens);
  void measure_heads(Probed& probed, const BlockPlan& plan, const RowCorrection& correction);
  void measure_mask(Probed& probed, const LayerMeasure& measure, const BlockPlan& plan, const Selection* selection);
  void add_rows(const Probed& probed, const RowCorrection& correction);
  void add_operands(const LayerCall& call, std::int64_t batch, int layer);
  CaptureTensor tensor_at(const char* kind, int step, int layer, int branch) const;

  CaptureWriter& writer_;
  CaptureRun run_;
  TokenLayout layout_;
  std::int64_t cell_tokens_ = 64;       ///< of the sampled maps
  std::vector<std::int64_t> edges_;     ///< of their cells
  at::Tensor rows_;                     // (R) sampled query tokens
  double capture_seconds_ = 0, shadow_seconds_ = 0, step_capture_seconds_ = 0, step_shadow_seconds_ = 0;

  struct Known {
    std::shared_ptr<const Selection> selection;  ///< kept, so that its address is not used again
    std::vector<std::shared_ptr<const CapturePlan>> plans;  // (H) or one for all
    at::Tensor kept;                             // (1 or H, R, T) float32
  };
  std::map<const Selection*, Known> known_;
  /// What a head showed at the step before, by (layer, branch, head).
  struct Before {
    std::shared_ptr<const CapturePlan> plan;
    int chosen_at = 0;
    std::vector<float> log_sum_exp;  // (R)
  };
  std::map<std::int64_t, Before> before_;
};

/// All that the bits of a replay depend on besides model and request: CaptureRun::environment.
std::string environment_json(const std::string& dtype, const std::string& device);
/// The kind of each layer at each step, as a method plans it: CaptureRun::schedule.
std::string schedule_json(const MethodChoice& choice, int steps, int layers);

/// An array of a capture from a tensor, bit for bit in its own type.
CaptureTensor stored(CaptureTensor header, const at::Tensor& tensor);

}  // namespace ditscope
