#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/gui/worker/job.h"

namespace ditscope::gui {

/// A job of the history as lists show it, without its frames.
struct HistoryCard {
  std::int64_t id = 0;
  PairRequest pair;
  struct Run {
    RunState state = RunState::Done;
    double seconds = 0;
    std::optional<double> psnr_db;
  };
  std::vector<Run> runs;
  double finished_at = 0;  ///< seconds since 1970
  std::vector<unsigned char> thumbnail_png;
};

/// core/history as the window uses it: jobs instead of entries, and from any thread.
class HistoryStore {
 public:
  /// @throws Error{Corrupt, Device} where the folder cannot hold a history
  explicit HistoryStore(const std::filesystem::path& folder);
  ~HistoryStore();

  /// What the user should know about the file; empty: nothing.
  std::string notice();
  std::int64_t next_id();
  void save(const JobView& job);
  std::vector<HistoryCard> cards();  ///< newest first
  /// With frames, figures and steps. @throws Error{NotFound, Corrupt}
  std::shared_ptr<const JobView> load(std::int64_t id);
  void remove(std::int64_t id);

  void save_queue(const std::vector<Job>& waiting);
  std::vector<Job> load_queue();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ditscope::gui
