#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/pipeline/compare.h"

namespace ditscope::cli {

/// Gathers the runs of a command and prints them: a table for people, or the JSON document of docs/cli.md.
class Report {
 public:
  /// @param prompt_index  which prompt of the command it belongs to
  /// @param output        the file or folder written; empty: none
  void add(const ComparedRun& run, std::size_t prompt_index, const std::filesystem::path& output);
  /// A prompt that failed; the others go on.
  void add_error(std::size_t prompt_index, const std::string& prompt, ErrorKind kind, const std::string& message);
  /// An output that belongs to all runs of a prompt.
  void add_side_by_side(const std::filesystem::path& output);
  /// What CaptureArguments::close() said of a capture.
  void add_capture(const nlohmann::json& capture);
  /// Prints to stdout. @throws Error{Device} where stdout is closed
  void print() const;

  bool stopped() const { return stopped_; }
  /// 0, 130 after a stop, else the exit code of the first failure.
  int exit_code() const;

 private:
  nlohmann::json runs_ = nlohmann::json::array(), errors_ = nlohmann::json::array(), side_by_side_ = nlohmann::json::array(),
                 captures_ = nlohmann::json::array();
  nlohmann::json request_;
  std::vector<std::string> lines_;
  bool stopped_ = false;
  int failure_ = 0;
};

}  // namespace ditscope::cli
