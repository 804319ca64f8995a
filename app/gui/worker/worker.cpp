#include "app/gui/worker/worker.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <new>

#include "core/capture/capture_writer.h"
#include "core/metrics/psnr.h"
#include "core/metrics/ssim.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

using Clock = std::chrono::steady_clock;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

/// Turns the events of a run into snapshots.
class Worker::Sink final : public EventSink {
 public:
  /// @param capture  what the run is recorded into; may be null
  Sink(Worker& worker, JobView& view, std::size_t index, const CaptureWriter* capture) : worker_(worker), view_(view), index_(index), capture_(capture) {}

  void on_event(const Event& event) override {
    if (const auto* stage = std::get_if<StageProgress>(&event)) {
      publish(describe(*stage), nullptr);
    } else if (const auto* layer = std::get_if<LayerProgress>(&event)) {
      publish("Sampling: step " + std::to_string(layer->step) + " of " + std::to_string(layer->steps) + ", layer " +
                  std::to_string(layer->layer) + " of " + std::to_string(layer->layers) + recorded(),
              nullptr);
    } else if (const auto* step = std::get_if<StepFinished>(&event)) {
      auto run = std::make_shared<RunView>(*view_.runs[index_]);
      run->total_steps = step->steps;
      run->steps.push_back(step->record);
      run->previews.push_back(std::make_shared<const Frames>(step->preview));
      view_.runs[index_] = run;
      publish("Sampling: step " + std::to_string(step->record.index) + " of " + std::to_string(step->steps) + " done" + recorded(), step);
    }
  }

 private:
  /// ", capture 3 MB": what the file holds by now.
  std::string recorded() const {
    if (!capture_) return {};
    const CaptureTotals totals = capture_->totals();
    return ", capture " + views::size_text(totals.bytes) + (totals.capturing ? "" : ", stopped");
  }

  void publish(std::string doing, const StepFinished* step) {
    const auto view = step ? std::make_shared<const JobView>(view_) : nullptr;
    worker_.publish([&](Snapshot& snapshot) {
      if (view) snapshot.running = view;
      snapshot.doing = std::move(doing);
      const auto now = Clock::now();
      const double passed = std::chrono::duration<double>(now - snapshot.taken).count();
      snapshot.elapsed_seconds = std::chrono::duration<double>(now - started_).count();
      snapshot.remaining_seconds = step ? step->remaining_seconds : std::max(0.0, snapshot.remaining_seconds - passed);
      snapshot.taken = now;
    });
  }

  Worker& worker_;
  JobView& view_;
  std::size_t index_;
  const CaptureWriter* capture_;
  Clock::time_point started_ = Clock::now();
};

/// Work that another thread waits for.
struct Worker::Called {
  Work work;
  RunControl control;
  std::promise<void> done;
  void perform(Engine& engine) {
    try {
      work(engine, control);
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  }
  void refuse() { done.set_exception(std::make_exception_ptr(Error(ErrorKind::Cancelled, "Stopped before it began."))); }
};

Worker::Worker(EngineFactory make_engine, Callbacks callbacks, std::filesystem::path captures)
    : make_engine_(std::move(make_engine)), callbacks_(std::move(callbacks)), captures_(std::move(captures)), thread_([this] { loop(); }) {}

Worker::~Worker() {
  {
    std::lock_guard lock(mutex_);
    quit_ = true;
    if (control_) control_->request_stop(RunControl::Stop::Keep);
  }
  wake_.notify_all();
  thread_.join();
}

void Worker::enqueue(const Job& job, bool ahead) {
  {
    std::lock_guard lock(mutex_);
    tasks_.insert(ahead ? tasks_.begin() : tasks_.end(), {Task::Kind::Run, job, nullptr, nullptr});
  }
  wake_.notify_all();
  report_queue();
}

void Worker::remove(std::int64_t id) {
  {
    std::lock_guard lock(mutex_);
    std::erase_if(tasks_, [&](const Task& task) { return task.kind == Task::Kind::Run && task.job.id == id; });
  }
  report_queue();
}

void Worker::move(std::int64_t id, int by) {
  {
    std::lock_guard lock(mutex_);
    const auto found = std::find_if(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.job.id == id; });
    if (found == tasks_.end()) return;
    const auto from = found - tasks_.begin();
    const auto to = std::clamp<std::ptrdiff_t>(from + by, 0, static_cast<std::ptrdiff_t>(tasks_.size()) - 1);
    Task task = *found;
    tasks_.erase(found);
    tasks_.insert(tasks_.begin() + to, std::move(task));
  }
  report_queue();
}

void Worker::stop() {
  std::lock_guard lock(mutex_);
  pending_stop_ = RunControl::Stop::Keep;
  if (control_) control_->request_stop(RunControl::Stop::Keep);
}

void Worker::stop_and_decode() {
  std::lock_guard lock(mutex_);
  pending_stop_ = RunControl::Stop::Decode;
  if (control_) control_->request_stop(RunControl::Stop::Decode);
}

void Worker::pause() {
  {
    std::lock_guard lock(mutex_);
    if (!snapshot_->running) return;
    // Between two runs of a job there is nothing to hold: the next one begins held.
    paused_ = true;
    if (control_) control_->pause();
  }
  publish([](Snapshot& snapshot) { snapshot.paused = snapshot.running != nullptr; });
}

void Worker::go_on() {
  {
    std::lock_guard lock(mutex_);
    paused_ = false;
    if (control_) control_->resume();
  }
  publish([](Snapshot& snapshot) { snapshot.paused = false; });
}

void Worker::resume(std::shared_ptr<const JobView> stopped) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_front({Task::Kind::Resume, stopped->job, stopped, nullptr});
  }
  wake_.notify_all();
}

void Worker::decode(std::shared_ptr<const JobView> stopped) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_front({Task::Kind::Decode, stopped->job, stopped, nullptr});
  }
  wake_.notify_all();
}

void Worker::unload() {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_front({Task::Kind::Unload, {}, nullptr, nullptr});
  }
  wake_.notify_all();
}

void Worker::call(Work work, const std::function<bool()>& stopped) {
  const auto called = std::make_shared<Called>();
  called->work = std::move(work);
  std::future<void> done = called->done.get_future();
  {
    std::lock_guard lock(mutex_);
    if (quit_) return called->refuse(), done.get();
    tasks_.push_front({Task::Kind::Call, {}, nullptr, called});
  }
  wake_.notify_all();
  while (done.wait_for(std::chrono::milliseconds(30)) != std::future_status::ready) {
    if (!stopped()) continue;
    std::lock_guard lock(mutex_);
    called->control.request_stop();
    // Still in line: nobody else will answer.
    if (std::erase_if(tasks_, [&](const Task& task) { return task.called == called; }) > 0) called->refuse();
  }
  done.get();
}

std::shared_ptr<const Snapshot> Worker::snapshot() const {
  std::lock_guard lock(mutex_);
  return snapshot_;
}

std::vector<Job> Worker::waiting_jobs_locked() const {
  std::vector<Job> jobs;
  for (const Task& task : tasks_) {
    if (task.kind == Task::Kind::Run) jobs.push_back(task.job);
  }
  return jobs;
}

void Worker::report_queue() {
  std::vector<Job> jobs;
  {
    std::lock_guard lock(mutex_);
    jobs = waiting_jobs_locked();
  }
  publish([&](Snapshot& snapshot) { snapshot.waiting = jobs; });
  if (callbacks_.queue_changed) callbacks_.queue_changed(jobs);
}

void Worker::publish(std::function<void(Snapshot&)> change) {
  {
    std::lock_guard lock(mutex_);
    auto next = std::make_shared<Snapshot>(*snapshot_);
    change(*next);
    snapshot_ = std::move(next);
  }
  if (callbacks_.changed) callbacks_.changed();
}

void Worker::loop() {
  const std::unique_ptr<Engine> engine = make_engine_();
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return quit_ || !tasks_.empty(); });
      if (quit_) {
        for (const Task& waiting : tasks_) {
          if (waiting.called) waiting.called->refuse();
        }
        return;
      }
      task = std::move(tasks_.front());
      tasks_.pop_front();
      pending_stop_ = RunControl::Stop::None;
      paused_ = false;
    }
    if (task.kind == Task::Kind::Unload) {
      engine->unload();
      continue;
    }
    if (task.kind == Task::Kind::Call) {
      task.called->perform(*engine);
      continue;
    }
    perform(*engine, std::move(task));
  }
}

std::unique_ptr<CaptureWriter> Worker::begin_capture(JobView& view) {
  const CaptureOptions options = view.job.pair.capture_options();
  if (options.level == CaptureOptions::Level::Off || captures_.empty()) return nullptr;
  std::filesystem::create_directories(captures_);
  view.capture = captures_ / (std::to_string(view.job.id) + ".ditcap");
  return std::make_unique<CaptureWriter>(view.capture, options);
}

void Worker::perform(Engine& engine, Task task) {
  JobView view;
  std::size_t first = 0;
  const bool goes_on = task.kind != Task::Kind::Run;
  if (goes_on) {
    view = *task.stopped;
    while (first < view.runs.size() && view.runs[first]->state != RunState::Stopped) ++first;
  } else {
    view.job = task.job;
    for (const MethodChoice& method : task.job.pair.methods) {
      auto run = std::make_shared<RunView>();
      run->method = method;
      run->total_steps = task.job.pair.base.steps;
      view.runs.push_back(run);
    }
    report_queue();
  }
  std::unique_ptr<CaptureWriter> capture;
  try {
    if (!goes_on) capture = begin_capture(view);
  } catch (const std::exception& problem) {
    view.capture.clear();
    if (callbacks_.capture_failed) callbacks_.capture_failed(problem.what());
  }
  for (std::size_t i = first; i < view.runs.size(); ++i) {
    const std::shared_ptr<const RunView> former = view.runs[i];
    const bool again = goes_on && i == first && former->result;
    if (!perform_run(engine, view, i, again ? former->result.get() : nullptr, task.kind == Task::Kind::Decode, capture.get())) break;
    if (task.kind == Task::Kind::Decode) break;
  }
  if (capture) {
    capture->close(view.stopped() ? "stopped: by the user" : view.failed() ? "stopped: the run failed" : "complete");
    const std::string message = capture->totals().message;
    if (!message.empty() && callbacks_.capture_failed) callbacks_.capture_failed(message);
  }
  view.finished_at = now_seconds();
  const auto ended = std::make_shared<const JobView>(view);
  // The listener first: whoever sees the worker idle finds the job already in the history.
  if (callbacks_.ended) callbacks_.ended(ended);
  publish([](Snapshot& snapshot) {
    snapshot.running = nullptr;
    snapshot.doing.clear();
    snapshot.paused = false;
    snapshot.remaining_seconds = snapshot.elapsed_seconds = 0;
  });
}

bool Worker::perform_run(Engine& engine, JobView& view, std::size_t index, const RunResult* stopped, bool decode_only,
                         CaptureWriter* capture) {
  const auto control = std::make_shared<RunControl>();
  {
    std::lock_guard lock(mutex_);
    control_ = control;
    if (quit_) pending_stop_ = RunControl::Stop::Keep;
    if (pending_stop_ != RunControl::Stop::None) control->request_stop(pending_stop_);
    if (paused_) control->pause();
  }
  const auto change = [&](const std::function<void(RunView&)>& edit) {
    auto next = std::make_shared<RunView>(*view.runs[index]);
    edit(*next);
    view.runs[index] = next;
  };
  change([](RunView& run) { run.state = RunState::Running; });
  publish([&](Snapshot& snapshot) {
    snapshot.running = std::make_shared<const JobView>(view);
    snapshot.doing = "Starting";
    snapshot.elapsed_seconds = snapshot.remaining_seconds = 0;
    snapshot.taken = Clock::now();
    snapshot.paused = paused_;
  });
  const auto fail = [&](ErrorKind kind, const std::string& message) {
    change([&](RunView& run) {
      run.state = RunState::Failed;
      run.error = message;
      run.error_kind = kind;
    });
  };
  Sink sink(*this, view, index, capture);
  try {
    auto result = std::make_shared<RunResult>(decode_only ? engine.decode(*stopped, sink, *control)
                                              : stopped   ? engine.resume(*stopped, sink, *control)
                                                          : engine.run(view.job.pair.request_of(index), sink, *control, capture));
    change([&](RunView& run) {
      run.state = result->stopped ? RunState::Stopped : RunState::Done;
      run.steps = result->steps;
      run.method = result->request.method;
      run.total_steps = result->request.steps;
      run.result = result;
    });
    measure(view, index);
  } catch (const Error& error) {
    fail(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::OutOfMemory, "Out of memory. Choose a smaller size or fewer frames.");
  } catch (const std::exception& error) {
    fail(ErrorKind::Device, error.what());
  }
  std::lock_guard lock(mutex_);
  control_ = nullptr;
  return view.runs[index]->state == RunState::Done;
}

void Worker::measure(JobView& view, std::size_t index) {
  if (index == 0) return;
  const auto& reference = view.runs[0]->result;
  const auto& result = view.runs[index]->result;
  if (!reference || !result || reference->frames.empty() || result->frames.empty() || result->stopped) return;
  publish([](Snapshot& snapshot) { snapshot.doing = "Measuring PSNR and SSIM"; });
  const Psnr quality = psnr(result->frames, reference->frames);
  views::PairMetrics metrics{quality.per_frame_db, quality.mean_db, quality.min_db, 0};
  const bool wide_enough = std::min(result->frames.width, result->frames.height) >= Ssim::kWindow_px;
  metrics.ssim = wide_enough ? ssim(result->frames, reference->frames).mean : std::nan("");
  auto next = std::make_shared<RunView>(*view.runs[index]);
  next->metrics = metrics;
  view.runs[index] = next;
}

}  // namespace ditscope::gui
