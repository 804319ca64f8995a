#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "app/gui/worker/engine.h"
#include "app/gui/worker/job.h"

namespace ditscope::gui {

/// The one thread that runs requests. Jobs go in, snapshots come out; every public function may be called from the GUI thread
/// and returns at once.
class Worker {
 public:
  struct Callbacks {
    std::function<void()> changed;                               ///< a new snapshot; called often, on the worker's thread
    std::function<void(std::shared_ptr<const JobView>)> ended;   ///< done, stopped or failed; on the worker's thread
    std::function<void(const std::string&)> capture_failed;      ///< the run goes on without; on the worker's thread
    std::function<void(const std::vector<Job>&)> queue_changed;  ///< for the journal; on the caller's or worker's thread
  };
  /// @param captures  folder of the .ditcap files of recorded jobs: <id>.ditcap
  Worker(EngineFactory make_engine, Callbacks callbacks, std::filesystem::path captures = {});
  /// Stops what runs and waits for it. Jobs in line stay in the journal.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void enqueue(const Job& job, bool ahead = false);
  void remove(std::int64_t id);
  /// Moves a waiting job up (-1) or down (+1).
  void move(std::int64_t id, int by);

  /// Ends the run within a transformer block. Its latents are kept, and resume() goes on from there.
  void stop();
  void stop_and_decode();
  void pause();
  void go_on();
  /// Goes on with a stopped job, ahead of the line. Only the process that ran it has its latents.
  void resume(std::shared_ptr<const JobView> stopped);
  void decode(std::shared_ptr<const JobView> stopped);
  /// Frees the loaded model as soon as nothing runs.
  void unload();

  /// Does something with the engine between runs, ahead of the line; the caller, any thread but the worker's, waits. What `work` throws is
  /// thrown here. @param stopped  asked again and again: true ends the work, or takes it out of the line
  /// @throws Error{Cancelled} where it was ended before it began
  using Work = std::function<void(Engine&, RunControl&)>;
  void call(Work work, const std::function<bool()>& stopped);

  std::shared_ptr<const Snapshot> snapshot() const;

 private:
  class Sink;
  struct Called;
  struct Task {
    enum class Kind { Run, Resume, Decode, Unload, Call } kind = Kind::Run;
    Job job;
    std::shared_ptr<const JobView> stopped;
    std::shared_ptr<Called> called;
  };
  void loop();
  void perform(Engine& engine, Task task);
  bool perform_run(Engine& engine, JobView& view, std::size_t index, const RunResult* stopped, bool decode_only, CaptureWriter* capture);
  std::unique_ptr<CaptureWriter> begin_capture(JobView& view);
  void measure(JobView& view, std::size_t index);
  void publish(std::function<void(Snapshot&)> change);
  std::vector<Job> waiting_jobs_locked() const;
  void report_queue();

  EngineFactory make_engine_;
  Callbacks callbacks_;
  std::filesystem::path captures_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  std::shared_ptr<RunControl> control_;  ///< of the current run
  RunControl::Stop pending_stop_ = RunControl::Stop::None;
  bool quit_ = false;
  bool paused_ = false;  ///< holds the run that goes on, and the next one of its job
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
  std::thread thread_;
};

}  // namespace ditscope::gui
