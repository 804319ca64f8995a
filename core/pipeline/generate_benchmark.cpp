#include "core/pipeline/generate_benchmark.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

#include "core/bridge/profile.h"
#include "core/checkpoint/checkpoint.h"
#include "core/models/layers.h"
#include "core/pipeline/loaded_model.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr std::int64_t kPeakSide = 2048;
constexpr int kPeakTries = 5;

/// The best of a few large products; a product this large leaves nothing to be lost at its edges.
void measure_peak(c10::ScalarType type, std::map<std::string, double>& peaks) {
  const Linear layer{at::randn({kPeakSide, kPeakSide}).to(type), {}};
  const at::Tensor x = at::randn({kPeakSide, kPeakSide}).to(type);
  double& best = peaks[c10::toString(type)];
  layer(x);
  for (int i = 0; i < kPeakTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    layer(x);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, layer.flop(kPeakSide) / seconds / 1e9);
  }
}

void encode_again(const Frames& frames, const Request& request, c10::ScalarType type) {
  const ModelConfigs configs = read_model_configs(request.model);
  WeightOptions options;
  options.dtype = type;
  Checkpoint weights(configs.folder.folder("vae"), options);
  const CogVideoXVae vae(configs.vae, weights, /*with_encoder=*/true);
  const at::Tensor video = at::tensor(at::ArrayRef<float>(frames.rgb))
                               .view({1, frames.count, frames.height, frames.width, 3})
                               .permute({0, 4, 1, 2, 3})
                               .mul(2)
                               .sub(1);  // (1,3,F,Y,X)
  const Profile::Stage profiled("encode");
  vae.encode_moments(video);
}

}  // namespace

GenerateBenchmark benchmark_generate(const Request& asked, EventSink& sink, RunControl& control) {
  const Request request = Generator::complete(asked);
  if (request.device != "cpu")
    throw Error(ErrorKind::Unsupported, "This benchmark watches the CPU, got the device " + request.device + ". Choose the device cpu.");
  const c10::InferenceMode inference;
  const Precision precision = Precision::of(request.dtype);
  Generator generator;
  Request one_step = request;
  one_step.steps = 1;
  one_step.method = {"full", {}};
  one_step.prompt += ".";  // prompts are remembered
  generator.run(one_step, sink, control);

  GenerateBenchmark benchmark;
  const auto measure_peaks = [&] {
    for (const c10::ScalarType type : {precision.products, precision.decoder}) measure_peak(type, benchmark.gemm_peak_gflops);
  };
  measure_peaks();
  Profile profile;
  {
    const Profile::Watching watching(profile);
    benchmark.run = generator.run(request, sink, control);
    if (!benchmark.run.frames.empty()) encode_again(benchmark.run.frames, request, precision.decoder);
  }
  measure_peaks();

  benchmark.stage_seconds = profile.stage_seconds();
  for (const auto& [key, sum] : profile.sums()) {
    const bool in_vae = key.stage == "decode" || key.stage == "encode";
    const double peak = benchmark.gemm_peak_gflops.at(c10::toString(in_vae ? precision.decoder : precision.products));
    // Attention is counted in pairs of tokens: those that were computed.
    const double kept = key.kind == Profile::Kind::Attention ? benchmark.run.kept_ratio.schedule_average : 1;
    benchmark.rows.push_back(
        {key.stage, profile_kind_name(key.kind), key.name, key.layer, sum.calls, sum.seconds, kept * sum.flop / 1e9, peak});
  }
  return benchmark;
}

}  // namespace ditscope
