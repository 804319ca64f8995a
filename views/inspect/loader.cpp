#include "views/inspect/loader.h"

#include <algorithm>

#include "kernels/error.h"

namespace ditscope::views {
namespace {

constexpr std::int64_t kRoom_bytes = std::int64_t{256} << 20;
/// Requests that wait. A view asks again with each picture, so one that was dropped comes back where it still matters.
constexpr std::size_t kWaiting = 256;

}  // namespace

Inspection::Loader::Loader(Loading loading) : loading_(loading) {
  if (loading == Loading::AtOnce) return;
  for (Worker& worker : workers_) worker.thread = std::thread([this, &worker] { work(worker); });
}

Inspection::Loader::~Loader() {
  {
    const std::lock_guard lock(mutex);
    ending_ = true;
    ++generation_;
  }
  wake_.notify_all();
  for (Worker& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
}

std::shared_ptr<const void> Inspection::Loader::fetch(const std::filesystem::path& file, const std::string& key, Load load,
                                                      std::int64_t bytes, const std::string& group, std::string* problem) {
  Worker& worker = workers_[group.empty() ? 0 : 1];
  {
    const std::lock_guard lock(mutex);
    Entry& entry = entries_[key];
    entry.used = ++clock_;
    *problem = entry.problem;
    if (entry.value || !entry.problem.empty() || entry.pending) return entry.value;
    entry.pending = true;
    if (loading_ == Loading::InBackground) {
      worker.tasks.push_front({file, key, group, std::move(load), bytes, generation_});
      if (worker.tasks.size() > kWaiting) {
        entries_.erase(worker.tasks.back().key);
        worker.tasks.pop_back();
      }
      wake_.notify_all();
      return nullptr;
    }
  }
  run(worker, {file, key, group, std::move(load), bytes, generation_});
  const std::lock_guard lock(mutex);
  *problem = entries_[key].problem;
  return entries_[key].value;
}

void Inspection::Loader::work(Worker& worker) {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex);
      wake_.wait(lock, [&] { return ending_ || !worker.tasks.empty(); });
      if (ending_) return;
      task = std::move(worker.tasks.front());
      worker.tasks.pop_front();
    }
    run(worker, task);
    std::function<void()> tell;
    {
      const std::lock_guard lock(mutex);
      tell = on_change;
    }
    if (tell) tell();
  }
}

void Inspection::Loader::run(Worker& worker, const Task& task) {
  Entry entry;
  bool cancelled = false;
  try {
    std::unique_ptr<CaptureReader>& reader = worker.readers[task.file];
    if (!reader) reader = std::make_unique<CaptureReader>(task.file);
    entry.value = task.load(*reader);
    entry.bytes = task.bytes;
  } catch (const Error& error) {
    cancelled = error.kind() == ErrorKind::Cancelled;
    entry.problem = error.what();
  } catch (const std::exception& error) {
    entry.problem = error.what();
  }
  const std::lock_guard lock(mutex);
  if (task.generation != generation_) {
    worker.readers.clear();  // the captures were closed meanwhile
    return;
  }
  if (cancelled) {
    entries_.erase(task.key);
  } else {
    keep(task.key, std::move(entry));
  }
}

void Inspection::Loader::keep(const std::string& key, Entry entry) {
  entry.used = ++clock_;
  bytes_ += entry.bytes - entries_[key].bytes;
  entries_[key] = std::move(entry);
  while (bytes_ > kRoom_bytes) {
    auto oldest = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->second.value && it->first != key && (oldest == entries_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    if (oldest == entries_.end()) break;
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
  }
}

std::shared_ptr<const void> Inspection::Loader::now(CaptureReader& reader, const std::string& key, const Load& load, std::int64_t bytes) {
  {
    const std::lock_guard lock(mutex);
    if (const auto it = entries_.find(key); it != entries_.end() && it->second.value) return it->second.value;
  }
  Entry entry{load(reader), "", bytes, 0, false};
  const std::lock_guard lock(mutex);
  std::shared_ptr<const void> value = entry.value;
  keep(key, std::move(entry));
  return value;
}

void Inspection::Loader::forget_problems() {
  const std::lock_guard lock(mutex);
  std::erase_if(entries_, [](const auto& item) { return !item.second.problem.empty(); });
}

void Inspection::Loader::forget(const std::string& prefix) {
  const std::lock_guard lock(mutex);
  for (auto it = entries_.lower_bound(prefix); it != entries_.end() && it->first.compare(0, prefix.size(), prefix) == 0;) {
    if (it->second.pending) {
      ++it;
      continue;
    }
    bytes_ -= it->second.bytes;
    it = entries_.erase(it);
  }
}

void Inspection::Loader::clear() {
  const std::lock_guard lock(mutex);
  ++generation_;
  for (Worker& worker : workers_) worker.tasks.clear();
  entries_.clear();
  bytes_ = 0;
  if (loading_ == Loading::AtOnce) {
    for (Worker& worker : workers_) worker.readers.clear();
  }
}

bool Inspection::Loader::pending() const {
  const std::lock_guard lock(mutex);
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& item) { return item.second.pending; });
}

std::uint64_t Inspection::Loader::generation() const {
  const std::lock_guard lock(mutex);
  return generation_;
}

bool Inspection::Loader::stale(std::uint64_t generation, const std::string& group) const {
  const std::lock_guard lock(mutex);
  const std::deque<Task>& waiting = workers_[1].tasks;
  return ending_ || generation_ != generation || (!waiting.empty() && waiting.front().group != group);
}

}  // namespace ditscope::views
