#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/capture/capture_writer.h"
#include "core/pipeline/generator.h"

namespace ditscope::cli {

/// --capture and what goes with it, the same for `generate` and `compare`.
class CaptureArguments {
 public:
  void add_to(CLI::App& command);
  /// Reads what was given; call before anything runs. @throws Error{InvalidArgument}
  void check();
  bool wanted() const { return options_.level != CaptureOptions::Level::Off; }
  /// Opens the capture of one prompt and says on stderr what it will take at most.
  /// @param output  where the video goes, for the capture's default name
  /// @param suffix  keeps the captures of several prompts apart; may be empty
  std::unique_ptr<CaptureWriter> open(const Request& request, const std::vector<MethodChoice>& methods, const std::filesystem::path& output,
                                      const std::string& suffix, bool quiet);
  /// What says "capture 3.1 of at most 14.0 MB" while it records; empty without a writer. Both must outlive it.
  std::function<std::string()> progress(const CaptureWriter* writer) const;
  /// Closes it and says what became of it. @return JSON for the report
  nlohmann::json close(CaptureWriter& writer, bool stopped);

 private:
  std::string capture_ = "off", budget_ = "1GiB", layers_, steps_, shadow_ = "none";
  std::filesystem::path file_;
  CaptureOptions options_;
  CaptureEstimate estimate_;
};

}  // namespace ditscope::cli
