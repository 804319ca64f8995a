// Times the attention kernels for GPUs beside LibTorch's, interleaved: one JSON row a case, as docs/gpu.md describes it. Times
// are those of CUDA events, medians; ceilings of the device (matrix products, copies) come first and stand in every row.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/attention/window_plan.h"
#include "core/bridge/device.h"
#include "kernels/error.h"
#include "tests/gpu/kernel_case.h"

namespace ditscope {
namespace {

using nlohmann::json;

struct Options {
  int repetitions = 30, warmups = 5;
  double seconds = 100;
  std::string only;
};

struct Shape {
  std::string name;
  std::int64_t heads, tokens, width;
};

class Events {
 public:
  Events() {
    cudaEventCreate(&begin_);
    cudaEventCreate(&end_);
  }
  ~Events() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  double milliseconds(const std::function<void()>& work) {
    cudaEventRecord(begin_, nullptr);
    work();
    cudaEventRecord(end_, nullptr);
    if (cudaEventSynchronize(end_) != cudaSuccess) throw Error(ErrorKind::Device, cudaGetErrorString(cudaGetLastError()));
    float time = 0;
    cudaEventElapsedTime(&time, begin_, end_);
    return time;
  }

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

/// Runs all in turn, so that clocks and caches treat them alike. @return times of each
std::vector<std::vector<double>> interleaved(const std::vector<std::function<void()>>& works, const Options& options) {
  Events events;
  std::vector<std::vector<double>> times(works.size());
  for (int round = -options.warmups; round < options.repetitions; ++round) {
    for (std::size_t i = 0; i < works.size(); ++i) {
      const double time = events.milliseconds(works[i]);
      if (round >= 0) times[i].push_back(time);
    }
  }
  return times;
}

/// Several inputs, together more than the L2 cache, taken in turn.
struct Inputs {
  std::vector<at::Tensor> q, k, v, out, residual;
  at::Tensor log_sum_exp, log_sum_exp_kept, row_scale;
  std::size_t next = 0;
  Inputs(const Shape& s, at::ScalarType type) {
    const auto like = at::TensorOptions(type).device(at::kCUDA);
    const double bytes = 3.0 * s.heads * s.tokens * s.width * 2;
    const int sets = std::clamp(static_cast<int>(240e6 / bytes) + 1, 1, 4);
    for (int i = 0; i < sets; ++i) {
      const auto heads = [&] {
        return at::randn({s.tokens, s.heads, s.width}, like).transpose(0, 1);
      };  // (H,T,D), as models lay it out
      q.push_back(heads());
      k.push_back(heads());
      v.push_back(heads());
      residual.push_back(heads());
      out.push_back(at::full_like(q.back(), 777.0));
    }
    const auto floats = like.dtype(at::kFloat);
    log_sum_exp = at::empty({s.heads, s.tokens}, floats);
    log_sum_exp_kept = at::empty({s.heads, s.tokens}, floats);
    row_scale = at::rand({s.heads, s.tokens}, floats);
  }
  std::size_t turn() { return next++ % q.size(); }
};

/// Relative error in the rows of a few query blocks of every head against float64. @param residual added, scaled as in the
/// epilogue
double error_of(const Inputs& in, std::size_t set, const BlockMask& mask, double scale, bool epilogue) {
  const std::int64_t tokens = in.q[set].size(1), heads = in.q[set].size(0), blocks = mask.query_blocks();
  double difference = 0, norm = 0;
  for (const std::int64_t block : {std::int64_t{0}, blocks / 3, blocks / 2, blocks - 1}) {
    const std::int64_t first = block * kBlockTokens, last = std::min(first + kBlockTokens, tokens);
    for (std::int64_t h = 0; h < heads; h += std::max<std::int64_t>(heads / 2, 1)) {
      at::Tensor kept = at::zeros({last - first, tokens}, at::kBool);
      bool* to = kept.data_ptr<bool>();
      const int list = mask.list_of_head(h);
      for (const BlockMask::Visit* v = mask.visits_begin(list, static_cast<int>(block));
           v != mask.visits_end(list, static_cast<int>(block)); ++v) {
        for (std::int64_t r = 0; r < last - first; ++r) {
          const std::uint64_t bits = v->bits == BlockMask::kWhole ? ~std::uint64_t{0} : mask.row_bits(v->bits)[r];
          for (int j = 0; j < kBlockTokens && v->key_block * 64LL + j < tokens; ++j)
            to[r * tokens + v->key_block * 64LL + j] = bits >> j & 1;
        }
      }
      const auto wide = [&](const at::Tensor& t) { return t[h].to(at::kDouble); };
      const at::Tensor logits = (at::matmul(wide(in.q[set]).slice(0, first, last), wide(in.k[set]).t()) * scale)
                                    .masked_fill(kept.to(at::kCUDA).logical_not(), -INFINITY);
      at::Tensor expected = at::nan_to_num(at::matmul(at::softmax(logits, -1), wide(in.v[set])));  // (rows,D)
      if (epilogue) {
        expected = expected * in.row_scale[h].slice(0, first, last).to(at::kDouble).unsqueeze(-1) +
                   wide(in.residual[set]).slice(0, first, last);
      }
      const at::Tensor actual = wide(in.out[set]).slice(0, first, last);
      difference += (actual - expected).pow(2).sum().item<double>();
      norm += expected.pow(2).sum().item<double>();
    }
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

struct Ceilings {
  double mma_tflops = 0, copy_tbs = 0;
};

Ceilings ceilings(const Options& options) {
  const auto like = at::TensorOptions(at::kBFloat16).device(at::kCUDA);
  const at::Tensor a = at::randn({8192, 8192}, like), b = at::randn({8192, 8192}, like);
  at::Tensor c = at::empty({8192, 8192}, like);
  const at::Tensor from = at::empty({std::int64_t{1} << 30}, like.dtype(at::kByte));
  at::Tensor to = at::empty_like(from);
  const auto times = interleaved({[&] { at::mm_out(c, a, b); }, [&] { to.copy_(from); }}, options);
  return {2.0 * 8192 * 8192 * 8192 / quantile(times[0], 0.5) * 1e-9, 2.0 * (1 << 30) / quantile(times[1], 0.5) * 1e-9};
}

/// Key blocks drawn for every query block and head, in ascending order.
BlockMask random_blocks(std::int64_t heads, std::int64_t tokens, int granule_blocks, double kept, int fixed = 0,
                        bool dense_row = false) {
  std::mt19937 random(7);
  MaskDescription d;
  d.queries = d.keys = tokens;
  const int blocks = static_cast<int>((tokens + kBlockTokens - 1) / kBlockTokens),
            groups = (blocks + granule_blocks - 1) / granule_blocks;
  d.lists = static_cast<int>(heads);
  d.block_offsets.push_back(0);
  const int count = fixed > 0 ? std::min(fixed, groups) : std::max(1, static_cast<int>(std::lround(kept * groups)));
  std::vector<int> all(static_cast<std::size_t>(groups));
  for (int h = 0; h < heads; ++h) {
    d.list_of_head.push_back(h);
    std::vector<int> chosen;
    for (int m = 0; m < blocks; ++m) {
      if (m % granule_blocks == 0) {
        for (int i = 0; i < groups; ++i) all[static_cast<std::size_t>(i)] = i;
        std::shuffle(all.begin(), all.end(), random);
        chosen.assign(all.begin(), all.begin() + (dense_row && m == 0 ? groups : count));
        std::sort(chosen.begin(), chosen.end());
      }
      for (const int g : chosen) {
        for (int i = 0; i < granule_blocks && g * granule_blocks + i < blocks; ++i)
          d.key_blocks.push_back(g * granule_blocks + i);
      }
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
  }
  return BlockMask(d);
}

struct Case {
  Shape shape;
  std::string kind;
  std::function<BlockMask()> mask;
  bool split = false;
};

/// Dense attention of LibTorch, which every case is compared with.
std::vector<std::pair<std::string, std::function<void(std::size_t)>>> peers(const Inputs& in, double scale) {
  const auto batch = [](const at::Tensor& t) { return t.unsqueeze(0); };
  return {{"cudnn_dense",
           [&in, scale, batch](std::size_t i) {
             at::_scaled_dot_product_cudnn_attention(batch(in.q[i]), batch(in.k[i]), batch(in.v[i]), {}, true, 0.0, false, false,
                                                     scale);
           }},
          {"flash_dense", [&in, scale, batch](std::size_t i) {
             at::_scaled_dot_product_flash_attention(batch(in.q[i]), batch(in.k[i]), batch(in.v[i]), 0.0, false, false, scale);
           }}};
}

template <typename Element>
void run_case(const Case& c, const Ceilings& roof, const Options& options, json& row) {
  const Shape& s = c.shape;
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto begin = clock();
  const BlockMask mask = c.mask();
  const auto masked = clock();
  const BlockMask rest = c.split ? mask.complement() : BlockMask();
  PlanOptions plan_options;
  plan_options.tile_blocks =
      tile_blocks_for<Element>(s.width, c.split || cuda_attention_uses_hopper(s.width, 2) ? 2 : better_tile_blocks(mask));
  if (!c.split) {
    plan_options.most_entries = balanced_entries(mask, static_cast<int>(s.heads), plan_options.tile_blocks,
                                                 cuda_attention_workers(s.width, plan_options.tile_blocks));
  }
  const auto listing = clock();
  const AttentionPlan made = make_attention_plan(mask, static_cast<int>(s.heads), plan_options, c.split ? &rest : nullptr);
  const test::UploadedPlan plan(made);
  cudaDeviceSynchronize();
  const auto listed = clock();

  Inputs in(s, test::scalar_type<Element>());
  const double scale = 1 / std::sqrt(static_cast<double>(s.width));
  const auto floats = part_floats(plan.layout, s.width);
  const at::Tensor parts = at::empty({std::max<std::int64_t>(floats, 1)}, at::TensorOptions(at::kFloat).device(at::kCUDA));
  const auto ours = [&](std::size_t i) {
    CudaAttentionArguments<Element> a;
    a.q = test::device_view<const Element, 3>(in.q[i]);
    a.k = test::device_view<const Element, 3>(in.k[i]);
    a.v = test::device_view<const Element, 3>(in.v[i]);
    a.scale = static_cast<float>(scale);
    a.out = test::device_view<Element, 3>(in.out[i]);
    a.log_sum_exp = test::device_view<float, 2>(in.log_sum_exp);
    a.row_scale = test::device_view<const float, 2>(in.row_scale);
    a.residual = test::device_view<const Element, 3>(in.residual[i]);
    a.parts = floats > 0 ? parts.data_ptr<float>() : nullptr;
    cuda_attention(a, plan.device(), nullptr);
  };
  const auto split = [&](std::size_t i) {
    CudaSplitArguments<Element> a;
    a.q = test::device_view<const Element, 3>(in.q[i]);
    a.k = test::device_view<const Element, 3>(in.k[i]);
    a.v = test::device_view<const Element, 3>(in.v[i]);
    a.scale = static_cast<float>(scale);
    a.out = test::device_view<Element, 3>(in.out[i]);
    a.residual = test::device_view<Element, 3>(in.residual[i]);
    a.log_sum_exp = test::device_view<float, 2>(in.log_sum_exp);
    a.log_sum_exp_kept = test::device_view<float, 2>(in.log_sum_exp_kept);
    cuda_split_attention(a, plan.device(), nullptr);
  };
  // Checked on the first set, before residuals of the split replace its inputs.
  if (c.split)
    split(0);
  else
    ours(0);
  const double error = error_of(in, 0, c.split ? BlockMask::dense(s.tokens, s.tokens) : mask, scale, !c.split);
  double identity = 0;
  if (c.split) {  // R = out - rho O_kept: the kept part is what the plain kernel gives
    const at::Tensor out = in.out[0].to(at::kFloat), residual = in.residual[0].to(at::kFloat);
    const at::Tensor rho = at::exp(in.log_sum_exp_kept - in.log_sum_exp).unsqueeze(-1);
    const test::UploadedPlan kept(make_attention_plan(mask, static_cast<int>(s.heads)));
    in.residual[0].zero_();
    in.row_scale.fill_(1);
    CudaAttentionArguments<Element> a;
    a.q = test::device_view<const Element, 3>(in.q[0]);
    a.k = test::device_view<const Element, 3>(in.k[0]);
    a.v = test::device_view<const Element, 3>(in.v[0]);
    a.scale = static_cast<float>(scale);
    a.out = test::device_view<Element, 3>(in.out[0]);
    cuda_attention(a, kept.device(), nullptr);
    identity = ((rho * in.out[0].to(at::kFloat) + residual - out).norm() / out.norm()).template item<double>();
  }

  std::vector<std::function<void()>> works;
  const auto add = [&](const std::function<void(std::size_t)>& work) { works.push_back([&in, work] { work(in.turn()); }); };
  const std::function<void(std::size_t)> own = c.split ? std::function<void(std::size_t)>(split) : ours;
  add(own);
  add(own);  // the same again: the noise of the measurement
  std::vector<std::string> names;
  for (const auto& [name, work] : peers(in, scale)) {
    try {
      work(0);
      cudaDeviceSynchronize();
      names.push_back(name);
      add(work);
    } catch (const std::exception& refused) {
      row["refused"][name] = std::string(refused.what()).substr(0, 120);
    }
  }
  const auto times = interleaved(works, options);
  const double ms = quantile(times[0], 0.5);
  const double flops = 4.0 * s.heads * s.width * static_cast<double>(s.tokens) * s.tokens,
               kept = c.split ? 1 : mask.kept_ratio_blocks();
  const auto milliseconds = [](auto from, auto to) { return std::chrono::duration<double, std::milli>(to - from).count(); };
  const double computed = flops * (c.split ? 1 : kept), floor_ms = computed / roof.mma_tflops * 1e-9;
  row["mask"] = {{"kind", c.kind},
                 {"bq", 64 * plan.layout.tile_blocks},
                 {"bk", 64},
                 {"density_token", mask.kept_ratio()},
                 {"density_tile", mask.kept_ratio_blocks()},
                 {"shared_ratio", shared_ratio(mask)},
                 {"divided_tiles", plan.layout.divided_tiles}};
  row["ms"] = {{"med", ms},
               {"p10", quantile(times[0], 0.1)},
               {"p90", quantile(times[0], 0.9)},
               {"mask", milliseconds(begin, masked)},
               {"list", milliseconds(listing, listed)},
               {"noise_pct", 100 * std::abs(quantile(times[1], 0.5) / ms - 1)}};
  row["tflops_useful"] = computed / ms * 1e-9;
  row["pct_floor"] = 100 * floor_ms / ms;
  row["err"] = {{"rel_l2", error}};
  if (c.split) row["err"]["identity"] = identity;
  row["peers"] = json::array();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double theirs = quantile(times[i + 2], 0.5);
    row["peers"].push_back({{"name", names[i]},
                            {"ms", theirs},
                            {"ratio", theirs / ms},
                            {"tflops", flops / theirs * 1e-9},
                            {"ours_per_flop", computed / ms / (flops / theirs)}});
  }
}

std::vector<Case> cases() {
  const Shape pixart{"PixArt 1024", 16, 4096, 72}, video2b{"CogVideoX-2B", 30, 17776, 64}, video5b{"CogVideoX-5B", 48, 17776, 64},
      wan{"Wan-1.3B 480p", 12, 32760, 128}, long_one{"109632 x 7 x 128", 7, 109632, 128}, wide{"8 x 16384 x 128", 8, 16384, 128},
      narrow{"8 x 16384 x 64", 8, 16384, 64};
  const auto window = [](std::int64_t text, std::int64_t frames, std::int64_t rows, std::int64_t columns, TokenOrder order) {
    return [=] { return window_mask({text, true, frames, rows, columns, order}, 1.0 / 32); };
  };
  const auto dense = [](const Shape& s) { return [=] { return BlockMask::dense(s.tokens, s.tokens); }; };
  const auto random = [](const Shape& s, int granule, double kept, int fixed = 0, bool dense_row = false) {
    return [=] { return random_blocks(s.heads, s.tokens, granule, kept, fixed, dense_row); };
  };
  std::vector<Case> all = {{video2b, "band_posmajor", window(226, 13, 30, 45, TokenOrder::PositionMajor)},
                           {video2b, "refresh_posmajor", window(226, 13, 30, 45, TokenOrder::PositionMajor), true},
                           {video2b, "dense", dense(video2b)},
                           {pixart, "band_raster", window(0, 1, 64, 64, TokenOrder::FrameMajor)},
                           {pixart, "dense", dense(pixart)},
                           {long_one, "random_topk_64", random(long_one, 1, 0, 64)}};
  for (const Shape& s : {wide, narrow}) {
    for (const int granule : {1, 2}) {
      for (const double skipped : {0.5, 0.75, 0.875, 0.9, 0.95, 0.969}) {
        all.push_back({s, "random_" + std::to_string(64 * granule), random(s, granule, 1 - skipped)});
      }
    }
    all.push_back({s, "dense", dense(s)});
  }
  all.push_back({narrow, "one_dense_row", random(narrow, 1, 1.0 / 32, 0, true)});
  all.push_back({video5b, "band_posmajor", window(226, 13, 30, 45, TokenOrder::PositionMajor)});
  all.push_back({video2b, "band_raster", window(226, 13, 30, 45, TokenOrder::FrameMajor)});
  all.push_back({wan, "random_128", random(wan, 2, 0.125)});
  all.push_back({wan, "dense", dense(wan)});
  return all;
}

int run(const Options& options) {
  const c10::InferenceMode inference;
  if (!cuda_available() || !cuda_attention_runs_here()) {
    std::cerr << "cuda_kernel_bench: no GPU of compute capability 8.0 or newer was found\n";
    return 2;
  }
  cudaDeviceProp device{};
  cudaGetDeviceProperties(&device, 0);
  const auto start = std::chrono::steady_clock::now();
  const Ceilings roof = ceilings(options);
  bool good = true;
  for (const Case& c : cases()) {
    if (!options.only.empty() && c.kind.find(options.only) == std::string::npos &&
        c.shape.name.find(options.only) == std::string::npos)
      continue;
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > options.seconds) {
      std::cerr << "cuda_kernel_bench: no time is left for " << c.shape.name << " " << c.kind << "\n";
      continue;
    }
    json row = {{"schema", 1},
                {"device", device.name},
                {"case", c.shape.name},
                {"impl", cuda_attention_uses_hopper(c.shape.width, 2) ? "ours_sm90" : "ours_portable"},
                {"shape", {{"B", 1}, {"H", c.shape.heads}, {"N", c.shape.tokens}, {"d", c.shape.width}, {"dtype", "bf16"}}},
                {"ceil", {{"mma_tflops", roof.mma_tflops}, {"copy_tbs", roof.copy_tbs}}}};
    try {
      run_case<Bfloat16Bits>(c, roof, options, row);
      good &= row["err"]["rel_l2"].get<double>() < 8e-3;
    } catch (const std::exception& error) {
      row["error"] = std::string(error.what()).substr(0, 400);
      good = false;
    }
    std::cout << row.dump() << std::endl;
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ditscope

int main(int argc, char** argv) {
  ditscope::Options options;
  CLI::App app("Times the attention kernels on a GPU; one JSON row a line");
  app.add_option("--repetitions", options.repetitions, "Measured runs of each kernel");
  app.add_option("--seconds", options.seconds, "Start no case after so long");
  app.add_option("--only", options.only, "Cases whose kind or shape has this in its name");
  CLI11_PARSE(app, argc, argv);
  return ditscope::run(options);
}
