// Attention against LibTorch's scaled_dot_product_attention: one JSON row a case, the two interleaved (ABAB) in one process.
//
//   attention_bench [--case NAME] [--repetitions N] [--threads N]
//
// Row: case, dtype, isa, threads, shape, kept_ratio (pairs), kept_ratio_blocks (64 x 64 blocks), skipped_ratio, ms (median),
// p10_ms, p90_ms, baseline, baseline_ms, ratio (baseline / ours), max_error against the baseline or, where pairs are skipped,
// against LibTorch's masked attention in float32 of the same inputs.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/attention/window_plan.h"
#include "core/bridge/attention.h"
#include "kernels/block_sparse_attention.h"

namespace ditscope {
namespace {

struct Shape {
  std::int64_t heads, width;
  TokenLayout layout;
};

struct Case {
  std::string name;
  Shape shape;
  at::ScalarType type;
  std::shared_ptr<const BlockMask> mask;  ///< null: dense
  bool refresh = false;
};

double milliseconds(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

Shape tokens(std::int64_t heads, std::int64_t count, std::int64_t width) {
  Shape shape{heads, width, {}};
  shape.layout.rows = 1;
  shape.layout.columns = count;
  return shape;
}

Shape video(std::int64_t heads, std::int64_t width, std::int64_t text, std::int64_t frames, std::int64_t rows,
            std::int64_t columns, TokenOrder order) {
  return {heads, width, {text, true, frames, rows, columns, order}};
}

/// The same number of random key blocks for every query block.
std::shared_ptr<const BlockMask> random_blocks(std::int64_t tokens, int kept_blocks) {
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.lists = 1;
  d.block_offsets = {0};
  const int blocks = static_cast<int>((tokens + kBlockTokens - 1) / kBlockTokens);
  std::uint32_t state = 1;
  for (int m = 0; m < blocks; ++m) {
    std::vector<std::int32_t> row;
    while (static_cast<int>(row.size()) < kept_blocks) {
      state = state * 1664525u + 1013904223u;
      const auto block = static_cast<std::int32_t>((state >> 8) % static_cast<std::uint32_t>(blocks));
      if (std::find(row.begin(), row.end(), block) == row.end()) row.push_back(block);
    }
    std::sort(row.begin(), row.end());
    d.key_blocks.insert(d.key_blocks.end(), row.begin(), row.end());
    d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
  }
  return std::make_shared<const BlockMask>(d);
}

nlohmann::json run(const Case& c, int repetitions) {
  const std::int64_t count = c.shape.layout.tokens();
  at::manual_seed(1);
  LayerCall call;
  // As a model hands them over: (B,T,H,D) in memory, seen as (B,H,T,D).
  const auto draw = [&] { return at::randn({1, count, c.shape.heads, c.shape.width}).to(c.type).transpose(1, 2); };
  call.q = draw();
  call.k = draw();
  call.v = draw();
  call.scale = 1 / std::sqrt(static_cast<double>(c.shape.width));
  call.layout = c.shape.layout;
  const std::unique_ptr<const BlockMask> skipped = c.refresh ? std::make_unique<const BlockMask>(c.mask->complement()) : nullptr;
  at::Tensor out, expected;
  const auto ours = [&] {
    if (c.mask == nullptr) {
      out = dense_attention(call);
      return;
    }
    out = output_like(call.q);
    if (c.refresh)
      split_attention(call, 0, *c.mask, *skipped, false, true, out);
    else
      masked_attention(call, 0, *c.mask, {}, {}, out);
  };
  const auto peer = [&] { expected = DenseAttention().attend(call); };
  std::vector<double> our_ms, peer_ms;
  for (int i = 0; i < repetitions + 2; ++i) {
    const double a = milliseconds(ours), b = milliseconds(peer);
    if (i < 2) continue;  // both warm
    our_ms.push_back(a);
    peer_ms.push_back(b);
  }
  if (c.mask && !c.refresh) {
    LayerCall exact = call;
    exact.key_mask = at::ones({1, count}, at::kBool);  // takes the path of LibTorch operations
    expected = output_like(call.q);
    masked_attention(exact, 0, *c.mask, {}, {}, expected);
  }
  const double ours_median = quantile(our_ms, 0.5), peer_median = quantile(peer_ms, 0.5);
  const double kept = c.mask ? c.mask->kept_ratio() : 1;
  return {{"case", c.name},
          {"dtype", c.type == at::kFloat ? "float32" : "bfloat16"},
          {"isa", available_instruction_sets().front()},
          {"threads", at::get_num_threads()},
          {"shape", {{"heads", c.shape.heads}, {"tokens", count}, {"head_dim", c.shape.width}}},
          {"kept_ratio", kept},
          {"kept_ratio_blocks", c.mask ? c.mask->kept_ratio_blocks() : 1.0},
          {"skipped_ratio", 1 - kept},
          {"ms", ours_median},
          {"p10_ms", quantile(our_ms, 0.1)},
          {"p90_ms", quantile(our_ms, 0.9)},
          {"baseline", "libtorch scaled_dot_product_attention"},
          {"baseline_ms", peer_median},
          {"ratio", peer_median / ours_median},
          {"max_error", (out.to(at::kFloat) - expected.to(at::kFloat)).abs().max().item<float>()}};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto window = [](const Shape& shape) { return std::make_shared<const BlockMask>(window_mask(shape.layout, 1.0 / 32)); };
  const Shape square = tokens(8, 4096, 64), pixart = tokens(16, 4096, 72);
  const Shape bundled = video(6, 64, 32, 9, 16, 16, TokenOrder::PositionMajor);
  const Shape bundled_raster = video(6, 64, 32, 9, 16, 16, TokenOrder::FrameMajor);
  const Shape cogvideox = video(2, 64, 226, 13, 30, 45, TokenOrder::PositionMajor);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    all.push_back({"dense", square, type, nullptr});
    all.push_back({"blocks 2 of 64", square, type, random_blocks(4096, 2)});
    all.push_back({"blocks 8 of 64", square, type, random_blocks(4096, 8)});
    all.push_back({"image window", pixart, type, window(pixart)});
    all.push_back({"image dense", pixart, type, nullptr});
    all.push_back({"video dense", bundled, type, nullptr});
    all.push_back({"video window", bundled, type, window(bundled)});
    all.push_back({"video window, frame-major", bundled_raster, type, window(bundled_raster)});
    all.push_back({"video refresh", bundled, type, window(bundled), true});
    all.push_back({"cogvideox-2b window, 2 heads", cogvideox, type, window(cogvideox)});
  }
  return all;
}

}  // namespace
}  // namespace ditscope

int main(int argc, char** argv) {
  CLI::App app("Attention against LibTorch, interleaved; one JSON row a case");
  int repetitions = 15, threads = at::get_num_threads();
  std::string only;
  app.add_option("--repetitions", repetitions, "timed repetitions a case")->check(CLI::Range(1, 1000));
  app.add_option("--threads", threads, "threads of both sides")->check(CLI::Range(1, 1024));
  app.add_option("--case", only, "only cases whose name starts so");
  CLI11_PARSE(app, argc, argv);
  at::set_num_threads(threads);
  const c10::NoGradGuard inference;
  for (const ditscope::Case& c : ditscope::cases()) {
    if (c.name.rfind(only, 0) == 0) std::cout << ditscope::run(c, repetitions).dump() << std::endl;
  }
}
