// inspect: the views of the window without a window: pictures, numbers, sweeps, summaries, and checks for a build server.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cli/capture_export.h"
#include "app/cli/capture_json.h"
#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/inspect_figure.h"
#include "app/cli/inspect_quantities.h"
#include "app/cli/ranges.h"
#include "kernels/error.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;
using views::InspectedRun;
using views::Inspection;

struct InspectOptions {
  std::vector<std::filesystem::path> captures;
  std::string run = "A", branch;
  std::optional<int> step, layer, head;
  FigureOptions figure;
  std::vector<std::string> assertions;
  std::filesystem::path model;
  bool replay = false, summary = false, list = false, quiet = false;
};

/// "A", "B" ... or a number from 0.
int run_index(const Inspection& inspection, const std::string& text) {
  for (int i = 0; i < static_cast<int>(inspection.runs().size()); ++i) {
    if (text == std::to_string(i) || text == std::string(1, inspection.run(i).letter)) return i;
  }
  std::string there;
  for (const InspectedRun& run : inspection.runs()) there += std::string(there.empty() ? "" : ", ") + run.letter + " (" + run.record.name + ")";
  throw Error(ErrorKind::InvalidArgument, "There is no run " + text + "; there are: " + there);
}

void expect_below(int value, int count, const char* name) {
  if (value < count) return;
  throw Error(ErrorKind::InvalidArgument, std::string("--") + name + " " + std::to_string(value) + ": this run has " + std::to_string(count) +
                                              ", counted from 0.");
}

void place_cursor(Inspection& inspection, const InspectOptions& o) {
  views::InspectCursor at;
  at.run = run_index(inspection, o.run);
  const InspectedRun& run = inspection.run(at.run);
  at.step = o.step.value_or(run.steps.empty() ? 0 : run.steps.back().step);
  at.layer = o.layer.value_or(run.first_layer);
  at.head = o.head.value_or(0);
  expect_below(at.step, run.record.steps, "step");
  expect_below(at.layer, run.record.model.layers, "layer");
  expect_below(at.head, run.record.model.heads, "head");
  at.branch = std::max(run.branch_of(o.branch.empty() ? "conditional" : o.branch), 0);
  if (!o.branch.empty() && run.branch_of(o.branch) < 0) {
    std::string there;
    for (const std::string& name : run.record.branches) there += (there.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::InvalidArgument, "There is no branch " + o.branch + "; there are: " + there);
  }
  inspection.set_cursor(at);
  std::vector<std::int64_t> tokens;
  for (const std::string& text : o.figure.lock) {
    for (const std::int64_t token : tokens_of(run, at.branch, text)) tokens.push_back(token);
  }
  inspection.set_locked(std::move(tokens));
}

std::string summary_of(const Inspection& inspection) {
  std::string text;
  for (const InspectedRun& run : inspection.runs()) {
    const CaptureRun& r = run.record;
    const auto figure = [](const std::optional<double>& value, double scale, const char* format) {
      char digits[32] = "not measured";
      if (value) std::snprintf(digits, sizeof digits, format, *value * scale);
      return std::string(digits);
    };
    text += (text.empty() ? "" : "\n") + std::string(1, run.letter) + "  " + r.name + ", " + r.state + ", " + std::to_string(run.steps.size()) + " of " +
            std::to_string(r.steps) + " steps\n   " +
            (r.model.class_name == "tensors" ? "q, k and v of a file" : "\"" + r.prompt + "\", seed " + r.seed) + "\n   " + r.model.name + ", " + std::to_string(r.tokens()) +
            " tokens, " + std::to_string(r.model.layers) + " layers of " + std::to_string(r.model.heads) + " heads\n   total " +
            figure(r.total_ms, 1e-3, "%.2f s") + ", attention " + figure(r.attention_ms, 1e-3, "%.2f s") + "; kept asked " +
            figure(r.kept_ratio_requested, 100, "%.1f %%") + ", sparse steps " +
            figure(r.kept_ratio_achieved, 100, "%.1f %%") + ", whole run " + figure(run.whole_run_kept_ratio(), 100, "%.1f %%");
  }
  return text;
}

/// The scalars of the cursor: the run, its step, the call and its heads.
Json json_of_cursor(const Inspection& inspection) {
  const views::InspectCursor& at = inspection.cursor();
  const InspectedRun& run = inspection.run(at.run);
  const CaptureReader reader(inspection.captures()[static_cast<std::size_t>(run.capture)]);
  const auto call = reader.call(run.record.run_id, at.step, at.layer, at.branch);
  const CaptureStep* step = run.step(at.step);
  return {{"capture", reader.file().string()},
          {"letter", std::string(1, run.letter)},
          {"cursor", {{"step", at.step}, {"layer", at.layer}, {"head", at.head}, {"branch", at.branch}}},
          {"run", json_of(run.record)},
          {"step", step ? json_of(*step) : Json()},
          {"call", call ? json_of(*call) : Json()}};
}

/// @return whether all hold
bool check(const Inspection& inspection, const InspectOptions& o, Json& outcomes, std::string& text) {
  const InspectedRun& run = inspection.run(inspection.cursor().run);
  const InspectedRun& reference = inspection.run(0);
  const CaptureReader reader(inspection.captures()[static_cast<std::size_t>(run.capture)]);
  const CaptureReader reference_reader(inspection.captures()[static_cast<std::size_t>(reference.capture)]);
  QuantityScope scope{o.step, o.layer, o.head, {}};
  if (!o.branch.empty()) scope.branch = inspection.cursor().branch;
  bool all = true;
  for (const std::string& written : o.assertions) {
    const Assertion assertion = parse_assertion(written);
    const double value = run_quantity(reader, run.record, reference_reader, reference.record.run_id, assertion.quantity, scope);
    const bool holds = assertion.holds(value);
    all = all && holds;
    outcomes.push_back({{"assertion", written}, {"value", value}, {"holds", holds}});
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.6g", value);
    text += (text.empty() ? "" : "\n") + std::string(holds ? "holds: " : "FAILS: ") + written + " (" + digits + ")";
  }
  return all;
}

void run_inspect(const InspectOptions& o) {
  Inspection inspection(Inspection::Loading::AtOnce);
  for (const std::filesystem::path& file : o.captures) inspection.open(file);
  // A sweep over steps or layers would run the model once for each of its pictures.
  if (o.figure.sweep.empty() || o.figure.sweep == "head" || o.replay) {
    offer_replay(inspection, o.model, o.quiet);
  } else {
    inspection.set_operands_source([](auto&&...) -> AttentionOperands {
      throw Error(ErrorKind::NotFound, "q and k were not captured here. With --replay a sweep has the model make them again.");
    });
  }
  place_cursor(inspection, o);
  const bool draws = !o.figure.output.empty() || !o.figure.data.empty();
  if (draws && o.figure.view.empty()) throw Error(ErrorKind::InvalidArgument, "Which view? Give --view; --list names them.");
  if (!draws && !o.figure.view.empty()) throw Error(ErrorKind::InvalidArgument, "Where to? Give -o FILE for the picture or --data FILE for the numbers.");
  std::string text;
  const auto say = [&](const std::string& more) { text += (text.empty() || more.empty() ? "" : "\n") + more; };
  Json document = json_wanted() ? json_of_cursor(inspection) : Json::object();
  if (o.list) say(list_views(inspection));
  if (o.summary || (!draws && o.assertions.empty() && !o.list)) say(summary_of(inspection));
  if (draws) say(write_figure(inspection, o.figure));
  Json outcomes = Json::array();
  std::string verdicts;
  const bool holds = check(inspection, o, outcomes, verdicts);
  say(verdicts);
  if (!o.assertions.empty()) document["assertions"] = outcomes;
  if (draws) document["output"] = o.figure.output.empty() ? o.figure.data.string() : o.figure.output.string();
  print_result(json_wanted() ? document.dump(2, ' ', false, Json::error_handler_t::replace) : text);
  if (!holds) throw CLI::RuntimeError(kAssertion);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto o = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "Draw the views of a capture, take their numbers out, check figures");
  command->add_option("CAPTURE", o->captures, "A .ditcap file; with two, the runs of the second follow those of the first")->expected(1, 2);
  command->add_option("--run", o->run, "Run: A, B ... or from 0")->capture_default_str()->type_name("RUN");
  command->add_option("--step", o->step, "Step, from 0 (default: the last)")->check(from_zero());
  command->add_option("--layer", o->layer, "Layer, from 0 (default: the first that was captured)")->check(from_zero());
  command->add_option("--head", o->head, "Head, from 0 (default: 0)")->check(from_zero());
  command->add_option("--branch", o->branch, "Guidance branch (default: conditional)")->type_name("NAME");
  command->add_option("--lock", o->figure.lock, "Lock a token: FRAME,ROW,COLUMN, its number, or a word of the prompt")->type_name("TOKEN");
  command->add_option("--view", o->figure.view, "What to draw; --list names the views")->type_name("ID");
  command->add_option("--set", o->figure.set, "A control of the view")->type_name("NAME=VALUE");
  command->add_option("-o,--output", o->figure.output, "x.png, x.svg or x.pdf; with --sweep x.mp4 or x.gif")->type_name("FILE");
  command->add_option("--data", o->figure.data, "The numbers behind the view: x.csv, x.npy, x.npz or x.safetensors")->type_name("FILE");
  command->add_option("--size", o->figure.size, "Width x height at 96 dpi")->capture_default_str()->type_name("WxH");
  command->add_option("--dpi", o->figure.dpi, "Dots per inch of a PNG: 192 has twice the pixels each way")->capture_default_str()->check(CLI::Range(24.0, 1200.0));
  command->add_option("--text-scale", o->figure.text_scale, "Size of text, gaps and lines")->capture_default_str()->check(CLI::Range(0.5, 4.0));
  command->add_flag("--light", o->figure.light, "Light colours");
  command->add_option("--sweep", o->figure.sweep, "A video over all steps, layers or heads")->check(CLI::IsMember({"step", "layer", "head"}));
  command->add_flag("--replay", o->replay, "A sweep over steps or layers is exact: the model makes q and k of each again, which takes its time");
  command->add_option("--fps", o->figure.fps, "Pictures a second of a sweep")->capture_default_str()->check(CLI::Range(0.25, 50.0));
  command->add_option("--assert", o->assertions, "QUANTITY>=NUMBER (or <=, >, <, ==, !=); exit code 8 where one fails")->type_name("TEXT");
  command->add_option("--model", o->model, "Model folder for a replay (default: where the run's lay)")->type_name("DIR");
  command->add_flag("--summary", o->summary, "What runs there are");
  command->add_flag("--list", o->list, "What views there are, and their controls");
  command->add_flag("--quiet", o->quiet, "No progress");
  add_json_flag(*command);
  command->require_subcommand(0, 1);
  add_diff(*command);
  command->callback([o, command] {
    if (!command->get_subcommands().empty()) return;
    if (o->captures.empty()) throw Error(ErrorKind::InvalidArgument, "Which capture? Give a .ditcap file.");
    run_inspect(*o);
  });
  command->footer(std::string("Examples:\n"
                              "  ditscope-cli inspect run.ditcap --view map --step 8 --layer 2 --head 1 -o map.png --dpi 192\n"
                              "  ditscope-cli inspect run.ditcap --view mask --run B --set order=kernel -o mask.svg --data mask.npz\n"
                              "  ditscope-cli inspect run.ditcap --view map --sweep step --fps 6 -o map.mp4\n"
                              "  ditscope-cli inspect run.ditcap --run B --assert 'psnr>=28' --assert 'recall_min>0.5' --json\n"
                              "  ditscope-cli inspect diff full.ditcap window.ditcap\n\n") +
                  kQuantityHelp + "\n\n" + kExitCodeHelp);
}

}  // namespace ditscope::cli
