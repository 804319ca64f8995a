#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <sstream>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/output.h"
#include "app/cli/ranges.h"
#include "core/pipeline/attend.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

struct AttendOptions {
  AttendRequest request;
  std::string method = "full", branches;
  std::vector<std::int64_t> grid;
  bool text_first = false, text_last = false;
};

/// "2": so many equal parts of the batch, unconditional first; or a name for each batch element.
std::vector<bool> read_branches(const std::string& text, std::int64_t batch) {
  const auto refuse = [&] {
    throw Error(ErrorKind::InvalidArgument, "expected 1, 2, or a list such as uncond,cond with a branch for each of " +
                                                std::to_string(batch) + " batch elements, got \"" + text + "\"; change --branches");
  };
  std::vector<bool> conditional;
  if (text.empty() || text == "1") return conditional;
  if (text == "2") {
    if (batch % 2 != 0) refuse();
    for (std::int64_t b = 0; b < batch; ++b) conditional.push_back(b * 2 >= batch);
    return conditional;
  }
  std::stringstream list(text);
  for (std::string name; std::getline(list, name, ',');) {
    if (name == "cond" || name == "conditional")
      conditional.push_back(true);
    else if (name == "uncond" || name == "unconditional")
      conditional.push_back(false);
    else
      refuse();
  }
  if (static_cast<std::int64_t>(conditional.size()) != batch) refuse();
  return conditional;
}

double mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// (B*H) -> B lists of H.
Json by_branch(const std::vector<double>& values, std::int64_t batch) {
  Json rows = Json::array();
  const auto heads = static_cast<std::ptrdiff_t>(values.size()) / std::max<std::int64_t>(batch, 1);
  for (std::int64_t b = 0; b < batch && heads > 0; ++b)
    rows.push_back(std::vector<double>(values.begin() + b * heads, values.begin() + (b + 1) * heads));
  return rows;
}

Json json_of(const AttendResult& result) {
  Json parameters = Json::object(), steps = Json::array();
  for (const auto& [key, value] : result.method.parameters)
    parameters[key] = std::visit([](const auto& v) { return Json(v); }, value);
  const std::int64_t batch = result.shape[1];
  for (const AttendStep& s : result.steps) {
    Json step = {{"step", s.step},
                 {"kind", s.kind},
                 {"kept_ratio_requested", s.kept_ratio_requested},
                 {"kept_ratio_achieved", s.kept_ratio_achieved},
                 {"kept_ratio_blocks", s.kept_ratio_blocks},
                 {"seconds", s.seconds},
                 {"plan_seconds", s.plan_seconds},
                 {"execute_seconds", s.execute_seconds},
                 {"correct_seconds", s.correct_seconds},
                 {"method_bytes", s.method_bytes},
                 {"measured_rows", s.measured_rows},
                 {"recall", by_branch(s.recall, batch)},
                 {"relative_l2", by_branch(s.relative_l2, batch)},
                 {"relative_l1", by_branch(s.relative_l1, batch)},
                 {"cosine_error", by_branch(s.cosine_error, batch)},
                 {"log_sum_exp", by_branch(s.log_sum_exp, batch)}};
    if (!s.rho_used.empty()) step["rho_used"] = by_branch(s.rho_used, batch);
    if (!s.row_mass.empty()) step["row_mass"] = by_branch(s.row_mass, batch);
    if (!s.pv_left_out_ratio.empty()) step["pv_left_out_ratio"] = by_branch(s.pv_left_out_ratio, batch);
    steps.push_back(step);
  }
  return {{"method", result.method.key}, {"parameters", parameters}, {"shape", result.shape}, {"steps", steps}};
}

std::string text_of(const AttendResult& result) {
  std::string text = "step  kind     kept asked  kept  recall  rel. L1  cosine error  seconds";
  for (const AttendStep& s : result.steps) {
    char line[160];
    std::snprintf(line, sizeof line, "\n%4d  %-8s %9.2f%% %6.2f%%  %.4f  %.5f  %12.3g  %.4f", s.step, s.kind.c_str(),
                  100 * s.kept_ratio_requested, 100 * s.kept_ratio_achieved, mean(s.recall), mean(s.relative_l1),
                  mean(s.cosine_error), s.seconds);
    text += line;
  }
  return text;
}

void run_attend(AttendOptions& options) {
  AttendRequest& request = options.request;
  if (options.text_first && options.text_last)
    throw Error(ErrorKind::InvalidArgument, "expected --text-first or --text-last, got both; leave one out");
  request.text_first = !options.text_last;
  request.frames = options.grid.at(0);
  request.rows = options.grid.at(1);
  request.columns = options.grid.at(2);
  request.method = parse_method_choice(options.method);
  for (const std::filesystem::path& file : {request.out, request.capture})
    if (!file.empty()) require_writable(file);
  request.conditional = read_branches(options.branches, attend_shape(request.tensors).at(1));
  const AttendResult result = attend_file(request, [](std::int64_t) { return Interrupt::control().stop_requested() == RunControl::Stop::None; });
  print_result(json_wanted() ? json_of(result).dump(2) : text_of(result));
}

}  // namespace

void add_attend(CLI::App& app) {
  auto options = std::make_shared<AttendOptions>();
  AttendRequest& request = options->request;
  CLI::App* command = app.add_subcommand("attend", "Run a method on q, k and v from a file");
  command
      ->add_option("--tensors", request.tensors,
                   "Safetensors with `q`, `k`, `v` (S,B,H,T,D): S consecutive steps of one layer, after norms and positions")
      ->required()
      ->type_name("FILE");
  command->add_option("--method", options->method, "NAME[:key=value,...] or PLAN+CORRECTION[:...], see `ditscope-cli methods`")
      ->capture_default_str()
      ->type_name("METHOD");
  command->add_option("--out", request.out, "Write safetensors `out` (S,B,H,T,D), `lse` (S,B,H,T), `kept` (S,B,H,M,N)")
      ->type_name("FILE");
  command->add_option("--capture", request.capture, "Write a capture of all steps, every row measured: `ditscope-cli inspect` and the window open it")
      ->type_name("FILE");
  command->add_option("--grid", options->grid, "Frames, rows and columns of the visual tokens, columns running fastest")
      ->required()
      ->delimiter(',')
      ->expected(3)
      ->type_name("F,Y,X");
  command->add_option("--text-tokens", request.text_tokens, "Text tokens beside the grid")->capture_default_str()->type_name("N");
  command->add_flag("--text-first", options->text_first, "Text comes before the visual tokens (the default)");
  command->add_flag("--text-last", options->text_last, "Text comes after the visual tokens");
  command
      ->add_option("--branches", options->branches,
                   "Guidance branches in the batch: 1, 2 (first half unconditional), or a list such as uncond,cond")
      ->type_name("N|LIST");
  command->add_option("--first-step", request.first_step, "Number of the first step, from 0")->capture_default_str()->type_name("N");
  command->add_option("--total-steps", request.total_steps, "Steps of the whole run (default: up to the last of the file)")
      ->check(above_zero())
      ->type_name("N");
  command->add_option("--layer", request.layer, "Number of the layer, from 0")->capture_default_str()->type_name("N");
  command->add_option("--layers", request.layers, "Layers of the whole model")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--scale", request.scale, "Logits are scale * q.k (default: 1/sqrt(D))")
      ->check(above_zero())
      ->type_name("X");
  command->add_option("--measured-rows", request.measured_rows, "Query rows held against full attention")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--memory-budget", request.memory_budget_bytes,
                   "The most that the method may remember between steps, such as 512MB (default: no limit)")
      ->transform(CLI::AsSizeValue(true))
      ->type_name("SIZE");
  command->add_option("--threads", request.threads, "CPU threads (default: all cores)")->check(thread_count())->type_name("N");
  add_json_flag(*command);
  command->footer(std::string("Examples:\n"
                              "  ditscope-cli attend --tensors qkv.safetensors --grid 13,30,45 --text-tokens 226 \\\n"
                              "      --method adaspa:kept_ratio=0.1,search_steps=10/30 --first-step 8 --total-steps 50 --out out.safetensors\n"
                              "  ditscope-cli attend --tensors qkv.safetensors --grid 1,64,64 --method re-ttention --json\n\n") +
                  kExitCodeHelp);
  command->callback([options] { run_attend(*options); });
}

}  // namespace ditscope::cli
