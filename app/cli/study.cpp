#include <cstdio>
#include <memory>
#include <sstream>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "core/study/report.h"
#include "core/study/run.h"

namespace ditscope::cli {
namespace {

struct StudyOptions {
  study::Settings settings;
  std::string methods, ratios = "0.5,0.25,0.125,0.0625,0.03125";
  int size = 0;
  bool quick = false, report_only = false, no_ablations = false, quiet = false;
  std::filesystem::path output = "ditscope-study", report;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    const auto first = part.find_first_not_of(' '), last = part.find_last_not_of(' ');
    if (first != std::string::npos) parts.push_back(part.substr(first, last - first + 1));
  }
  return parts;
}

std::vector<double> ratios_of(const std::string& text) {
  std::vector<double> ratios;
  for (std::string part : split(text, ',')) {
    const bool percent = part.back() == '%';
    if (percent) part.pop_back();
    char* end = nullptr;
    const double value = std::strtod(part.c_str(), &end) / (percent ? 100 : 1);
    if (part.empty() || *end != '\0' || !(value > 0 && value <= 1))
      throw Error(ErrorKind::InvalidArgument, "expected kept ratios such as 0.5,0.125 or 50%,12.5%, got \"" + text + "\"; change --ratios");
    ratios.push_back(value);
  }
  if (ratios.empty()) throw Error(ErrorKind::InvalidArgument, "expected at least one kept ratio, got none; change --ratios");
  return ratios;
}

void run_study(StudyOptions& options) {
  study::Settings& settings = options.settings;
  settings.ratios = ratios_of(options.ratios);
  settings.methods = split(options.methods, ';');
  settings.ablations = !options.no_ablations;
  settings.height = settings.width = options.size;
  if (options.quick) {
    settings.prompts = std::min(settings.prompts, 2), settings.steps = 6;
    settings.frames = 17, settings.height = settings.width = 128;
    settings.other_prompts = settings.ablation_prompts = 1;
  }
  bool complete = true;
  if (!options.report_only) {
    std::string last;
    complete = study::run_claims(settings, options.output, Interrupt::control(), [&](const study::Progress& p) {
      const std::string line = std::to_string(p.done) + "/" + std::to_string(p.total) + " " + p.what;
      if (!options.quiet && line != last) std::fprintf(stderr, "%s\n", line.c_str());
      last = line;
    });
  }
  const study::Study study = study::Folder::read(options.output);
  const std::filesystem::path target = options.report.empty() ? options.output : options.report;
  study::write_report(study, options.output, target);
  print_result(json_wanted() ? study::summary_json(study) : study::summary_text(study) + "\n" + (target / "report.html").string());
  if (!complete) throw CLI::RuntimeError(kStopped);
}

}  // namespace

void add_study(CLI::App& app) {
  CLI::App* group = app.add_subcommand("study", "Run many methods on many prompts and write up what holds");
  group->require_subcommand(1);
  auto options = std::make_shared<StudyOptions>();
  study::Settings& s = options->settings;
  CLI::App* command = group->add_subcommand(
      "claims", "The claims of the papers in miniature: every method at matched kept ratios, against full attention of the same seed");
  command->add_option("--model", s.model, "Model folder trained on the captioned world (default: the bundled model)");
  command->add_option("--prompts", s.prompts, "Held-out captions, those of `evaluate`")->check(CLI::Range(1, 10000))->capture_default_str();
  command->add_option("--steps", s.steps, "Denoising steps")->check(CLI::Range(3, 1000))->capture_default_str();
  command->add_option("--size", options->size, "Height and width, px (default: the model's)")->check(CLI::Range(16, 4096));
  command->add_option("--frames", s.frames, "Pixel frames (default: the model's)");
  command->add_option("--methods", options->methods, "Methods separated by `;` (default: all of the catalog, adaspa+re-ttention, adaspa+rectified)");
  command->add_option("--ratios", options->ratios, "Kept ratios that methods are matched at")->capture_default_str();
  command->add_option("--ablation-prompts", s.ablation_prompts, "Prompts of the ablations")->check(CLI::Range(1, 10000))->capture_default_str();
  command->add_option("--other-prompts", s.other_prompts, "Prompts of methods that no claim is about")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command->add_flag("--no-ablations", options->no_ablations, "The grid alone");
  command->add_option("--seed", s.seed, "Noise seed of the first prompt; the next ones count up")->capture_default_str();
  command->add_option("--caption-seed", s.caption_seed, "Which captions are drawn")->capture_default_str();
  command->add_option("--dtype", s.dtype, "float32, mixed, bfloat16 or float16")->capture_default_str();
  command->add_option("--threads", s.threads, "0: all cores");
  command->add_flag("--quick", options->quick, "A small one: 2 prompts, 6 steps, 17 frames of 128 px");
  command->add_option("-o,--output", options->output, "Folder of the study; the same command goes on with what is there")->capture_default_str();
  command->add_option("--report", options->report, "Folder for report.html, summary.json and results.csv (default: the study's)");
  command->add_flag("--report-only", options->report_only, "Write up what there is, run nothing");
  command->add_flag("--quiet", options->quiet, "No progress");
  add_json_flag(*command);
  command->footer("Examples:\n"
                  "  ditscope-cli study claims -o study/\n"
                  "  ditscope-cli study claims --methods \"re-ttention;ditfastattn\" --ratios 6.25%,3.125% --prompts 4 -o study/\n"
                  "  ditscope-cli study claims --report-only -o study/ --report docs/study");
  command->callback([options] { run_study(*options); });
}

}  // namespace ditscope::cli
