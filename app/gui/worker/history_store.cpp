#include "app/gui/worker/history_store.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/history/history.h"
#include "core/media/png_writer.h"
#include "core/metrics/psnr.h"

namespace ditscope::gui {
namespace {

constexpr int kThumbnail_px = 160;

HistoryRun::Status status_of(RunState state) {
  return state == RunState::Done     ? HistoryRun::Status::Done
         : state == RunState::Failed ? HistoryRun::Status::Failed
                                     : HistoryRun::Status::Stopped;
}

RunState state_of(HistoryRun::Status status) {
  return status == HistoryRun::Status::Done     ? RunState::Done
         : status == HistoryRun::Status::Failed ? RunState::Failed
                                                : RunState::Stopped;
}

PairRequest pair_of(const std::vector<Request>& requests) {
  PairRequest pair;
  if (requests.empty()) return pair;
  pair.base = requests.front();
  pair.base.method = {};
  for (const Request& request : requests) pair.methods.push_back(request.method);
  return pair;
}

std::vector<Request> requests_of(const PairRequest& pair) {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < pair.methods.size(); ++i) requests.push_back(pair.request_of(i));
  return requests;
}

PairRequest pair_of(const HistoryEntry& entry) {
  std::vector<Request> requests;
  for (const HistoryRun& run : entry.runs) requests.push_back(run.request);
  return pair_of(requests);
}

/// The middle frame of A, its right half from B where there is one, with a white line between: the wipe in small.
std::vector<unsigned char> make_thumbnail(const JobView& job) {
  const Frames* first = nullptr;
  const Frames* second = nullptr;
  for (const auto& run : job.runs) {
    const Frames* frames = run->result && !run->result->frames.empty() ? &run->result->frames
                           : run->previews.empty()                     ? nullptr
                                                                       : run->previews.back().get();
    if (!frames || frames->empty()) continue;
    if (!first) {
      first = frames;
    } else if (!second && frames->width == first->width && frames->height == first->height) {
      second = frames;
    }
  }
  if (!first) return {};
  Frames small = thumbnail(*first, first->count / 2, kThumbnail_px);
  if (second) {
    const Frames other = thumbnail(*second, second->count / 2, kThumbnail_px);
    const int middle = small.width / 2;
    for (int y = 0; y < small.height; ++y) {
      for (int x = middle; x < small.width; ++x) {
        float* pixel = small.frame(0) + 3 * (static_cast<std::size_t>(y) * small.width + x);
        const float* source = other.frame(0) + 3 * (static_cast<std::size_t>(y) * small.width + x);
        const bool line = x <= middle + small.width / 80;
        for (int c = 0; c < 3; ++c) pixel[c] = line ? 1.0f : source[c];
      }
    }
  }
  return encode_png(small, 0);
}

HistoryRun history_run(const RunView& run, const Request& asked) {
  HistoryRun kept;
  kept.request = asked;
  kept.status = status_of(run.state);
  kept.message = run.error;
  kept.steps = run.steps;
  if (run.result) {
    kept.request = run.result->request;
    kept.seconds = run.result->seconds;
    kept.attention_seconds = run.result->attention_seconds;
    kept.stages = run.result->stages;
    kept.steps = run.result->steps;
    kept.kept_ratio = run.result->kept_ratio;
    kept.peak_bytes = run.result->peak_bytes;
    kept.method_bytes = run.result->method_bytes;
    kept.reused_ratio = run.result->reused_ratio;
    kept.noise_hash = run.result->noise_hash;
  }
  // The request that is restored is the one that was asked: defaults stay defaults.
  kept.request.method = asked.method;
  if (run.metrics) {
    kept.psnr_db = run.metrics->psnr_db;
    if (!std::isnan(run.metrics->ssim)) kept.ssim = run.metrics->ssim;
  }
  return kept;
}

std::shared_ptr<RunView> run_view(const HistoryRun& kept) {
  auto run = std::make_shared<RunView>();
  run->state = state_of(kept.status);
  run->method = kept.request.method;
  run->total_steps = kept.request.steps;
  run->steps = kept.steps;
  run->error = kept.message;
  if (kept.status == HistoryRun::Status::Failed) return run;
  auto result = std::make_shared<RunResult>();
  result->request = kept.request;
  try {
    result->request.method = resolve(kept.request.method, kept.request.steps);
  } catch (const Error&) {
    // A method of another version: its figures still hold.
  }
  result->seconds = kept.seconds;
  result->attention_seconds = kept.attention_seconds;
  result->stages = kept.stages;
  result->steps = kept.steps;
  result->kept_ratio = kept.kept_ratio;
  result->peak_bytes = kept.peak_bytes;
  result->method_bytes = kept.method_bytes;
  result->reused_ratio = kept.reused_ratio;
  result->noise_hash = kept.noise_hash;
  result->stopped = kept.status == HistoryRun::Status::Stopped;
  if (!kept.video.empty()) result->frames = History::load_frames(kept);
  run->result = std::move(result);
  return run;
}

}  // namespace

struct HistoryStore::Impl {
  explicit Impl(const std::filesystem::path& folder) : history(folder) {}
  std::mutex mutex;
  History history;
};

HistoryStore::HistoryStore(const std::filesystem::path& folder) : impl_(std::make_unique<Impl>(folder)) {}
HistoryStore::~HistoryStore() = default;

std::string HistoryStore::notice() {
  std::lock_guard lock(impl_->mutex);
  return impl_->history.notice();
}

std::int64_t HistoryStore::next_id() {
  std::lock_guard lock(impl_->mutex);
  return impl_->history.next_id();
}

void HistoryStore::save(const JobView& job) {
  HistoryEntry entry;
  entry.id = job.job.id;
  entry.finished_ms = static_cast<std::int64_t>(job.finished_at * 1000);
  std::vector<const Frames*> frames;
  for (std::size_t i = 0; i < job.runs.size(); ++i) {
    const RunView& run = *job.runs[i];
    entry.runs.push_back(history_run(run, job.job.pair.request_of(i)));
    frames.push_back(run.result && !run.result->frames.empty() ? &run.result->frames : nullptr);
  }
  entry.thumbnail_png = make_thumbnail(job);
  std::lock_guard lock(impl_->mutex);
  impl_->history.save(entry, frames);
}

std::vector<HistoryCard> HistoryStore::cards() {
  std::vector<HistoryEntry> entries;
  {
    std::lock_guard lock(impl_->mutex);
    entries = impl_->history.find();
  }
  std::vector<HistoryCard> cards;
  for (const HistoryEntry& entry : entries) {
    HistoryCard card;
    card.id = entry.id;
    card.finished_at = static_cast<double>(entry.finished_ms) / 1000;
    card.thumbnail_png = entry.thumbnail_png;
    card.pair = pair_of(entry);
    for (const HistoryRun& run : entry.runs) {
      card.runs.push_back({state_of(run.status), run.seconds, run.psnr_db});
    }
    cards.push_back(std::move(card));
  }
  return cards;
}

std::shared_ptr<const JobView> HistoryStore::load(std::int64_t id) {
  HistoryEntry entry;
  {
    std::lock_guard lock(impl_->mutex);
    entry = impl_->history.load(id);
  }
  auto job = std::make_shared<JobView>();
  job->job.id = id;
  job->job.pair = pair_of(entry);
  job->finished_at = static_cast<double>(entry.finished_ms) / 1000;
  std::shared_ptr<const RunResult> reference;
  for (const HistoryRun& kept : entry.runs) {
    const auto run = run_view(kept);
    if (!reference && run->result) reference = run->result;
    if (kept.psnr_db && reference && run->result && !reference->frames.empty() &&
        run->result->frames.count == reference->frames.count) {
      // The mean is the stored one, of raw frames; the curve comes from the stored videos.
      const Psnr curve = psnr(run->result->frames, reference->frames);
      run->metrics = views::PairMetrics{curve.per_frame_db, *kept.psnr_db, curve.min_db, kept.ssim.value_or(std::nan("")), true};
    }
    job->runs.push_back(run);
  }
  return job;
}

void HistoryStore::remove(std::int64_t id) {
  std::lock_guard lock(impl_->mutex);
  impl_->history.remove(id);
}

void HistoryStore::save_queue(const std::vector<Job>& waiting) {
  std::vector<QueuedJob> jobs;
  for (const Job& job : waiting) jobs.push_back({job.id, requests_of(job.pair)});
  std::lock_guard lock(impl_->mutex);
  impl_->history.save_queue(jobs);
}

std::vector<Job> HistoryStore::load_queue() {
  std::lock_guard lock(impl_->mutex);
  std::vector<Job> waiting;
  for (const QueuedJob& job : impl_->history.load_queue()) waiting.push_back({job.id, pair_of(job.requests)});
  return waiting;
}

}  // namespace ditscope::gui
