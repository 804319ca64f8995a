#pragma once
// Internal to views/inspect: loads values on threads of its own and keeps them as long as there is room.
#include <array>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "views/inspect/inspection.h"

namespace ditscope::views {

struct Inspection::Loader {
  using Load = std::function<std::shared_ptr<const void>(CaptureReader&)>;

  explicit Loader(Loading loading);
  ~Loader();

  /// @param key    begins with the capture's path, so that it names a value among all captures
  /// @param group  slow loads of one group share their q and k; empty: a quick load
  std::shared_ptr<const void> fetch(const std::filesystem::path& file, const std::string& key, Load load, std::int64_t bytes,
                                    const std::string& group, std::string* problem);
  /// A value, loaded here and now where it is not kept. For loads that are made of others; on the loading thread.
  std::shared_ptr<const void> now(CaptureReader& reader, const std::string& key, const Load& load, std::int64_t bytes);
  /// Forgets what failed, and what a key begins with: a live capture may have it now.
  void forget_problems();
  void forget(const std::string& prefix);
  /// Ends what runs and forgets everything.
  void clear();
  /// Whether a load waits or goes on.
  bool pending() const;
  /// Grows when captures are closed.
  std::uint64_t generation() const;
  /// Whether a slow load should give up: captures were closed, or the newest request is about another call.
  bool stale(std::uint64_t generation, const std::string& group) const;

  OperandsSource operands_source;  ///< guarded by mutex
  std::function<void()> on_change;
  mutable std::mutex mutex;

 private:
  struct Entry {
    std::shared_ptr<const void> value;
    std::string problem;
    std::int64_t bytes = 0;
    std::uint64_t used = 0;
    bool pending = false;
  };
  struct Task {
    std::filesystem::path file;
    std::string key, group;
    Load load;
    std::int64_t bytes = 0;
    std::uint64_t generation = 0;
  };
  struct Worker {
    std::deque<Task> tasks;  ///< newest first
    std::map<std::filesystem::path, std::unique_ptr<CaptureReader>> readers;  ///< of its thread
    std::thread thread;
  };
  void work(Worker& worker);
  void run(Worker& worker, const Task& task);
  void keep(const std::string& key, Entry entry);  ///< mutex held

  Loading loading_;
  std::map<std::string, Entry> entries_;
  std::int64_t bytes_ = 0;
  std::uint64_t clock_ = 0, generation_ = 0;
  bool ending_ = false;
  std::condition_variable wake_;
  /// Figures and maps come quickly from the file; what needs q and k may replay a model. One never waits for the other.
  std::array<Worker, 2> workers_;
};

}  // namespace ditscope::views
