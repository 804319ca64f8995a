#include "core/history/sqlite.h"

#include <sqlite3.h>

#include <cctype>
#include <cstdio>

#include "kernels/error.h"

namespace ditscope::sqlite {
namespace {

/// How long a statement waits for another connection's write before it gives up.
constexpr int kBusyTimeout_ms = 5000;

/// @see sqlite.org/uri.html
std::string immutable_uri(const std::filesystem::path& file) {
  std::string uri = "file://";
  for (const unsigned char c : std::filesystem::absolute(file).string()) {
    char escaped[4];
    std::snprintf(escaped, sizeof escaped, "%%%02X", c);
    uri += std::isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_' ? std::string(1, static_cast<char>(c)) : escaped;
  }
  return uri + "?immutable=1";
}

}  // namespace

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  const int code = sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
  if (code != SQLITE_OK) database.fail(code);
}

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(other.statement_), bound_(other.bound_) {
  other.statement_ = nullptr;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(std::int64_t value) {
  if (const int code = sqlite3_bind_int64(statement_, ++bound_, value)) database_.fail(code);
  return *this;
}

Statement& Statement::bind(double value) {
  if (const int code = sqlite3_bind_double(statement_, ++bound_, value)) database_.fail(code);
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  const int code = sqlite3_bind_text64(statement_, ++bound_, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code) database_.fail(code);
  return *this;
}

Statement& Statement::bind(std::span<const std::uint8_t> blob) {
  const int code = blob.empty() ? sqlite3_bind_zeroblob(statement_, ++bound_, 0)
                                : sqlite3_bind_blob64(statement_, ++bound_, blob.data(), blob.size(), SQLITE_TRANSIENT);
  if (code) database_.fail(code);
  return *this;
}

Statement& Statement::bind(std::optional<double> value) {
  if (value) return bind(*value);
  if (const int code = sqlite3_bind_null(statement_, ++bound_)) database_.fail(code);
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail(code);
  return code == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {
  }
  sqlite3_reset(statement_);
  bound_ = 0;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::optional<double> Statement::optional_real(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return sqlite3_column_double(statement_, column);
}

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}

std::vector<std::uint8_t> Statement::blob(int column) const {
  const auto* bytes = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  return bytes ? std::vector<std::uint8_t>(bytes, bytes + sqlite3_column_bytes(statement_, column)) : std::vector<std::uint8_t>();
}

Database::Database(const std::filesystem::path& file, Mode mode) : file_(file) {
  const int flags = mode == Mode::ReadWrite   ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                    : mode == Mode::Immutable ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
                                              : SQLITE_OPEN_READONLY;
  const std::string name = mode == Mode::Immutable ? immutable_uri(file) : file.string();
  const int code = sqlite3_open_v2(name.c_str(), &handle_, flags | SQLITE_OPEN_FULLMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const std::string reason = handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
    sqlite3_close_v2(handle_);
    throw Error(ErrorKind::Device, "cannot open " + file.string() + ": " + reason + "; choose a data folder that you may write to");
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, kBusyTimeout_ms);
}

Database::~Database() { sqlite3_close_v2(handle_); }

void Database::execute(const std::string& sql) {
  if (const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr)) fail(code);
}

std::int64_t Database::integer(const std::string& sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

std::string Database::text(const std::string& sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.text(0) : std::string();
}

void Database::fail(int code) const {
  const std::string what = file_.string() + ": " + sqlite3_errmsg(handle_);
  switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: throw Error(ErrorKind::Corrupt, "cannot read " + what + "; start again, the damaged file is then moved aside");
    case SQLITE_NOMEM: throw Error(ErrorKind::OutOfMemory, "no memory for " + what + "; close other programs");
    case SQLITE_FULL: throw Error(ErrorKind::Device, "cannot write " + what + "; free some space");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw Error(ErrorKind::Device, "cannot write " + what + "; another program holds it, try again when it is done");
    case SQLITE_READONLY: throw Error(ErrorKind::Device, "cannot write " + what + "; choose a data folder that you may write to");
    default: throw Error(ErrorKind::Device, "cannot use " + what + "; check the disk");
  }
}

Transaction::Transaction(Database& database) : database_(database) { database_.execute("BEGIN IMMEDIATE"); }

Transaction::~Transaction() {
  // After some errors SQLite has rolled back by itself; then this statement fails, and nothing is left to do.
  if (open_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace ditscope::sqlite
