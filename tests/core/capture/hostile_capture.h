#pragma once
// Captures that lie: bytes flipped, or rows that no writer makes, in tables that claim to be the format's.
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/mutate.h"

namespace ditscope::test {

/// Mutants of a capture; the same seed makes the same file. Odd seeds change bytes, even ones what the tables say. Every fourth is
/// stretched beyond the size up to which the reader checks all pages at once.
class HostileCapture {
 public:
  explicit HostileCapture(const std::filesystem::path& good) : good_(good) {
    std::ifstream stream(good, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(stream), {});
  }

  /// @return what was done, for messages
  std::string write(const std::filesystem::path& mutant, std::uint64_t seed) {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) std::filesystem::remove(mutant.string() + suffix);
    random_.seed(seed);
    std::string done = "seed " + std::to_string(seed);
    if (seed % 2 == 1) {
      const std::string bytes = Mutator(seed)(bytes_);
      std::ofstream(mutant, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      return done;
    }
    std::filesystem::copy_file(good_, mutant);
    sqlite3* database = nullptr;
    if (sqlite3_open(mutant.c_str(), &database) == SQLITE_OK) {
      for (const std::string& sql : edits(database)) {
        sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr);
        done += "; " + sql.substr(0, 200);
      }
    }
    sqlite3_close(database);
    if (seed % 8 == 0) std::filesystem::resize_file(mutant, std::uintmax_t{65} << 20);
    return done;
  }

 private:
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }
  template <typename List>
  auto pick(const List& list) -> decltype(list[0]) {
    return list[below(std::size(list))];
  }
  std::vector<std::string> column(sqlite3* database, const std::string& sql) {
    std::vector<std::string> values;
    sqlite3_stmt* rows = nullptr;
    sqlite3_prepare_v2(database, sql.c_str(), -1, &rows, nullptr);
    while (sqlite3_step(rows) == SQLITE_ROW) values.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(rows, 0)));
    sqlite3_finalize(rows);
    return values;
  }

  std::string value() {
    static const std::vector<std::string> kValues{
        "NULL", "0", "1", "-1", "2", "3", "7", "63", "64", "65", "255", "65536", "1048575", "1048576", "1048577", "16777217", "2147483647", "-2147483648",
        "4294967296", "1099511627776", "9223372036854775807", "-9223372036854775808", "0.5", "-0.0", "1e308", "9e999", "-9e999", "1e-320", "''", "' '",
        "x''", "x'00'", "zeroblob(70000)", "zeroblob(5000000)", "randomblob(3000)", "'[]'", "'{}'", "'[1'", "'null'", "'[[[[[[[[[[[[[[[[[[[[[[[[]'", "'[-1]'",
        "'[0]'", "'[1,1,1,1,1,1,1]'", "'[1099511627777]'", "'[4294967296,4294967296]'", "'[3,1048576,1048576]'", "'[3,3]'", "'[9]'", "'[1e99]'", "'[\"a\"]'",
        "'[[1,2,3,4]]'", "'[[[1,\"a\",-5,99999]]]'", "'[[],[[1,\"a\",5,2]]]'", "'{\"lambda\":\"x\"}'", "'[[\"full\",1],2]'", "CAST(x'fffe80c0af' AS TEXT)",
        "CAST(x'eda080' AS TEXT)", "'a' || char(0) || 'b'", "'<u4'", "'<u2'", "'|u1'", "'<f8'", "'|O'", "'bf16'", "'log2'", "'linear'", "'bits'", "'up'",
        "'shuffle'", "'map'", "'frames'", "'latents'", "'position_major'", "'dense'", "'recording'", "'sampled'", "hex(zeroblob(600000))"};
    return pick(kValues);
  }

  /// Columns take any value, rows any id, and afterwards the schema reads again as it should.
  std::vector<std::string> edits(sqlite3* database) {
    const auto tables = column(database, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    std::vector<std::string> all{"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF"};
    const bool lies = below(2) == 0;
    if (lies)
      all.push_back("PRAGMA writable_schema = ON; CREATE TABLE truth AS SELECT name, sql FROM sqlite_schema; "
                    "UPDATE sqlite_schema SET sql = replace(replace(replace(sql, ' STRICT', ''), ')  --', ') --'), ' NOT NULL', '') WHERE name <> 'truth'; "
                    "PRAGMA writable_schema = RESET");
    for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
      const std::string table = pick(tables);
      const std::string name = pick(column(database, "SELECT name FROM pragma_table_info('" + table + "')"));
      const std::string some = below(2) ? "" : " WHERE abs(random()) % 4 = 0";
      switch (below(12)) {
        case 0: all.push_back("DELETE FROM " + table + some); break;
        case 1: all.push_back("DROP TABLE " + table); break;
        case 2: all.push_back("ALTER TABLE " + table + " ADD COLUMN surprise TEXT"); break;
        case 3: all.push_back("INSERT OR REPLACE INTO " + table + " SELECT * FROM " + table + " ORDER BY random() LIMIT 1"); break;
        case 4: all.push_back("UPDATE OR IGNORE " + table + " SET " + name + " = " + name + " + 1" + some); break;
        case 5: all.push_back("UPDATE OR REPLACE " + table + " SET " + name + " = (SELECT " + name + " FROM " + table + " ORDER BY random() LIMIT 1)" + some); break;
        default: all.push_back("UPDATE OR REPLACE " + table + " SET " + name + " = " + value() + some);
      }
    }
    if (lies)
      all.push_back("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = (SELECT sql FROM truth WHERE truth.name = sqlite_schema.name) "
                    "WHERE name IN (SELECT name FROM truth); DROP TABLE truth; PRAGMA writable_schema = OFF");
    return all;
  }

  std::filesystem::path good_;
  std::string bytes_;
  std::mt19937_64 random_;
};

/// How many mutants a test makes: DITSCOPE_FUZZ where it is set, from the seed DITSCOPE_FUZZ_FIRST on.
struct FuzzRange {
  std::uint64_t first = 0, last = 0;
  explicit FuzzRange(std::uint64_t usual) {
    const char* count = std::getenv("DITSCOPE_FUZZ");
    const char* begin = std::getenv("DITSCOPE_FUZZ_FIRST");
    first = begin ? std::strtoull(begin, nullptr, 10) : 0;
    last = first + (count ? std::strtoull(count, nullptr, 10) : usual);
  }
};

}  // namespace ditscope::test
