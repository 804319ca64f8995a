#include "app/cli/console.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/cli/print.h"

namespace ditscope::cli {

bool& json_wanted() {
  static bool wanted = false;
  return wanted;
}

void add_json_flag(CLI::App& command) {
  command.add_flag("--json", json_wanted(), "Print results as one JSON document on stdout (messages stay on stderr)");
}

void report_error(ErrorKind kind, const std::string& message) {
  report_error(std::string(error_kind_name(kind)), message);
}

void report_error(const std::string& kind, const std::string& message) {
  spdlog::error("{}", message);
  if (!json_wanted()) return;
  const nlohmann::json json = {{"error", {{"kind", kind}, {"message", message}}}};
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

void print_result(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fputc('\n', stdout) == EOF || std::fflush(stdout) != 0)
    throw Error(ErrorKind::Device, "Cannot write the results to stdout: it is closed or its disk is full.");
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<long>(std::ceil(std::max(0.0, seconds)));
  if (whole >= 3600) return print("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return print("%ld:%02ld", whole / 60, whole % 60);
}

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return print("%.2f GB", bytes / 1e9);
  if (bytes >= 1e6) return print("%.1f MB", bytes / 1e6);
  return print("%.1f kB", bytes / 1e3);
}

ConsoleProgress::ConsoleProgress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

ConsoleProgress::~ConsoleProgress() {
  clear();
}

void ConsoleProgress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

void ConsoleProgress::show(const std::string& line, bool worth_a_line) {
  if (quiet_ || (!terminal_ && !worth_a_line)) return;
  const std::string text = title_.empty() ? line : title_ + ": " + line;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", text.c_str());
    std::fflush(stderr);
    shown_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

void ConsoleProgress::on_event(const Event& event) {
  if (const auto* stage = std::get_if<StageProgress>(&event)) {
    const std::string name = std::string(stage_name(stage->stage)) + " " + stage->detail;
    show(describe(*stage), name != last_stage_);
    last_stage_ = name;
  } else if (const auto* layer = std::get_if<LayerProgress>(&event)) {
    std::string line = print("step %d of %d, layer %d of %d", layer->step + 1, layer->steps, layer->layer + 1, layer->layers);
    if (remaining_seconds_ > 0) {
      const std::chrono::duration<double> since = std::chrono::steady_clock::now() - remaining_at_;
      line += ", " + clock_text(remaining_seconds_ - since.count()) + " left";
    }
    show(line, false);
  } else if (const auto* step = std::get_if<StepFinished>(&event)) {
    remaining_seconds_ = step->remaining_seconds;
    remaining_at_ = std::chrono::steady_clock::now();
    const std::string note = note_ ? ", " + note_() : "";
    show(print("step %d of %d, %s, %.2f s, %s left%s", step->record.index + 1, step->steps, step_kind_name(step->record.kind),
               step->record.seconds, clock_text(step->remaining_seconds).c_str(), note.c_str()),
         true);
  }
}

}  // namespace ditscope::cli
