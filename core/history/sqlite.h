#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace ditscope::sqlite {

class Database;

/// A prepared statement: bind in order, step, read columns. Lives no longer than its database.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement& operator=(Statement&&) = delete;

  Statement& bind(std::int64_t value);
  Statement& bind(int value) { return bind(static_cast<std::int64_t>(value)); }
  Statement& bind(double value);  ///< NaN becomes NULL
  Statement& bind(std::string_view text);
  Statement& bind(const std::string& text) { return bind(std::string_view(text)); }
  Statement& bind(std::span<const std::uint8_t> blob);
  Statement& bind(std::optional<double> value);

  /// @return true when there is a row. @throws Error
  bool step();
  /// Runs to the end and makes ready to bind anew.
  void run();

  std::int64_t integer(int column) const;
  double real(int column) const;
  std::optional<double> optional_real(int column) const;
  std::string text(int column) const;
  std::vector<std::uint8_t> blob(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// One connection. Not thread-safe; several connections to one file are.
class Database {
 public:
  enum class Mode {
    ReadWrite,
    ReadOnly,
    Immutable  ///< read-only, without locks and shared memory: for a file that nobody writes and that has no log beside it
  };
  /// @throws Error{Device} when the file cannot be opened
  Database(const std::filesystem::path& file, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const std::string& sql);
  std::int64_t integer(const std::string& sql);  ///< first column of the first row
  std::string text(const std::string& sql);

  sqlite3* handle() const { return handle_; }
  /// Throws the Error for a result code: Corrupt for a damaged file, OutOfMemory, else Device (disk full, locked, not writable),
  /// with SQLite's words and what to do.
  [[noreturn]] void fail(int code) const;

 private:
  std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
};

/// BEGIN IMMEDIATE .. COMMIT; rolled back where commit() is not reached.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace ditscope::sqlite
