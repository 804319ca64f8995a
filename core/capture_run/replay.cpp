#include "core/capture_run/replay.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/attention/session.h"
#include "core/capture/sha256.h"
#include "core/pipeline/denoise.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

at::Tensor tensor_of(const CaptureReader& capture, const CaptureArrayInfo& info) {
  const std::vector<std::uint8_t> bytes = capture.bytes(info);
  const CaptureTensor& h = info.header;
  at::ScalarType type = at::kFloat;
  if (h.dtype == "<u2" && h.encoding == "bf16")
    type = at::kBFloat16;
  else if (h.dtype == "<f2")
    type = at::kHalf;
  else if (h.dtype != "<f4" || h.encoding != "plain")
    throw Error(ErrorKind::Corrupt, "expected " + h.kind + " as floating numbers, got " + h.dtype + " " + h.encoding + "; record again");
  at::Tensor tensor = at::empty(h.shape, type);
  std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

std::vector<float> floats(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

/// Which parts of the environment are other ones than at the run's.
std::string differences(const std::string& then, int threads, const LoadedModel& model) {
  const auto json = nlohmann::json::parse(then, nullptr, false);
  std::string text;
  const auto compare = [&](const char* name, const std::string& now) {
    if (json.is_object() && json.contains(name) && json[name].is_string() && json[name] != now)
      text += "; " + std::string(name) + " was " + json[name].get<std::string>().substr(0, 60) + ", is " + now;
  };
  compare("kernel_instruction_set", available_instruction_sets().front());
  compare("torch_cpu_capability", at::get_cpu_capability());
  compare("device", model.device().str());
  if (json.is_object() && json.contains("threads") && json["threads"].is_number_integer() && json["threads"] != threads)
    text += "; it ran with " + json["threads"].dump() + " threads, this with " + std::to_string(threads);
  return text;
}

}  // namespace

AttentionOperands replay_call(LoadedModel& model, const Request& request, const CaptureReader& capture, int run_id, int step, int layer,
                              int branch, Watch& watch) {
  const CaptureRun run = capture.run(run_id);
  const std::optional<CaptureCall> recorded = capture.call(run_id, step, layer, branch);
  if (!recorded)
    throw Error(ErrorKind::NotFound, "Run " + std::to_string(run_id) + " holds no call of step " + std::to_string(step) + ", layer " +
                                         std::to_string(layer) + ", branch " + std::to_string(branch) + ". Choose a step that is complete.");
  int first = step;
  for (const CaptureStep& recorded_step : capture.steps(run_id))
    if (recorded_step.step == step) first = recorded_step.replay_from;

  watch.stage = "replaying step " + std::to_string(step + 1);
  const CogVideoXTransformer& transformer = model.transformer(watch);
  at::set_num_threads(request.threads);
  const auto scheduler = make_scheduler(model.configs().scheduler_json, request.scheduler);
  scheduler->set_timesteps(request.steps);
  const at::Tensor text = tensor_of(capture, capture.get(run_id, {"text_embedding", {}, {}, {}})).to(model.device());
  std::vector<Branch> branches{Branch::Conditional};
  if (text.size(0) == 2) branches = {Branch::Unconditional, Branch::Conditional};

  AttentionOperands o;
  at::Tensor rows;
  AttentionSession session(request.method, request.steps, [&](const LayerMeasure& m, const LayerCall& call, const BlockPlan&, const at::Tensor& out) {
    if (m.step != step || m.layer != layer || branch >= call.q.size(0)) return;
    o.heads = call.q.size(1), o.tokens = call.q.size(2), o.width = call.q.size(3);
    o.scale = call.scale;
    o.q = floats(call.q[branch]), o.k = floats(call.k[branch]), o.v = floats(call.v[branch]), o.out = floats(out[branch]);
    rows = out[branch];
  });
  const auto step_cache = make_step_cache(model.configs(), request);
  const DenoisingTask task{transformer, *scheduler, text, branches, request.guidance_scale, request.dynamic_cfg};
  for (int s = first; s <= step; ++s) {
    const at::Tensor latents = tensor_of(capture, capture.get(run_id, {"latents", s, {}, {}})).to(model.device());
    bool done = false;
    const auto on_layer = [&](int next, int layers) {
      watch.check();
      watch.sink.on_event(LayerProgress{s, request.steps, next, layers});
      return done = s == step && next > layer;
    };
    try {
      predict(task, latents, s, session, on_layer, step_cache.get());
    } catch (const Error& error) {
      if (!done || error.kind() != ErrorKind::Cancelled) throw;
    }
  }

  if (!rows.defined())
    throw Error(ErrorKind::Unsupported, "The replay left out layer " + std::to_string(layer) + " of step " + std::to_string(step + 1) +
                                            ", which the run computed: its step cache decided otherwise on this machine. Replay where it was recorded.");

  const CaptureArrayInfo ids = capture.get(run_id, {"row_ids", {}, {}, {}});
  const std::vector<std::uint8_t> bytes = capture.bytes(ids);
  at::Tensor index = at::empty({static_cast<std::int64_t>(bytes.size() / 4)}, at::kInt);
  std::memcpy(index.data_ptr(), bytes.data(), bytes.size());
  if (index.numel() == 0 || index.min().item<int>() < 0 || index.max().item<int>() >= o.tokens)
    throw Error(ErrorKind::Corrupt, "expected sampled rows within the tokens, got others; the capture is damaged, record it again");
  const at::Tensor sampled = rows.index_select(1, index.to(at::kLong).to(rows.device())).to(at::kCPU).contiguous();
  const auto* raw = static_cast<const std::uint8_t*>(sampled.const_data_ptr());
  o.source = "replayed";
  o.bit_identical = Sha256::hex(Sha256::of({raw, sampled.nbytes()})) == recorded->rows_sha256;
  o.note = o.bit_identical ? "the replay has the run's bits" : "the replay differs from the run" + differences(run.environment, request.threads, model);
  return o;
}

}  // namespace ditscope
