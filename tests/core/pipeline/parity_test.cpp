#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/pipeline/generator.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(DITSCOPE_SOURCE_DIR) / "tests" / "golden";
constexpr double kTolerance = 1e-4;

/// Largest difference over the largest magnitude.
double relative_error(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.sizes() != theirs.sizes()) return std::numeric_limits<double>::infinity();
  return ((ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max() / theirs.to(at::kDouble).abs().max()).item<double>();
}

class Silence final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

/// The request that golden.json describes.
Request golden_request(const std::string& name) {
  const auto golden = load_json(kGolden / name / "golden.json");
  const auto& call = golden.at("call");
  Request request;
  request.model = kGolden / name;
  request.prompt = call.at("prompt");
  request.negative_prompt = call.value("negative_prompt", "");
  request.method.key = "full";
  request.steps = call.at("num_inference_steps");
  request.guidance_scale = call.at("guidance_scale");
  request.dynamic_cfg = call.value("use_dynamic_cfg", false);
  request.seed = golden.at("seed");
  request.frames = call.at("num_frames");
  request.height = call.at("height");
  request.width = call.at("width");
  request.max_sequence_length = call.at("max_sequence_length");
  request.dtype = "float32";
  request.device = "cpu";
  request.threads = 1;
  request.keep_latents_per_step = true;
  return request;
}

class PipelineParity : public ::testing::TestWithParam<const char*> {
 protected:
  TensorMap run(const Request& request) {
    Silence silence;
    RunControl control;
    const RunResult result = generator_.run(request, silence, control);
    EXPECT_EQ(result.steps.size(), std::size_t(request.steps));
    Generator::save_latents(result, folder_.path() / "latents.safetensors");
    Generator::save_prompt_embeds(result, folder_.path() / "embeds.safetensors");
    Generator::save_frames(result, folder_.path() / "frames.safetensors");
    TensorMap all;
    for (const char* file : {"latents.safetensors", "embeds.safetensors", "frames.safetensors"}) {
      all.merge(load_tensors(folder_.path() / file));
    }
    return all;
  }

  Generator generator_;
  test::TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Cases, PipelineParity,
                         ::testing::Values("cogx_2b_ddim", "cogx_2b_default_size", "cogx_2b_dpm", "cogx_5b_dpm_dynamic_cfg", "cogx_5b_ddim",
                                           "cogx_5b_no_cfg", "cogx_15_padded", "cogx_15_even"));

TEST_P(PipelineParity, TheSameSeedMakesTheSameVideoAsDiffusers) {
  const TensorMap golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  TensorMap ours = run(golden_request(GetParam()));
  EXPECT_LT(relative_error(ours.at("prompt_embeds"), golden.at("prompt_embeds")), kTolerance);
  if (golden.contains("negative_prompt_embeds")) {
    EXPECT_LT(relative_error(ours.at("negative_prompt_embeds"), golden.at("negative_prompt_embeds")), kTolerance);
  }
  const at::Tensor &steps = golden.at("latents_per_step"), &our_steps = ours.at("latents_per_step");
  ASSERT_EQ(our_steps.sizes(), steps.sizes());
  for (std::int64_t i = 0; i < steps.size(0); ++i) EXPECT_LT(relative_error(our_steps[i], steps[i]), kTolerance) << "step " << i;
  EXPECT_TRUE(at::equal(ours.at("latents"), our_steps[-1]));
  EXPECT_LT(relative_error(ours.at("frames"), golden.at("frames")), kTolerance);
}

TEST_P(PipelineParity, GivenLatentsLeaveTheGeneratorToTheScheduler) {
  const TensorMap golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  Request request = golden_request(GetParam());
  request.latents_in = folder_.path() / "in.safetensors";
  save_tensors(request.latents_in, {{"latents", golden.at("initial_latents")}});
  EXPECT_LT(relative_error(run(request).at("latents"), golden.at("given.latents")), kTolerance);
}

}  // namespace
}  // namespace ditscope
