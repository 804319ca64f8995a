#pragma once
// A capture of four steps, two layers and three heads whose values follow from their places.
#include <filesystem>
#include <limits>
#include <memory>
#include <vector>

#include "core/capture/capture_reader.h"
#include "core/capture/capture_writer.h"

namespace ditscope::test {

namespace fs = std::filesystem;

inline constexpr int kHeads = 3, kLayers = 2, kTokens = 11 + 2 * 8 * 8;

inline CaptureRun small_run() {
  CaptureRun run;
  run.name = run.method = "window";
  run.branches = {"unconditional", "conditional"};
  run.dtype = "float32";
  run.level = "summary";
  run.steps = 4;
  run.prompt = "a small red cat";
  run.seed = "18446744073709551615";
  run.grid_frames = 2, run.grid_rows = 8, run.grid_columns = 8, run.text_tokens = 11;
  run.token_order = "position_major";
  run.model = {"tiny", "T", "{}", "abc", kLayers, kHeads, 16};
  return run;
}

inline CaptureSizes small_sizes() {
  CaptureSizes sizes;
  sizes.steps = 4, sizes.layers = kLayers, sizes.branches = 2, sizes.heads = kHeads, sizes.head_width = 16;
  sizes.tokens = kTokens, sizes.text_tokens = 11, sizes.latent_bytes = 4096, sizes.dense_steps = 1;
  return sizes;
}

inline CaptureTensor array(const char* kind, int step, std::vector<std::int64_t> shape, float start, const char* dtype = "<f4",
                    const char* encoding = "plain", const char* filter = "none") {
  CaptureTensor t;
  t.kind = kind, t.step = step, t.dtype = dtype, t.encoding = encoding, t.filter = filter;
  t.shape = std::move(shape);
  std::int64_t count = 1;
  for (const std::int64_t size : t.shape) count *= size;
  for (std::int64_t i = 0; i < count; ++i) t.values.push_back(start + 0.01F * static_cast<float>(i % 977));
  return t;
}

inline std::shared_ptr<CapturePlan> small_plan() {
  auto plan = std::make_shared<CapturePlan>();
  plan->tokens = plan->queries = plan->keys = kTokens;
  plan->q_blocks = plan->k_blocks = 3;
  plan->block_bits = {0b011, 0b110, 0b111};
  plan->kept_blocks = 7;
  plan->partial_blocks = {1, 5};  // (0,1) and (1,2)
  plan->partial_bits.assign(2 * 64, 0xF0F0);
  plan->reasons = {5, 1, 0, 0, 2, 3, 5, 4, 6};
  return plan;
}

inline void add_step(CaptureWriter& writer, int step) {
  const auto plan = small_plan();
  for (int layer = 0; layer < kLayers; ++layer) {
    CaptureTensor map = array("map", step, {kHeads, 3, 3}, 0.1F, "|u1", "log2", "up");
    map.layer = layer, map.branch = 1, map.block_tokens = 64;
    writer.add(map);
    for (int branch = 0; branch < 2; ++branch) {
      CaptureCall call;
      call.step = step, call.layer = layer, call.branch = branch, call.action = "sparse";
      call.rows_bytes = {1, 2, 3};
      call.correct_ms = 4.5;
      for (int head = 0; head < kHeads; ++head) {
        CaptureHead h;
        h.head = head;
        h.plan = plan;
        h.recall = 0.5 + 0.1 * head;
        h.rho_used_mean = std::numeric_limits<double>::quiet_NaN();
        h.plan_ms = 0.25, h.execute_ms = 2, h.correct_ms = 0.5 + head, h.pv_left_out_ratio = 0.125;
        call.heads.push_back(h);
      }
      writer.add(call);
    }
  }
  CaptureTensor latents = array("latents", step + 1, {1, 2, 4, 8, 16}, static_cast<float>(step));
  latents.essential = latents.may_repeat = true;
  writer.add(latents);
  CaptureStep row;
  row.step = step;
  row.timestep = 999 - step;
  row.step_ms = 12.5;
  writer.end_step(row);
}

inline void write_capture(const fs::path& file, int steps = 4, int runs = 1) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Summary;
  CaptureWriter writer(file, options);
  for (int r = 0; r < runs; ++r) {
    CaptureRun run = small_run();
    writer.begin_run(run, small_sizes());
    for (int step = 0; step < steps; ++step) add_step(writer, step);
    run.state = "complete";
    run.total_ms = 100;
    writer.end_run(run);
  }
  writer.close();
}

}  // namespace ditscope::test
