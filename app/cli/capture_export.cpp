#include "app/cli/capture_export.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cli/console.h"
#include "app/cli/interrupt.h"
#include "app/cli/ranges.h"
#include "core/capture/capture_reader.h"
#include "core/capture/exact_attention.h"
#include "core/files/array_file.h"
#include "core/files/atomic_file.h"
#include "core/pipeline/generator.h"
#include "kernels/error.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

struct ExportOptions {
  std::filesystem::path file, output, model;
  std::string quantity, source;
  int run = 1;
  std::optional<int> step, layer, branch, head;
  std::optional<std::int64_t> token;
  bool quiet = false;
};

/// What goes out: numbers of a shape, and what they are.
struct Exported {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  Json about;
};

/// JSON has no NaN and no infinity: they become null.
Json number(float value) { return std::isfinite(value) ? Json(value) : Json(); }

int needed(const std::optional<int>& value, const char* name, const std::string& quantity) {
  if (value) return *value;
  throw Error(ErrorKind::InvalidArgument, "The quantity " + quantity + " needs --" + name + ". Give a number from 0.");
}

Exported heads_table(const CaptureReader& reader, const ExportOptions& o) {
  Exported out;
  Json entries = Json::array();
  for (const auto& value : reader.head_values(o.run, o.quantity, o.step)) {
    if ((o.layer && value.layer != *o.layer) || (o.branch && value.branch != *o.branch) || (o.head && value.head != *o.head)) continue;
    entries.push_back({value.step, value.layer, value.branch, value.head});
    out.values.push_back(static_cast<float>(value.value));
  }
  if (out.values.empty()) throw Error(ErrorKind::NotFound, "No call of this capture is at that step, layer, branch and head. `capture info` lists what there is.");
  out.shape = {static_cast<std::int64_t>(out.values.size())};
  out.about = {{"entries", entries}, {"entries_are", {"step", "layer", "branch", "head"}}};
  return out;
}

/// An exact row: from stored q and k, or else by replaying the step.
Exported exact_row(const CaptureReader& reader, const ExportOptions& o) {
  const int step = needed(o.step, "step", o.quantity), layer = needed(o.layer, "layer", o.quantity);
  const int branch = needed(o.branch, "branch", o.quantity), head = needed(o.head, "head", o.quantity);
  if (!o.token) throw Error(ErrorKind::InvalidArgument, "The quantity row needs --token: the query token, in the order of the run's tokens.");
  AttentionOperands operands;
  if (o.model.empty() && reader.find(o.run, {"q", step, layer, branch})) {
    operands = stored_operands(reader, o.run, step, layer, branch);
  } else {
    Generator generator;
    ConsoleProgress progress(o.quiet);
    operands = generator.replay(reader, o.run, step, layer, branch, o.model, progress, Interrupt::control());
  }
  std::vector<float> sums;
  Exported out;
  out.values = attention_rows(operands, head, {*o.token}, &sums);
  out.shape = {operands.tokens};
  out.about = {{"source", operands.source}, {"bit_identical", operands.bit_identical}, {"note", operands.note}, {"log_sum_exp", sums[0]}};
  return out;
}

Exported mask_of(const CaptureReader& reader, const ExportOptions& o) {
  const auto call = reader.call(o.run, needed(o.step, "step", o.quantity), needed(o.layer, "layer", o.quantity), needed(o.branch, "branch", o.quantity));
  const int head = needed(o.head, "head", o.quantity);
  if (!call || head < 0 || head >= static_cast<int>(call->heads.size()))
    throw Error(ErrorKind::NotFound, "No call of this capture is at that step, layer, branch and head. `capture info` lists what there is.");
  const CaptureRun run = reader.run(o.run);
  const auto plan = reader.plan(call->heads[static_cast<std::size_t>(head)].plan_id, run.tokens());
  Exported out;
  if (o.token) {
    if (*o.token < 0 || *o.token >= run.tokens()) throw Error(ErrorKind::InvalidArgument, "Tokens are 0 to " + std::to_string(run.tokens() - 1) + ".");
    for (const std::uint8_t kept : plan->row(*o.token)) out.values.push_back(kept);
    out.shape = {run.tokens()};
  } else {
    const auto edges = map_edges(run.text_tokens, run.text_first, run.tokens(), 64);
    out.values = plan->kept_ratios(edges);
    out.shape = {static_cast<std::int64_t>(edges.size()) - 1, static_cast<std::int64_t>(edges.size()) - 1};
    out.about = {{"edges", edges}};
  }
  out.about["kept_ratio"] = plan->dense() ? 1.0 : plan->kept_ratio;
  return out;
}

Exported array_of(const CaptureReader& reader, const ExportOptions& o) {
  std::vector<CaptureArrayInfo> found = reader.arrays(o.run, {o.quantity, o.step, o.layer, o.branch});
  if (!o.source.empty()) std::erase_if(found, [&](const CaptureArrayInfo& info) { return info.header.source != o.source; });
  if (found.empty()) {
    reader.get(o.run, {o.quantity, o.step, o.layer, o.branch});  // says what is there
    throw Error(ErrorKind::NotFound, "Of this quantity there is none with the source " + o.source + ".");
  }
  // Measured of every row first, then of some.
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return (a.header.source != "sampled") > (b.header.source != "sampled"); });
  const CaptureArrayInfo& info = found.front();
  const CaptureTensor& h = info.header;
  Exported out;
  if (o.head && h.layer >= 0) {
    out.values = reader.values(info, *o.head, 1);
    out.shape.assign(h.shape.begin() + 1, h.shape.end());
    if (out.shape.empty()) out.shape = {1};
  } else {
    out.values = reader.values(info);
    out.shape = h.shape;
  }
  out.about = {{"step", h.step}, {"layer", h.layer}, {"branch", h.branch}, {"source", h.source}, {"block_tokens", h.block_tokens}, {"matches", found.size()}};
  return out;
}

void run_export(const ExportOptions& o) {
  const std::string ending = o.output.extension().string();
  if (!o.output.empty() && ending != ".safetensors" && ending != ".json")
    throw Error(ErrorKind::InvalidArgument, "Nothing here writes \"" + ending + "\". Give a name that ends in .safetensors or .json.");
  const CaptureReader reader(o.file);
  const auto& columns = CaptureReader::head_columns();
  const Exported out = o.quantity == "row"    ? exact_row(reader, o)
                       : o.quantity == "mask" ? mask_of(reader, o)
                       : std::find(columns.begin(), columns.end(), o.quantity) != columns.end() ? heads_table(reader, o)
                                                                                               : array_of(reader, o);
  Json json = {{"quantity", o.quantity}, {"run", o.run}, {"shape", out.shape}, {"about", out.about}};
  if (ending == ".safetensors") {
    write_safetensors(o.output, {{o.quantity, out.shape, out.values.data()}},
                      {{"about", out.about.dump()}, {"capture", o.file.filename().string()}});
  } else {
    Json values = Json::array();
    for (const float value : out.values) values.push_back(number(value));
    json["values"] = std::move(values);
  }
  if (ending == ".json") write_file(o.output, json.dump());
  if (o.output.empty()) {
    print_result(json.dump());
  } else {
    json.erase("values");
    json["output"] = o.output.string();
    print_result(json_wanted() ? json.dump(2) : o.quantity + " " + Json(out.shape).dump() + " -> " + o.output.string());
  }
}

}  // namespace

void add_export(CLI::App& capture) {
  auto o = std::make_shared<ExportOptions>();
  CLI::App* command = capture.add_subcommand("export", "Take a quantity out as JSON or safetensors");
  command->add_option("FILE", o->file, "A .ditcap file")->required();
  command
      ->add_option("--quantity", o->quantity,
                   "map, lse_full, log_rho, log_rho_used, latents, preview, frames, text_embedding, q, k, v; mask (kept share by cell, or of one "
                   "--token); row (exact attention of a --token); or a figure of heads: recall, rho_true_mean, error_ratio, lse_mean, ...")
      ->required()
      ->type_name("NAME");
  command->add_option("--run", o->run, "Run, from 1")->capture_default_str()->check(above_zero());
  command->add_option("--step", o->step, "Step, from 0")->check(from_zero());
  command->add_option("--layer", o->layer, "Layer, from 0")->check(from_zero());
  command->add_option("--branch", o->branch, "Guidance branch, from 0")->check(from_zero());
  command->add_option("--head", o->head, "Head, from 0")->check(from_zero());
  command->add_option("--token", o->token, "Query token, from 0, in the run's token order")->check(from_zero());
  command->add_option("--source", o->source, "exact, shadow or sampled (default: of every row before of some)")->type_name("NAME");
  command->add_option("--model", o->model, "Model folder for a replay (default: where the run's lay)")->type_name("DIR");
  command->add_option("-o,--output", o->output, "x.safetensors or x.json (default: JSON on stdout)")->type_name("FILE");
  command->add_flag("--quiet", o->quiet, "No progress");
  add_json_flag(*command);
  command->callback([o] { run_export(*o); });
}

}  // namespace ditscope::cli
