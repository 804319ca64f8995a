#pragma once
#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "core/pipeline/events.h"
#include "kernels/error.h"

namespace ditscope::cli {

/// Whether --json was given to the command that runs: results and errors then go to stdout as one JSON document.
bool& json_wanted();
/// Adds --json to a command.
void add_json_flag(CLI::App& command);

/// Prints an error for a person (stderr) or, with --json, also for a program (stdout).
void report_error(ErrorKind kind, const std::string& message);
void report_error(const std::string& kind, const std::string& message);

/// Writes `text` and a newline to stdout.
/// @throws Error{Device} where stdout cannot be written (closed pipe, full disk)
void print_result(const std::string& text);

/// "1:23" or "1:02:03".
std::string clock_text(double seconds);
/// "12.3 MB"
std::string bytes_text(double bytes);

/// Progress on stderr: one line that is rewritten on a terminal, else one line a step.
class ConsoleProgress final : public EventSink {
 public:
  /// @param title  put before each line: "re-ttention"; may be empty
  explicit ConsoleProgress(bool quiet = false);
  ~ConsoleProgress() override;
  void set_title(std::string title) { title_ = std::move(title); }
  /// What stands behind each step: "capture 3.1 MB". Empty: nothing.
  void set_note(std::function<std::string()> note) { note_ = std::move(note); }
  void on_event(const Event& event) override;
  /// Removes the line of a terminal so that other output starts clean.
  void clear();

 private:
  void show(const std::string& line, bool worth_a_line);

  bool quiet_, terminal_;
  bool shown_ = false;
  std::string title_, last_stage_;
  std::function<std::string()> note_;
  double remaining_seconds_ = 0;
  std::chrono::steady_clock::time_point remaining_at_{};
};

}  // namespace ditscope::cli
