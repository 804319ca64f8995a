#include "app/cli/capture_options.h"

#include <algorithm>
#include <cstdio>

#include "app/cli/console.h"
#include "app/cli/output.h"
#include "app/cli/run_options.h"
#include "kernels/error.h"

namespace ditscope::cli {

void CaptureArguments::add_to(CLI::App& command) {
  command.add_option("--capture", capture_, "off, summary or full, with :FILE for a name of your own: record attention into a .ditcap file")
      ->capture_default_str()
      ->type_name("LEVEL[:FILE]");
  command.add_option("--capture-budget", budget_, "The capture never grows beyond this; 0: no limit")->capture_default_str()->type_name("SIZE");
  command.add_option("--capture-layers", layers_, "Layers whose q, k, v and exact maps are kept: none, all, every:N or 0,3-5 (default: all, where steps are given)")
      ->type_name("LIST");
  command.add_option("--capture-steps", steps_, "Steps whose q, k, v and exact maps are kept (default: all, where layers are given)")->type_name("LIST");
  command.add_option("--shadow", shadow_, "Steps at which the dense pass runs beside the sparse one, to measure what was lost; not part of timings")
      ->capture_default_str()
      ->type_name("LIST");
}

void CaptureArguments::check() {
  const std::size_t colon = capture_.find(':');
  options_.level = parse_capture_level(capture_.substr(0, colon));
  if (colon != std::string::npos) file_ = capture_.substr(colon + 1);
  options_.budget_bytes = parse_bytes(budget_);
  options_.layers = IndexSet(layers_.empty() && !steps_.empty() ? "all" : layers_);
  options_.steps = IndexSet(steps_.empty() && !layers_.empty() ? "all" : steps_);
  options_.shadow = IndexSet(shadow_);
  const bool asked = !layers_.empty() || !steps_.empty() || !options_.shadow.empty();
  if (!wanted() && asked)
    throw Error(ErrorKind::InvalidArgument, "--capture-layers, --capture-steps and --shadow need a capture. Add --capture summary or --capture full.");
  if (wanted() && !file_.empty()) require_writable(file_);
}

std::unique_ptr<CaptureWriter> CaptureArguments::open(const Request& request, const std::vector<MethodChoice>& methods,
                                                      const std::filesystem::path& output, const std::string& suffix, bool quiet) {
  if (!wanted()) return nullptr;
  options_.runs = static_cast<int>(methods.size());
  estimate_ = {};
  for (const MethodChoice& method : methods) {
    Request asked = request;
    asked.method = method;
    const CaptureEstimate one = estimate_capture(options_, Generator::capture_sizes(asked));
    for (const auto& [name, bytes] : one.parts) estimate_.parts[name] += bytes;
    estimate_.bytes += one.bytes;
  }
  std::filesystem::path file = file_;
  if (file.empty()) file = output_kind(output) == OutputKind::Folder ? output / "run.ditcap" : std::filesystem::path(output).replace_extension(".ditcap");
  if (!file_.empty() && !suffix.empty()) file = with_suffix(file, suffix);
  if (!quiet) {
    std::vector<std::pair<std::int64_t, std::string>> parts;
    for (const auto& [name, bytes] : estimate_.parts) parts.emplace_back(bytes, name);
    std::sort(parts.rbegin(), parts.rend());
    std::string most;
    for (std::size_t i = 0; i < std::min<std::size_t>(parts.size(), 3); ++i)
      most += (i ? ", " : "") + parts[i].second + " " + bytes_text(static_cast<double>(parts[i].first));
    std::string text = "capture " + file.string() + ": at most " + bytes_text(static_cast<double>(estimate_.bytes)) + " before compression (" + most + ")";
    if (options_.budget_bytes > 0) text += ", budget " + bytes_text(static_cast<double>(options_.budget_bytes));
    if (options_.budget_bytes > 0 && estimate_.bytes > options_.budget_bytes) text += "; what does not fit is left out and listed";
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  return std::make_unique<CaptureWriter>(file, options_);
}

std::function<std::string()> CaptureArguments::progress(const CaptureWriter* writer) const {
  if (!writer) return {};
  return [this, writer] {
    const CaptureTotals totals = writer->totals();
    const std::int64_t most = options_.budget_bytes > 0 ? std::min(options_.budget_bytes, estimate_.bytes) : estimate_.bytes;
    return "capture " + bytes_text(static_cast<double>(totals.bytes)) + " of at most " + bytes_text(static_cast<double>(most)) +
           (totals.gap_bytes > 0 ? ", left out " + bytes_text(static_cast<double>(totals.gap_bytes)) : "") + (totals.capturing ? "" : ", stopped");
  };
}

nlohmann::json CaptureArguments::close(CaptureWriter& writer, bool stopped) {
  writer.close(stopped ? "stopped: by the user" : "complete");
  const CaptureTotals totals = writer.totals();
  if (!totals.message.empty()) std::fprintf(stderr, "capture stopped: %s\n", totals.message.c_str());
  return {{"file", writer.file().string()},
          {"level", capture_level_name(options_.level)},
          {"estimate_bytes", estimate_.bytes},
          {"estimate", estimate_.parts},
          {"budget_bytes", options_.budget_bytes},
          {"bytes", totals.bytes},
          {"steps", totals.steps},
          {"gaps", totals.gaps},
          {"gap_bytes", totals.gap_bytes},
          {"message", totals.message}};
}

}  // namespace ditscope::cli
