#pragma once
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>

#include "core/capture/capture_writer.h"

namespace ditscope::views {

/// What a made-up capture holds: every value is a function of its place, so that tests know what must show.
struct SyntheticCapture {
  int layers = 2, heads = 3, steps = 2, head_width = 8;
  int frames = 3, rows = 4, columns = 5, text_tokens = 7;
  bool text_first = true, position_major = false, operands = false, sparse = true;
  std::int64_t block_tokens = 64;
  float operand_phase = 0;  ///< other q, k and v
  std::string words = "[]";  ///< of the prompt, as captures have them
  /// Share of key cell n in the softmax of query cell m.
  std::function<float(int layer, int head, int m, int n)> share = [](int layer, int head, int m, int n) {
    return 1e-3F * static_cast<float>(1 + (layer * 7 + head * 3 + m * 5 + n * 2) % 97);
  };
  std::int64_t tokens() const { return text_tokens + std::int64_t{frames} * rows * columns; }
};

/// A mask of blocks near the diagonal and along text, reasons said.
inline std::shared_ptr<CapturePlan> diagonal_plan(std::int64_t tokens, int reach) {
  auto plan = std::make_shared<CapturePlan>();
  plan->tokens = plan->queries = plan->keys = tokens;
  plan->q_blocks = plan->k_blocks = static_cast<int>((tokens + 63) / 64);
  const std::size_t row_bytes = (static_cast<std::size_t>(plan->k_blocks) + 7) / 8;
  plan->block_bits.assign(static_cast<std::size_t>(plan->q_blocks) * row_bytes, 0);
  plan->reasons.assign(static_cast<std::size_t>(plan->q_blocks) * plan->k_blocks, 0);
  double pairs = 0;
  const auto size = [&](int block) { return std::min<std::int64_t>(64, tokens - std::int64_t{block} * 64); };
  for (int m = 0; m < plan->q_blocks; ++m) {
    for (int n = 0; n < plan->k_blocks; ++n) {
      if (std::abs(m - n) > reach && n != 0) continue;
      plan->block_bits[static_cast<std::size_t>(m) * row_bytes + static_cast<std::size_t>(n) / 8] |= static_cast<std::uint8_t>(1 << (n % 8));
      plan->reasons[static_cast<std::size_t>(m) * plan->k_blocks + n] = static_cast<std::uint8_t>(n == 0 ? KeepReason::Sink : KeepReason::Window);
      ++plan->kept_blocks;
      pairs += static_cast<double>(size(m)) * static_cast<double>(size(n));
    }
  }
  plan->kept_ratio = pairs / (static_cast<double>(tokens) * static_cast<double>(tokens));
  return plan;
}

inline void write_synthetic(const std::filesystem::path& file, const SyntheticCapture& s) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  options.budget_bytes = 0;
  CaptureWriter writer(file, options);
  CaptureRun run;
  run.name = run.method = "synthetic";
  run.branches = {"conditional"};
  run.dtype = "float32";
  run.level = "full";
  run.steps = s.steps;
  run.frames = s.frames, run.height_px = s.rows * 16, run.width_px = s.columns * 16;
  run.prompt = "a red ball";
  run.words = s.words;
  run.grid_frames = s.frames, run.grid_rows = s.rows, run.grid_columns = s.columns, run.text_tokens = s.text_tokens, run.text_first = s.text_first;
  run.token_order = s.position_major ? "position_major" : "frame_major";
  run.model = {"synthetic", "T", "{}", "abc", s.layers, s.heads, s.head_width};
  CaptureSizes sizes;
  sizes.steps = s.steps, sizes.layers = s.layers, sizes.branches = 1, sizes.heads = s.heads, sizes.head_width = s.head_width;
  sizes.tokens = s.tokens(), sizes.text_tokens = s.text_tokens;
  writer.begin_run(run, sizes);
  const auto cells = static_cast<int>(map_edges(s.text_tokens, s.text_first, s.tokens(), s.block_tokens).size()) - 1;
  const auto plan = s.sparse ? diagonal_plan(s.tokens(), 1) : nullptr;
  for (int step = 0; step < s.steps; ++step) {
    for (int layer = 0; layer < s.layers; ++layer) {
      CaptureTensor map;
      map.kind = "map", map.step = step, map.layer = layer, map.branch = 0, map.block_tokens = static_cast<int>(s.block_tokens);
      map.dtype = "<f4", map.shape = {s.heads, cells, cells};
      map.values.reserve(static_cast<std::size_t>(s.heads) * cells * cells);
      for (int head = 0; head < s.heads; ++head)
        for (int m = 0; m < cells; ++m)
          for (int n = 0; n < cells; ++n) map.values.push_back(s.share(layer, head, m, n));
      writer.add(std::move(map));
      for (const char* kind : {"q", "k", "v"}) {
        if (!s.operands) break;
        CaptureTensor tensor;
        tensor.kind = kind, tensor.step = step, tensor.layer = layer, tensor.branch = 0;
        tensor.dtype = "<f4", tensor.shape = {s.heads, s.tokens(), s.head_width};
        const std::int64_t count = s.heads * s.tokens() * s.head_width;
        for (std::int64_t i = 0; i < count; ++i) tensor.values.push_back(std::sin(0.37F * static_cast<float>(i % 9973) + static_cast<float>(kind[0]) + s.operand_phase * static_cast<float>(i % 7)));
        writer.add(std::move(tensor));
      }
      CaptureCall call;
      call.step = step, call.layer = layer, call.branch = 0, call.action = s.sparse ? "sparse" : "full";
      for (int head = 0; head < s.heads; ++head) {
        CaptureHead h;
        h.head = head;
        h.plan = plan;
        h.recall = (layer * s.heads + head) % 5 == 0 ? 0.5 : 0.9;
        h.kept_ratio_achieved = plan ? plan->kept_ratio : 1;
        h.kept_ratio_requested = 0.1;
        h.error_l1_ratio = 0.01 * (1 + layer + head);
        h.rho_true_mean = 0.8;
        h.age_steps = step;
        call.heads.push_back(h);
      }
      writer.add(std::move(call));
    }
    CaptureStep row;
    row.step = step;
    writer.end_step(row);
  }
  run.run_id = 1;
  run.state = "complete";
  writer.end_run(run);
  writer.close();
}

}  // namespace ditscope::views
