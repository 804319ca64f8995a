#include "core/history/history.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "core/history/history_file.h"
#include "core/history/history_json.h"
#include "core/history/sqlite.h"
#include "core/media/media_reader.h"
#include "core/media/png_writer.h"
#include "core/media/video_writer.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

constexpr int kVideoCrf = 12;
constexpr int kThumbnail_px = 192;

constexpr const char* kRunColumns =
    "request, status, message, seconds, attention_seconds, psnr_db, ssim, results, video, steps, position";

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// A LIKE pattern that finds `text` literally anywhere.
std::string containing(const std::string& text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

const Frames* frames_of(const std::vector<const Frames*>& frames, std::size_t run) {
  return run < frames.size() && frames[run] && !frames[run]->empty() ? frames[run] : nullptr;
}

HistoryRun run_from_row(Statement& row, const std::filesystem::path& videos, bool with_steps) {
  HistoryRun run;
  run.request = request_from_json(row.text(0));
  run.status = static_cast<HistoryRun::Status>(std::clamp<std::int64_t>(row.integer(1), 0, 2));
  run.message = row.text(2);
  run.seconds = row.real(3);
  run.attention_seconds = row.real(4);
  run.psnr_db = row.optional_real(5);
  run.ssim = row.optional_real(6);
  results_from_json(row.text(7), run);
  // Only the last part of the stored name counts: a database from elsewhere must not point outside its folder.
  if (const std::string video = row.text(8); !video.empty()) run.video = videos / std::filesystem::path(video).filename();
  if (with_steps) run.steps = steps_from_json(row.text(9));
  return run;
}

}  // namespace

struct History::Impl {
  std::filesystem::path videos;
  HistoryFile file;

  explicit Impl(const std::filesystem::path& folder) : videos(folder / "runs"), file(open_history_file(folder)) {}
  sqlite::Database& database() { return *file.database; }

  void require_writable() const {
    if (file.read_only) throw Error(ErrorKind::Unsupported, file.notice);
  }

  std::string video_name(std::int64_t id, std::size_t run) const { return std::to_string(id) + "-" + std::to_string(run) + ".mp4"; }

  /// Writes the video of a run and gives its name; without frames the name of the video it already has.
  std::string store_video(const HistoryEntry& entry, std::size_t index, const Frames* frames) {
    const std::string name = video_name(entry.id, index);
    if (frames) {
      write_video(*frames, videos / name, {.parameters_json = to_json(entry.runs[index].request), .sidecar = false, .crf = kVideoCrf});
      return name;
    }
    return !entry.runs[index].video.empty() && std::filesystem::exists(videos / name) ? name : "";
  }

  void insert_run(const HistoryEntry& entry, std::size_t index, const std::string& video) {
    const HistoryRun& run = entry.runs[index];
    Statement(database(), "INSERT INTO runs (entry, position, request, prompt, method, seed, status, message, seconds, "
                          "attention_seconds, psnr_db, ssim, results, steps, video) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
        .bind(entry.id)
        .bind(static_cast<std::int64_t>(index))
        .bind(to_json(run.request))
        .bind(run.request.prompt)
        .bind(run.request.method.key)
        .bind(std::to_string(run.request.seed))
        .bind(static_cast<int>(run.status))
        .bind(run.message)
        .bind(run.seconds)
        .bind(run.attention_seconds)
        .bind(run.psnr_db)
        .bind(run.ssim)
        .bind(results_to_json(run))
        .bind(steps_to_json(run.steps))
        .bind(video)
        .run();
    for (const auto& path : run.outputs) insert_output(entry.id, static_cast<int>(index), path);
  }

  void insert_output(std::int64_t id, int run, const std::filesystem::path& path) {
    Statement(database(), "INSERT OR IGNORE INTO outputs VALUES (?,?,?)").bind(id).bind(run).bind(path.string()).run();
  }

  void read_runs(HistoryEntry& entry, bool with_steps) {
    Statement rows(database(), std::string("SELECT ") + kRunColumns + " FROM runs WHERE entry = ? ORDER BY position");
    rows.bind(entry.id);
    while (rows.step()) {
      HistoryRun run = run_from_row(rows, videos, with_steps);
      Statement outputs(database(), "SELECT path FROM outputs WHERE entry = ? AND position = ? ORDER BY rowid");
      outputs.bind(entry.id).bind(rows.integer(10));
      while (outputs.step()) run.outputs.emplace_back(outputs.text(0));
      entry.runs.push_back(std::move(run));
    }
  }
};

History::History(const std::filesystem::path& folder) : impl_(std::make_unique<Impl>(folder)) {}
History::~History() = default;

const std::string& History::notice() const { return impl_->file.notice; }
bool History::read_only() const { return impl_->file.read_only; }

std::int64_t History::next_id() {
  impl_->require_writable();
  Statement statement(impl_->database(), "UPDATE counter SET next_id = next_id + 1 RETURNING next_id - 1");
  statement.step();
  const std::int64_t id = statement.integer(0);
  while (statement.step()) {
  }
  return id;
}

void History::save(const HistoryEntry& entry, const std::vector<const Frames*>& frames) {
  impl_->require_writable();
  if (entry.id < 1 || entry.runs.empty()) {
    throw Error(ErrorKind::InvalidArgument, "expected an entry with a number and at least one run, got number " +
                                                std::to_string(entry.id) + " and " + std::to_string(entry.runs.size()) +
                                                " runs; take the number from next_id()");
  }
  std::vector<std::string> videos;
  std::vector<std::uint8_t> png = entry.thumbnail_png;
  for (std::size_t i = 0; i < entry.runs.size(); ++i) {
    const Frames* pixels = frames_of(frames, i);
    videos.push_back(impl_->store_video(entry, i, pixels));
    if (png.empty() && pixels) png = encode_png(thumbnail(*pixels, pixels->count / 2, kThumbnail_px), 0);
  }
  Transaction transaction(impl_->database());
  Statement(impl_->database(), "DELETE FROM entries WHERE id = ?").bind(entry.id).run();
  Statement(impl_->database(), "INSERT INTO entries VALUES (?,?,?)")
      .bind(entry.id)
      .bind(entry.finished_ms ? entry.finished_ms : now_ms())
      .bind(std::span<const std::uint8_t>(png))
      .run();
  for (std::size_t i = 0; i < entry.runs.size(); ++i) impl_->insert_run(entry, i, videos[i]);
  Statement(impl_->database(), "UPDATE counter SET next_id = max(next_id, ? + 1)").bind(entry.id).run();
  transaction.commit();
}

void History::add_output(std::int64_t id, int run, const std::filesystem::path& file) {
  impl_->require_writable();
  Statement there(impl_->database(), "SELECT 1 FROM runs WHERE entry = ? AND position = ?");
  if (!there.bind(id).bind(run).step()) {
    throw Error(ErrorKind::NotFound, "expected run " + std::to_string(run) + " of entry " + std::to_string(id) +
                                         " in the history, got none; it may have been removed");
  }
  impl_->insert_output(id, run, file);
}

std::vector<HistoryEntry> History::find(const HistoryFilter& filter) {
  std::string sql = "SELECT id, finished_ms, thumbnail FROM entries WHERE EXISTS (SELECT 1 FROM runs WHERE entry = entries.id";
  if (!filter.text.empty()) sql += " AND prompt LIKE ? ESCAPE '\\'";
  if (!filter.method.empty()) sql += " AND method = ?";
  if (filter.seed) sql += " AND seed = ?";
  sql += ") ORDER BY finished_ms DESC, id DESC LIMIT ? OFFSET ?";
  Statement rows(impl_->database(), sql);
  if (!filter.text.empty()) rows.bind(containing(filter.text));
  if (!filter.method.empty()) rows.bind(filter.method);
  if (filter.seed) rows.bind(std::to_string(*filter.seed));
  rows.bind(std::max(0, filter.limit)).bind(std::max(0, filter.offset));
  std::vector<HistoryEntry> entries;
  while (rows.step()) {
    HistoryEntry entry{rows.integer(0), rows.integer(1), {}, rows.blob(2)};
    try {
      impl_->read_runs(entry, false);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Corrupt) throw;
      // One unreadable entry must not hide the others; it shows as failed, with the reason.
      HistoryRun unreadable;
      unreadable.status = HistoryRun::Status::Failed;
      unreadable.message = error.what();
      entry.runs = {unreadable};
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

HistoryEntry History::load(std::int64_t id) {
  Statement row(impl_->database(), "SELECT id, finished_ms, thumbnail FROM entries WHERE id = ?");
  if (!row.bind(id).step()) {
    throw Error(ErrorKind::NotFound, "expected entry " + std::to_string(id) + " in the history, got none; it may have been removed");
  }
  HistoryEntry entry{row.integer(0), row.integer(1), {}, row.blob(2)};
  impl_->read_runs(entry, true);
  return entry;
}

Frames History::load_frames(const HistoryRun& run) {
  if (run.video.empty()) {
    throw Error(ErrorKind::NotFound, "expected a stored video, but this run has none; generate it again with its settings");
  }
  Frames frames = read_media(run.video).frames;
  // The encoder made odd sides even: cut them back.
  const int width = run.request.width > 0 ? std::min(run.request.width, frames.width) : frames.width;
  const int height = run.request.height > 0 ? std::min(run.request.height, frames.height) : frames.height;
  if (width == frames.width && height == frames.height) return frames;
  Frames cut;
  cut.count = frames.count;
  cut.height = height;
  cut.width = width;
  cut.fps = frames.fps;
  cut.rgb.reserve(cut.frame_size() * cut.count);
  for (int f = 0; f < cut.count; ++f) {
    for (int y = 0; y < height; ++y) {
      const float* row = frames.frame(f) + static_cast<std::size_t>(y) * frames.width * 3;
      cut.rgb.insert(cut.rgb.end(), row, row + static_cast<std::size_t>(width) * 3);
    }
  }
  return cut;
}

void History::remove(std::int64_t id) {
  impl_->require_writable();
  std::vector<std::filesystem::path> videos;
  {
    Statement rows(impl_->database(), "SELECT position FROM runs WHERE entry = ?");
    rows.bind(id);
    while (rows.step()) videos.push_back(impl_->videos / impl_->video_name(id, static_cast<std::size_t>(rows.integer(0))));
  }
  Statement(impl_->database(), "DELETE FROM entries WHERE id = ?").bind(id).run();
  std::error_code ignored;
  for (const auto& video : videos) std::filesystem::remove(video, ignored);
}

void History::save_queue(const std::vector<QueuedJob>& jobs) {
  impl_->require_writable();
  Transaction transaction(impl_->database());
  impl_->database().execute("DELETE FROM queue");
  Statement insert(impl_->database(), "INSERT INTO queue VALUES (?,?,?)");
  std::int64_t position = 0;
  for (const QueuedJob& job : jobs) insert.bind(position++).bind(job.id).bind(requests_to_json(job.requests)).run();
  transaction.commit();
}

std::vector<QueuedJob> History::load_queue() {
  Statement rows(impl_->database(), "SELECT id, requests FROM queue ORDER BY position");
  std::vector<QueuedJob> jobs;
  while (rows.step()) jobs.push_back({rows.integer(0), requests_from_json(rows.text(1))});
  return jobs;
}

}  // namespace ditscope
