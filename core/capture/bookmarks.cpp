#include "core/capture/bookmarks.h"

#include "core/capture/capture_source.h"
#include "core/capture/capture_writer.h"

namespace ditscope {
namespace {

constexpr std::int64_t kMost = 1000;
constexpr std::size_t kLongestText_bytes = 4000;

void expect_finished(const std::filesystem::path& capture) {
  const CaptureSource source(capture);  // refuses what is no capture
  if (source.live()) throw Error(ErrorKind::Unsupported, capture.string() + " is being recorded: bookmarks can be added when the run has ended.");
}

void expect_short(const std::string& text, const char* name) {
  if (text.size() <= kLongestText_bytes) return;
  throw Error(ErrorKind::InvalidArgument, std::string("expected a ") + name + " of at most " + std::to_string(kLongestText_bytes) + " bytes, got " +
                                              std::to_string(text.size()));
}

/// Runs `work(database)` in a transaction.
template <typename Work>
auto write(const std::filesystem::path& capture, const Work& work) {
  expect_finished(capture);
  try {
    sqlite::Database database(capture, sqlite::Database::Mode::ReadWrite);
    sqlite::Transaction transaction(database);
    const auto result = work(database);
    transaction.commit();
    return result;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Device) throw;
    throw Error(ErrorKind::Device, capture.string() + " cannot be written to, so it keeps no bookmark: " + error.what());
  }
}

}  // namespace

std::int64_t add_bookmark(const std::filesystem::path& capture, const CaptureBookmark& bookmark) {
  expect_short(bookmark.title, "title");
  expect_short(bookmark.note, "note");
  expect_short(bookmark.colour, "colour");
  expect_short(bookmark.view, "view");
  return write(capture, [&](sqlite::Database& database) {
    if (database.integer("SELECT count(*) FROM bookmarks") >= kMost) {
      throw Error(ErrorKind::InvalidArgument, capture.string() + " has " + std::to_string(kMost) + " bookmarks already; remove some");
    }
    sqlite::Statement insert(database,
                             "INSERT INTO bookmarks(created_utc, title, note, colour, run_id, step, layer, head, branch, view) "
                             "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(utc_now()).bind(bookmark.title).bind(bookmark.note).bind(bookmark.colour).bind(bookmark.run_id).bind(bookmark.step);
    insert.bind(bookmark.layer).bind(bookmark.head).bind(bookmark.branch).bind(bookmark.view).run();
    return database.integer("SELECT last_insert_rowid()");
  });
}

void remove_bookmark(const std::filesystem::path& capture, std::int64_t id) {
  write(capture, [&](sqlite::Database& database) {
    sqlite::Statement(database, "DELETE FROM bookmarks WHERE bookmark_id = ?").bind(id).run();
    return 0;
  });
}

}  // namespace ditscope
