#pragma once
// Internal to core/history: how history.db is opened, judged and laid out.
#include <filesystem>
#include <memory>
#include <string>

#include "core/history/sqlite.h"

namespace ditscope {

struct HistoryFile {
  std::unique_ptr<sqlite::Database> database;
  bool read_only = false;
  std::string notice;
};

/// Schema that this version writes, in PRAGMA user_version.
inline constexpr int kHistorySchema = 1;

/// Opens or begins `<folder>/history.db`; see History for damaged and newer files.
/// @throws Error{Device}
HistoryFile open_history_file(const std::filesystem::path& folder);

}  // namespace ditscope
