// Writes a capture as large models would leave it, of made-up numbers: for the paint times of docs/performance.md.
//   synthetic-capture cogvideox|hunyuan FILE
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>

#include "core/capture/capture_writer.h"
#include "kernels/error.h"

namespace {

using namespace ditscope;

struct Shape {
  const char* name;
  int text_tokens, frames, rows, columns, layers, heads, head_width, video_frames, height_px, width_px;
};
constexpr Shape kShapes[] = {{"cogvideox", 226, 13, 30, 45, 30, 30, 64, 49, 480, 720}, {"hunyuan", 256, 33, 45, 80, 60, 24, 128, 129, 720, 1280}};
constexpr int kSteps = 4, kRuns = 2, kMappedLayers = 2;

CaptureRun run_of(const Shape& s, int number) {
  CaptureRun run;
  run.name = run.method = number == 0 ? "full" : "window";
  run.branches = {"conditional"};
  run.dtype = "bfloat16";
  run.level = "full";
  run.steps = kSteps;
  run.prompt = "made-up numbers";
  run.frames = s.video_frames, run.height_px = s.height_px, run.width_px = s.width_px;
  run.grid_frames = s.frames, run.grid_rows = s.rows, run.grid_columns = s.columns, run.text_tokens = s.text_tokens;
  run.model = {s.name, "Synthetic", "{}", "0", s.layers, s.heads, s.head_width};
  run.kept_ratio_requested = run.kept_ratio_achieved = number == 0 ? 1 : 0.2;
  return run;
}

/// Light on diagonals, one a frame distance, as video maps have them.
CaptureTensor map_of(const Shape& s, std::int64_t tokens, std::int64_t block, int step, int layer, int heads, std::mt19937& random) {
  const std::vector<std::int64_t> edges = map_edges(s.text_tokens, true, tokens, block);
  const std::int64_t cells = static_cast<std::int64_t>(edges.size()) - 1;
  const double per_frame = static_cast<double>(cells) / s.frames;
  CaptureTensor map;
  map.kind = "map", map.step = step, map.layer = layer, map.branch = 0, map.block_tokens = static_cast<int>(block);
  map.dtype = "|u1", map.encoding = "log2", map.filter = "up";
  map.shape = {heads, cells, cells};
  map.values.resize(static_cast<std::size_t>(heads * cells * cells));
  std::uniform_real_distribution<float> noise(0.3F, 1.7F);
  for (int head = 0; head < heads; ++head) {
    const double width = 0.3 + 0.4 * head;
    for (std::int64_t q = 0; q < cells; ++q) {
      for (std::int64_t k = 0; k < cells; ++k) {
        const double distance = std::abs(std::remainder(static_cast<double>(q - k), per_frame)) / width;
        map.values[static_cast<std::size_t>((head * cells + q) * cells + k)] = noise(random) * static_cast<float>((std::exp(-distance) + 0.01) / static_cast<double>(cells));
      }
    }
  }
  return map;
}

std::shared_ptr<CapturePlan> plan_of(std::int64_t tokens, int band) {
  auto plan = std::make_shared<CapturePlan>();
  plan->tokens = plan->queries = plan->keys = tokens;
  const int blocks = static_cast<int>((tokens + 63) / 64), bytes = (blocks + 7) / 8;
  plan->q_blocks = plan->k_blocks = blocks;
  plan->block_bits.assign(static_cast<std::size_t>(blocks) * bytes, 0);
  for (int q = 0; q < blocks; ++q) {
    for (int k = std::max(0, q - band); k <= std::min(blocks - 1, q + band); ++k) {
      plan->block_bits[static_cast<std::size_t>(q) * bytes + k / 8] |= static_cast<std::uint8_t>(1 << k % 8);
      ++plan->kept_blocks;
    }
  }
  plan->kept_ratio = static_cast<double>(plan->kept_blocks) / (static_cast<double>(blocks) * blocks);
  return plan;
}

void add_layer(CaptureWriter& writer, const Shape& s, const CaptureRun& run, int number, int step, int layer,
               const std::vector<std::shared_ptr<CapturePlan>>& plans, std::mt19937& random) {
  const std::int64_t tokens = run.tokens(), coarse = map_block_tokens(s.text_tokens, true, tokens, 64);
  const bool sparse = number == 1 && step > 0;
  CaptureCall call;
  call.step = step, call.layer = layer, call.action = sparse ? "sparse" : "full";
  call.execute_ms = sparse ? 20 : 90;
  call.flops_dense = 100, call.flops_done = sparse ? 20 : 100;
  for (int head = 0; head < s.heads; ++head) {
    CaptureHead h;
    h.head = head;
    if (sparse) h.plan = plans[static_cast<std::size_t>(head) % plans.size()];
    h.kept_ratio_achieved = sparse ? h.plan->kept_ratio : 1;
    const double at = static_cast<double>(head * 7 + layer * 3 + step) / 97;
    h.recall = h.rho_true_mean = h.rho_true_p50 = sparse ? 0.6 + 0.4 * (at - std::floor(at)) : 1;
    h.rho_used_mean = *h.rho_true_mean + 0.02;
    h.error_ratio = h.error_l1_ratio = sparse ? 0.1 * (1 - *h.recall) : 0;
    h.lse_mean = h.lse_p50 = 9 + at;
    call.heads.push_back(h);
  }
  writer.add(call);
  writer.add(map_of(s, tokens, coarse, step, layer, s.heads, random));
  if (layer < kMappedLayers) writer.add(map_of(s, tokens, map_block_tokens(s.text_tokens, true, tokens, 512), step, layer, s.heads, random));
}

void write(const Shape& s, const std::string& file) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  options.budget_bytes = 0;
  CaptureWriter writer(file, options);
  std::mt19937 random(1);
  for (int number = 0; number < kRuns; ++number) {
    CaptureRun run = run_of(s, number);
    CaptureSizes sizes;
    sizes.steps = kSteps, sizes.layers = s.layers, sizes.branches = 1, sizes.heads = s.heads, sizes.head_width = s.head_width;
    sizes.tokens = run.tokens(), sizes.text_tokens = s.text_tokens;
    const int id = writer.begin_run(run, sizes);
    const int blocks = static_cast<int>(run.tokens() / 64);
    const std::vector<std::shared_ptr<CapturePlan>> plans{plan_of(run.tokens(), blocks / 10), plan_of(run.tokens(), blocks / 20)};
    for (int step = 0; step < kSteps; ++step) {
      for (int layer = 0; layer < s.layers; ++layer) {
        add_layer(writer, s, run, number, step, layer, plans, random);
        writer.drain();  // nothing may be dropped for speed
      }
      CaptureStep row;
      row.run_id = id;
      row.step = step;
      row.action = number == 1 && step > 0 ? "sparse" : "full";
      row.step_ms = 4000;
      row.attention_ms = row.action == std::string("sparse") ? 800 : 3000;
      row.kept_ratio = row.action == std::string("sparse") ? 0.2 : 1;
      writer.end_step(row);
    }
    run.run_id = id;
    run.state = "complete";
    run.total_ms = 4000.0 * kSteps;
    writer.end_run(run);
  }
  writer.close();
  std::printf("%s: %lld bytes, %d gaps\n", file.c_str(), static_cast<long long>(writer.totals().bytes), writer.totals().gaps);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Shape& shape : kShapes) {
    if (argc == 3 && std::strcmp(argv[1], shape.name) == 0) {
      try {
        write(shape, argv[2]);
        return 0;
      } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
      }
    }
  }
  std::fprintf(stderr, "usage: synthetic-capture cogvideox|hunyuan FILE\n");
  return 2;
}
