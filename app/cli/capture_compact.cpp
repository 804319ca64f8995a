// capture compact: a smaller or a public copy of a capture.
#include "core/capture/capture_copy.h"

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cli/capture_export.h"
#include "app/cli/console.h"
#include "app/cli/print.h"
#include "core/capture/capture_reader.h"
#include "kernels/error.h"

namespace ditscope::cli {
namespace {

struct CompactOptions {
  std::filesystem::path file, output;
  std::string steps = "all", layers = "all";
  std::vector<std::string> without;
  bool redact = false;
};

/// Kinds of arrays that there are, so that a misspelt one is told.
void expect_kinds(const std::filesystem::path& file, const std::vector<std::string>& kinds) {
  const CaptureReader reader(file);
  for (const std::string& kind : kinds) {
    for (const CaptureRun& run : reader.runs()) reader.get(run.run_id, {kind, {}, {}, {}});
  }
}

void run_compact(const CompactOptions& o) {
  expect_kinds(o.file, o.without);
  CaptureCopyOptions options;
  options.steps = IndexSet(o.steps);
  options.layers = IndexSet(o.layers);
  options.without = o.without;
  options.redact = o.redact;
  const CaptureCopyReport report = copy_capture(o.file, o.output, options);
  std::string text = print("%s  %s, was %s", o.output.string().c_str(), bytes_text(static_cast<double>(report.bytes)).c_str(),
                           bytes_text(static_cast<double>(report.bytes_before)).c_str());
  for (const std::string& line : report.dropped) text += "\n  " + line;
  const nlohmann::json json = {{"file", o.output.string()}, {"bytes", report.bytes}, {"bytes_before", report.bytes_before}, {"dropped", report.dropped}};
  print_result(json_wanted() ? json.dump(2) : text);
}

}  // namespace

void add_compact(CLI::App& capture) {
  auto o = std::make_shared<CompactOptions>();
  CLI::App* command = capture.add_subcommand("compact", "Write a smaller copy, or one to give away");
  command->add_option("FILE", o->file, "A .ditcap file")->required();
  command->add_option("-o,--output", o->output, "The copy")->required()->type_name("FILE");
  command->add_flag("--redact", o->redact, "Empty prompts, words, notes, paths, users and hosts; drop the text embedding; says what it dropped");
  command->add_option("--steps", o->steps, "Steps whose calls and arrays stay: none, all, every:N or 0,3-5")->capture_default_str()->type_name("LIST");
  command->add_option("--layers", o->layers, "Layers whose calls and arrays stay")->capture_default_str()->type_name("LIST");
  command->add_option("--without", o->without, "Kinds of arrays that go: q,k,v,latents,preview,frames,map, ...")->delimiter(',')->type_name("KINDS");
  add_json_flag(*command);
  command->callback([o] { run_compact(*o); });
}

}  // namespace ditscope::cli
