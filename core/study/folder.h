#pragma once
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/study/plan.h"

namespace ditscope::study {

/// What one run gave. Names carry their units: "psnr_db", "ssim", "accuracy", "flicker", "attention_seconds", "seconds",
/// "cpu_seconds", "kept_sparse", "kept_run", "method_bytes", and "accuracy_<attribute>".
struct Record {
  std::string cell;
  int prompt = 0;
  std::map<std::string, double> values;
};

/// One line of JSON, without a line end. Values that are not finite are left out.
std::string to_line(const Record& record);
/// @throws Error{Corrupt} where the line is no record
Record record_from(const std::string& line);

/// What a study is made of, as it stands in its folder.
struct Study {
  Settings settings;  ///< completed
  std::string model_fingerprint;
  std::vector<std::string> captions;
  std::vector<MethodMatches> matches;
  std::vector<Cell> cells;
  std::vector<Record> records;
};

/// The folder of a study: study.json (settings, matches, cells), results.jsonl (a line a run, appended as it ends) and strips/. A
/// killed run loses at most the run that was going on.
class Folder {
 public:
  /// Opens the folder, or makes it.
  /// @throws Error{InvalidArgument} it holds a study with other settings; Error{Corrupt} study.json cannot be read
  Folder(const std::filesystem::path& path, const Settings& settings, const std::string& model_fingerprint);
  /// What there is, to write it up. @throws Error{NotFound} no study is there
  static Study read(const std::filesystem::path& path);

  const Study& study() const { return study_; }
  bool has(const std::string& cell, int prompt) const { return done_.contains({prompt, cell}); }
  const MethodMatches* matches_of(const std::string& method) const;

  void set_captions(const std::vector<std::string>& captions);
  void add_matches(const MethodMatches& matches);
  void set_cells(const std::vector<Cell>& cells);
  /// @throws Error{Device} where it cannot be written
  void add(const Record& record);
  /// Where the strip of frames of a run lies.
  static std::filesystem::path strip(const std::filesystem::path& folder, const std::string& cell, int prompt);

 private:
  void save() const;

  std::filesystem::path path_;
  Study study_;
  std::set<std::pair<int, std::string>> done_;
  std::ofstream lines_;
};

}  // namespace ditscope::study
