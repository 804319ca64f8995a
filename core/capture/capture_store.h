#pragma once
// Internal to core/capture: the tables as the writer's thread fills them.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/capture/capture_lease.h"
#include "core/capture/capture_writer.h"
#include "core/history/sqlite.h"

namespace ditscope {

/// One capture being written. Made on one thread, then used by one. All but the constructor and close() may throw Error.
class CaptureStore {
 public:
  /// Makes the file under another name, whole, and renames it: a crash at any time leaves a capture or none.
  CaptureStore(const std::filesystem::path& file, const CaptureOptions& options);

  const std::filesystem::path& file() const { return file_; }
  const CaptureOptions& options() const { return options_; }

  /// Runs `work` unless capturing has stopped; where it throws, capturing stops, what is complete stays.
  void guarded(const std::function<void()>& work);

  void begin_run(const CaptureRun& run, const CaptureEstimate& reserve);
  void add(CaptureTensor& tensor, bool compress);
  void add(CaptureCall& call);
  void add(const CaptureGap& gap);
  void end_step(CaptureStep& step);
  void end_run(const CaptureRun& run);
  void commit();
  void roll_back();
  void close(const std::string& state) noexcept;

  CaptureTotals totals() const;

 private:
  sqlite::Statement& statement(const std::string& sql);
  void begin();
  void stop(const std::string& reason);
  bool fits(const CaptureTensor& tensor);
  std::int64_t used_bytes();
  std::int64_t insert(const CaptureTensor& tensor, int run_id, bool compress);
  void insert_chunks(const CaptureTensor& tensor, std::int64_t data_id, bool compress);
  std::int64_t plan_id(const std::shared_ptr<const CapturePlan>& plan);
  std::int64_t insert_plan(const CapturePlan& plan, const std::string& hash);
  std::int64_t row_id(const std::string& table, const std::string& key, const std::function<void(std::int64_t)>& insert);
  std::optional<double> latent_error(const CaptureTensor& latents);

  std::filesystem::path file_;
  CaptureOptions options_;
  std::unique_ptr<CaptureLease> lease_;  ///< from before the file is there until it is closed
  std::unique_ptr<sqlite::Database> database_;
  std::map<std::string, sqlite::Statement> statements_;
  CaptureTotals totals_;
  CaptureEstimate reserve_;
  int run_id_ = 0, run_steps_ = 0, run_steps_done_ = 0;
  bool in_transaction_ = false;
  std::int64_t next_tensor_ = 1, next_call_ = 1, next_plan_ = 1;
  std::map<std::string, std::int64_t> ids_;    ///< of rows and arrays that repeat, by what they are
  std::vector<std::string> uncommitted_ids_;   ///< keys of ids_ that a roll back forgets
  struct KnownPlan {
    std::shared_ptr<const CapturePlan> plan;   ///< kept, so that its address is not used again
    std::int64_t id;
  };
  std::map<const CapturePlan*, KnownPlan> known_plans_;
  std::optional<double> step_latent_error_;
};

}  // namespace ditscope
