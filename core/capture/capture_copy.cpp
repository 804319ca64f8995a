#include "core/capture/capture_copy.h"

#include <sqlite3.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "core/capture/capture_schema.h"
#include "core/capture/capture_source.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using sqlite::Database;
using sqlite::Statement;

/// A row on its way: its columns by name, as SQLite has them.
class Row {
 public:
  Row(Database& database, const std::string& sql) : database_(database) {
    if (const int code = sqlite3_prepare_v2(database.handle(), sql.c_str(), -1, &statement_, nullptr)) database.fail(code);
    for (int c = 0; c < sqlite3_column_count(statement_); ++c) columns_[sqlite3_column_name(statement_, c)] = c;
  }
  ~Row() { sqlite3_finalize(statement_); }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  bool next() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail(code);
    return code == SQLITE_ROW;
  }
  std::int64_t integer(const std::string& column) const { return sqlite3_column_int64(statement_, columns_.at(column)); }
  std::string text(const std::string& column) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, columns_.at(column)));
    return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, columns_.at(column)))) : std::string();
  }
  const sqlite3_value* value(int column) const { return sqlite3_column_value(statement_, column); }
  const std::map<std::string, int>& columns() const { return columns_; }

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  std::map<std::string, int> columns_;
};

using Redaction = std::map<std::string, std::string (*)(const std::string&)>;  // column -> what becomes of its text

std::string empty(const std::string&) { return ""; }
std::string empty_list(const std::string&) { return "[]"; }
/// "/home/me/models/tiny" -> "tiny"
std::string last_part(const std::string& name) {
  const std::size_t at = name.find_last_of("/\\");
  return without_paths(name) == name || at == std::string::npos ? without_paths(name) : name.substr(at + 1);
}

const std::map<std::string, Redaction>& redactions() {
  static const std::map<std::string, Redaction> kOf{
      {"meta", {{"value", without_paths}}},
      {"requests", {{"prompt", empty}, {"negative_prompt", empty}, {"words", empty_list}, {"scheduler", redacted_json}}},
      {"runs",
       {{"name", without_paths}, {"parameters", redacted_json}, {"request", redacted_json}, {"selection", redacted_json}, {"state", without_paths},
        {"metrics", redacted_json}}},
      {"models", {{"name", last_part}, {"config", redacted_json}}},
      {"environments", {{"json", redacted_json}}},
      {"bookmarks", {{"title", empty}, {"note", empty}, {"view", redacted_json}}},
      {"gaps", {{"reason", without_paths}}}};
  return kOf;
}

class Copier {
 public:
  Copier(CaptureSource& source, Database& target, const CaptureCopyOptions& options) : source_(source), target_(target), options_(options) {}

  void run() {
    source_.database().execute("BEGIN");  // one state of a capture that is being recorded
    for (const char* table : {"meta", "environments", "models", "requests", "runs", "steps", "gaps", "bookmarks"}) copy(table);
    copy("calls", [&](const Row& row) {
      const bool kept = kept_place(row.integer("step"), row.integer("layer"));
      if (kept) calls_.insert(row.integer("call_id"));
      return kept;
    });
    copy("heads", [&](const Row& row) {
      const bool kept = calls_.contains(row.integer("call_id"));
      if (kept) plans_.insert(row.integer("plan_id"));
      return kept;
    });
    copy("plans", [&](const Row& row) {
      if (!plans_.contains(row.integer("plan_id"))) return false;
      for (const char* column : {"mask_id", "partial_blocks_id", "partial_bits_id", "q_order_id", "k_order_id"}) of_plans_.insert(row.integer(column));
      return true;
    });
    copy("tensors", [&](const Row& row) { return kept_tensor(row); });
    copy_chunks();
    source_.database().execute("COMMIT");
  }
  const std::map<std::string, int>& left_out() const { return left_out_; }

 private:
  bool kept_place(std::int64_t step, std::int64_t layer) const {
    const auto within = [](const IndexSet& set, std::int64_t index) { return index < 0 || index > INT32_MAX || set.contains(static_cast<int>(index)); };
    return within(options_.steps, step) && within(options_.layers, layer);
  }

  bool kept_tensor(const Row& row) {
    const std::string kind = row.text("kind");
    bool kept = false;
    if (row.integer("run_id") == 0) {
      kept = of_plans_.contains(row.integer("tensor_id")) || (kind == "mask_reasons" && plans_.contains(row.integer("step")));
    } else {
      const bool dropped = std::find(options_.without.begin(), options_.without.end(), kind) != options_.without.end() ||
                           (options_.redact && kind == "text_embedding");
      kept = !dropped && kept_place(row.integer("step"), row.integer("layer"));
      if (!kept) ++left_out_[kind];
    }
    if (kept) data_.insert(row.integer("data_id"));
    return kept;
  }

  template <typename Keep>
  void copy(const std::string& table, const Keep& keep) {
    const auto found = redactions().find(table);
    const Redaction none, &redaction = options_.redact && found != redactions().end() ? found->second : none;
    source_.read([&](Database& database) {
      // The columns that this version knows; a newer one may have more, an older one has fewer.
      const auto names_in = [&](Database& of) {
        std::set<std::string> found;
        Statement rows(of, "SELECT name FROM pragma_table_info(?)");
        rows.bind(table);
        while (rows.step()) found.insert(rows.text(0));
        return found;
      };
      const std::set<std::string> there = names_in(database);
      std::string names, places;
      Statement columns(target_, "SELECT name FROM pragma_table_info(?)");
      columns.bind(table);
      while (columns.step()) {
        if (!there.contains(columns.text(0))) continue;
        names += (names.empty() ? "\"" : ", \"") + columns.text(0) + "\"";
        places += places.empty() ? "?" : ",?";
      }
      Row row(database, "SELECT " + names + " FROM " + table);
      sqlite3_stmt* insert = nullptr;
      const std::string sql = "INSERT INTO " + table + " (" + names + ") VALUES (" + places + ")";
      if (const int code = sqlite3_prepare_v2(target_.handle(), sql.c_str(), -1, &insert, nullptr)) target_.fail(code);
      const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(insert, sqlite3_finalize);
      while (row.next()) {
        if (keep(row)) write(insert, row, redaction);
      }
      return 0;
    });
  }
  void copy(const std::string& table) {
    copy(table, [](const Row&) { return true; });
  }

  void write(sqlite3_stmt* insert, const Row& row, const Redaction& redaction) {
    for (const auto& [name, column] : row.columns()) {
      const auto becomes = redaction.find(name);
      int code = SQLITE_OK;
      if (becomes == redaction.end()) {
        code = sqlite3_bind_value(insert, column + 1, row.value(column));
      } else {
        const std::string text = becomes->second(row.text(name));
        code = sqlite3_bind_text64(insert, column + 1, text.c_str(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
      }
      if (code) target_.fail(code);
    }
    if (const int code = sqlite3_step(insert); code != SQLITE_DONE) target_.fail(code);
    sqlite3_reset(insert);
  }

  void copy_chunks() {
    Statement insert(target_, "INSERT INTO chunks VALUES (?,?,?,?)");
    for (const std::int64_t data : data_) {
      if (data < 1 || data >= std::int64_t{1} << 40) throw Error(ErrorKind::Corrupt, "expected the number of an array, got " + std::to_string(data) + "; the capture is damaged, record it again");
      source_.read([&](Database& database) {  // a deadline each
        Statement rows(database, "SELECT chunk_id, codec, crc32, data FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id");
        rows.bind(data * capture_file::kChunksPerTensor).bind((data + 1) * capture_file::kChunksPerTensor - 1);
        while (rows.step()) {
          const std::vector<std::uint8_t> bytes = rows.blob(3);
          insert.bind(rows.integer(0)).bind(rows.integer(1)).bind(rows.integer(2)).bind(std::span<const std::uint8_t>(bytes)).run();
        }
        return 0;
      });
    }
  }

  CaptureSource& source_;
  Database& target_;
  const CaptureCopyOptions& options_;
  std::set<std::int64_t> calls_, plans_, of_plans_, data_;
  std::map<std::string, int> left_out_;
};

void remove_with_logs(const fs::path& file) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(file.string() + suffix, ignored);
}

}  // namespace

CaptureCopyReport copy_capture(const fs::path& from, const fs::path& to, const CaptureCopyOptions& options) {
  std::error_code unknown;
  if (fs::equivalent(from, to, unknown)) throw Error(ErrorKind::InvalidArgument, to.string() + " is the capture itself; give the copy another name");
  if (CaptureLease::held(to)) throw Error(ErrorKind::Device, to.string() + " is being recorded; give the copy another name");
  CaptureSource source(from);
  CaptureCopyReport report;
  report.bytes_before = static_cast<std::int64_t>(fs::file_size(from, unknown));
  const fs::path fresh = to.string() + ".new";
  remove_with_logs(fresh);
  try {
    Database target(fresh, Database::Mode::ReadWrite);
    target.execute("PRAGMA page_size = " + std::to_string(capture_file::kPage_bytes) + "; PRAGMA auto_vacuum = NONE");
    sqlite::Transaction transaction(target);
    for (const std::string& table : capture_file::schema()) target.execute(table);
    target.execute("PRAGMA application_id = " + std::to_string(capture_file::kApplicationId));
    target.execute("PRAGMA user_version = " + std::to_string(1000 * capture_file::kMajor + capture_file::kMinor));
    Copier copier(source, target, options);
    copier.run();
    if (options.redact) {
      Statement(target, "INSERT OR REPLACE INTO meta VALUES ('redacted', 'prompts, words, text embedding, notes, paths, users, hosts')").run();
      report.dropped = {"The prompt, the negative prompt and their words are empty.", "Paths, users and hosts are empty; titles and notes of bookmarks too."};
    }
    for (const auto& [kind, count] : copier.left_out())
      report.dropped.push_back(std::to_string(count) + (count == 1 ? " array " : " arrays ") + kind + (count == 1 ? " is" : " are") + " left out" +
                               (kind == "text_embedding" ? ": steps cannot be replayed." : "."));
    const auto shows = [&](const char* kind) { return std::find(options.without.begin(), options.without.end(), kind) == options.without.end(); };
    if (options.redact && (shows("frames") || shows("preview") || shows("latents")))
      report.dropped.push_back("Pictures and latents stay and show what was asked for; --without frames,preview,latents leaves them out.");
    transaction.commit();
  } catch (...) {
    remove_with_logs(fresh);
    throw;
  }
  remove_with_logs(to);
  fs::rename(fresh, to, unknown);
  if (unknown) throw Error(ErrorKind::Device, "cannot make " + to.string() + ": " + unknown.message() + "; choose another folder");
  report.bytes = static_cast<std::int64_t>(fs::file_size(to, unknown));
  return report;
}

}  // namespace ditscope
