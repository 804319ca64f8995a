#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "core/media/frames.h"

namespace ditscope {

/// What one denoising step cost and kept; the same record in events, results and JSON.
struct StepRecord {
  enum class Kind { Full, Refresh, Sparse, Search, Cached };
  int index = 0;
  double timestep = 0;
  Kind kind = Kind::Full;
  double seconds = 0;
  double attention_seconds = 0;
  double kept_ratio_requested = 1;  ///< what the method was asked for, this step
  double kept_ratio_achieved = 1;   ///< pairs computed / all pairs, text included, mean over layers (a refresh: 1 + kept; 0 where
                                    ///< a layer was left out)
  double reused_ratio = 0;          ///< transformer blocks that a step cache left out, over all blocks
};
const char* step_kind_name(StepRecord::Kind kind);

/// A stage began or advanced: "Loading transformer, 1.2 of 3.4 GB."
struct StageProgress {
  enum class Stage { Loading, Text, Denoising, Decoding, Encoding };
  Stage stage = Stage::Loading;
  std::string detail;             ///< "transformer", "text encoder"
  double done = 0, total = 0;     ///< bytes, latent frames, ...; total 0: unknown
  std::string unit;
};
const char* stage_name(StageProgress::Stage stage);
/// One sentence for a status line.
std::string describe(const StageProgress& progress);

/// Within a step: which layer runs now. Sent at most every 50 ms.
struct LayerProgress {
  int step = 0, steps = 0, layer = 0, layers = 0;
};
/// A step ended. `preview` is the predicted clean video (x0), small, through the latent-to-RGB map; never the noisy latent.
struct StepFinished {
  StepRecord record;
  int steps = 0;
  double elapsed_seconds = 0;
  double remaining_seconds = 0;  ///< estimate, decoding included
  Frames preview;
};

using Event = std::variant<StageProgress, LayerProgress, StepFinished>;

/// Receives the events of a run, on the thread that runs it.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const Event& event) = 0;
};

}  // namespace ditscope
