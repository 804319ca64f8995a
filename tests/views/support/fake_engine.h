#pragma once
#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "app/gui/worker/engine.h"

namespace ditscope::test {

/// How the fake behaves; shared by all engines of a factory and changed while they run.
struct FakeBehaviour {
  std::atomic<int> step_ms{2};
  std::atomic<bool> out_of_memory{false};
  std::atomic<bool> no_model{false};
  std::atomic<int> runs{0};
  std::filesystem::path recorded;  ///< the capture that attend() "records"
  std::mutex mutex;
  AttendRequest attended;          ///< the last; under the mutex
  /// Fingerprints of the folders that there are, under the mutex; where none are named, every captured run finds its model.
  std::map<std::filesystem::path, std::string> folders;
  std::atomic<bool> replays{false};  ///< a run whose model is there has q, k and v
};

/// An engine that draws a moving disc instead of sampling: same events, same stops, no model. Sparse methods add a fixed pattern,
/// so that PSNR is finite.
gui::EngineFactory fake_engine(std::shared_ptr<FakeBehaviour> behaviour);

}  // namespace ditscope::test
