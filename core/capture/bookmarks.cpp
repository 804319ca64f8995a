#include "core/capture/bookmarks.h"

#include "core/capture/capture_source.h"
#include "core/capture/capture_writer.h"

namespace ditscope {
namespace {

constexpr std::int64_t kMost = 1000;
constexpr std::size_t kLongestText_bytes = 4000;


void expect_finished(const std::filesystem::path& capture) {
  CaptureSource source(capture);
  const std::string state = source.read([](sqlite::Database& database) { return database.text("SELECT value FROM meta WHERE key = 'state'"); });
  if (state != "recording") return;
  throw Error(ErrorKind::Unsupported, capture.string() + " is being recorded, or its recording was cut off: bookmarks can be added to a capture that "
                                                         "is complete or was stopped.");
}

void expect_short(const std::string& text, const char* name) {
  if (text.size() <= kLongestText_bytes) return;
  throw Error(ErrorKind::InvalidArgument, std::string("expected a ") + name + " of at most " + std::to_string(kLongestText_bytes) + " bytes, got " +
                                              std::to_string(text.size()));
}

}  // namespace

std::int64_t add_bookmark(const std::filesystem::path& capture, const CaptureBookmark& bookmark) {
  expect_short(bookmark.title, "title");
  expect_short(bookmark.note, "note");
  expect_short(bookmark.colour, "colour");
  expect_short(bookmark.view, "view");
  expect_finished(capture);
  sqlite::Database database(capture, sqlite::Database::Mode::ReadWrite);
  sqlite::Transaction transaction(database);
  if (database.integer("SELECT count(*) FROM bookmarks") >= kMost) {
    throw Error(ErrorKind::InvalidArgument, capture.string() + " has " + std::to_string(kMost) + " bookmarks already; remove some");
  }
  sqlite::Statement insert(database,
                           "INSERT INTO bookmarks(created_utc, title, note, colour, run_id, step, layer, head, branch, view) "
                           "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(utc_now()).bind(bookmark.title).bind(bookmark.note).bind(bookmark.colour).bind(bookmark.run_id).bind(bookmark.step);
  insert.bind(bookmark.layer).bind(bookmark.head).bind(bookmark.branch).bind(bookmark.view).run();
  const std::int64_t id = database.integer("SELECT last_insert_rowid()");
  transaction.commit();
  return id;
}

void remove_bookmark(const std::filesystem::path& capture, std::int64_t id) {
  expect_finished(capture);
  sqlite::Database database(capture, sqlite::Database::Mode::ReadWrite);
  sqlite::Transaction transaction(database);
  sqlite::Statement(database, "DELETE FROM bookmarks WHERE bookmark_id = ?").bind(id).run();
  transaction.commit();
}

}  // namespace ditscope
