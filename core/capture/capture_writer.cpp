#include "core/capture/capture_writer.h"

#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <ctime>
#include <deque>
#include <mutex>
#include <thread>
#include <variant>

#include "core/capture/capture_store.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

struct BeginRun {
  CaptureRun run;
  CaptureEstimate reserve;
};
struct EndRun {
  CaptureRun run;
};
struct EndStep {
  CaptureStep step;
};
struct AbandonStep {};
struct Keep {};
struct Close {
  std::string state;
};
using Work = std::variant<BeginRun, CaptureTensor, CaptureCall, CaptureGap, EndStep, AbandonStep, Keep, EndRun, Close>;

struct Item {
  Work work;
  std::int64_t bytes = 0;
};

std::int64_t bytes_of(const CaptureTensor& tensor) {
  return static_cast<std::int64_t>(tensor.values.size() * sizeof(float) + tensor.bytes.size());
}

constexpr std::int64_t kWake_bytes = std::int64_t{1} << 20;

std::int64_t queue_limit() {
  const std::int64_t memory = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  return std::min<std::int64_t>(std::int64_t{256} << 20, std::max<std::int64_t>(memory / 16, std::int64_t{16} << 20));
}

}  // namespace

struct CaptureWriter::Impl {
  Impl(const std::filesystem::path& file, const CaptureOptions& options) : store(file, options), thread([this] { work(); }) {}

  ~Impl() {
    push({Close{""}, 0});
    thread.join();
  }

  void push(Item item) {
    std::unique_lock lock(mutex);
    if (closed) return;
    const auto* tensor = std::get_if<CaptureTensor>(&item.work);
    if (tensor && !tensor->essential && queued_bytes + item.bytes > kQueue_bytes && queued_bytes > 0) {
      item.work = CaptureGap{run_id, tensor->step, tensor->layer, tensor->branch, tensor->kind, item.bytes, "pressure"};
      item.bytes = 0;
    }
    const auto fits = [&] { return queued_bytes == 0 || queued_bytes + item.bytes <= kQueue_bytes; };
    if (!fits()) filled.notify_one();  // only a writer that is awake makes room
    room.wait(lock, fits);
    queued_bytes += item.bytes;
    waiting_bytes += item.bytes;
    const bool row = std::holds_alternative<CaptureTensor>(item.work) || std::holds_alternative<CaptureCall>(item.work);
    queue.push_back(std::move(item));
    // Waking takes a core from the run for a moment: once a step, and where much has come together.
    if (row && waiting_bytes < kWake_bytes) return;
    waiting_bytes = 0;
    filled.notify_one();
  }

  void work() {
    // The run's threads wait for each other after each kernel: one that makes room for the writer stops all. On Linux a nice value
    // belongs to a thread.
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
    bool open = true;
    while (open) {
      Item item;
      bool compress = false;
      {
        std::unique_lock lock(mutex);
        filled.wait(lock, [&] { return !queue.empty(); });
        item = std::move(queue.front());
        queue.pop_front();
        compress = queued_bytes < kQueue_bytes / 2;
        busy = true;
      }
      open = !std::holds_alternative<Close>(item.work);
      store.guarded([&] { std::visit([&](auto& work) { write(work, compress); }, item.work); });
      if (!open) store.close(std::get<Close>(item.work).state);
      std::lock_guard lock(mutex);
      queued_bytes -= item.bytes;
      totals = store.totals();
      busy = false;
      room.notify_all();
    }
    std::lock_guard lock(mutex);
    closed = true;
    room.notify_all();
  }

  void write(BeginRun& work, bool) { store.begin_run(work.run, work.reserve); }
  void write(CaptureTensor& tensor, bool compress) { store.add(tensor, compress); }
  void write(CaptureCall& call, bool) { store.add(call); }
  void write(CaptureGap& gap, bool) { store.add(gap); }
  void write(EndStep& work, bool) { store.end_step(work.step); }
  void write(AbandonStep&, bool) { store.roll_back(); }
  void write(Keep&, bool) { store.commit(); }
  void write(EndRun& work, bool) { store.end_run(work.run); }
  void write(Close&, bool) {}

  const std::int64_t kQueue_bytes = queue_limit();
  CaptureStore store;
  int run_id = 0;

  mutable std::mutex mutex;
  std::condition_variable filled, room;
  std::deque<Item> queue;
  std::int64_t queued_bytes = 0, waiting_bytes = 0;  ///< since the writer was last woken
  bool busy = false, closed = false;
  CaptureTotals totals;
  std::thread thread;  // last: it uses all of the above
};

CaptureWriter::CaptureWriter(const std::filesystem::path& file, const CaptureOptions& options)
    : impl_(std::make_unique<Impl>(file, options)) {}

CaptureWriter::~CaptureWriter() = default;

const std::filesystem::path& CaptureWriter::file() const { return impl_->store.file(); }
const CaptureOptions& CaptureWriter::options() const { return impl_->store.options(); }

int CaptureWriter::begin_run(CaptureRun run, const CaptureSizes& sizes) {
  run.run_id = ++impl_->run_id;
  run.started_utc = utc_now();
  impl_->push({BeginRun{std::move(run), estimate_capture(options(), sizes)}, 0});
  return impl_->run_id;
}

void CaptureWriter::add(CaptureTensor tensor) {
  const std::int64_t bytes = bytes_of(tensor);
  impl_->push({std::move(tensor), bytes});
}

void CaptureWriter::add(CaptureCall call) {
  const auto bytes = static_cast<std::int64_t>(call.rows_bytes.size() + call.heads.size() * sizeof(CaptureHead));
  impl_->push({std::move(call), bytes});
}

void CaptureWriter::note_gap(CaptureGap gap) { impl_->push({std::move(gap), 0}); }
void CaptureWriter::end_step(CaptureStep step) { impl_->push({EndStep{std::move(step)}, 0}); }
void CaptureWriter::keep() { impl_->push({Keep{}, 0}); }
void CaptureWriter::abandon_step() { impl_->push({AbandonStep{}, 0}); }
void CaptureWriter::end_run(const CaptureRun& run) { impl_->push({EndRun{run}, 0}); }

void CaptureWriter::drain() {
  std::unique_lock lock(impl_->mutex);
  impl_->filled.notify_one();
  impl_->room.wait(lock, [&] { return impl_->closed || (impl_->queue.empty() && !impl_->busy); });
}

void CaptureWriter::close(const std::string& state) {
  impl_->push({Close{state}, 0});
  std::unique_lock lock(impl_->mutex);
  impl_->room.wait(lock, [&] { return impl_->closed; });
}

CaptureTotals CaptureWriter::totals() const {
  std::lock_guard lock(impl_->mutex);
  CaptureTotals totals = impl_->totals;
  totals.queued_bytes = impl_->queued_bytes;
  return totals;
}

std::string utc_now() {
  std::timespec now{};
  std::timespec_get(&now, TIME_UTC);
  std::tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char text[40], result[48];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(result, sizeof result, "%s.%03dZ", text, static_cast<int>(now.tv_nsec / 1000000));
  return result;
}

}  // namespace ditscope
