// Every stage of the way of data on a GPU, against the numbers that diffusers and transformers gave on a CPU. CPU and GPU add in
// other orders, so float32 is held to 1e-4 of the largest value; reduced types are held to the size of their rounding.
#include <c10/core/InferenceMode.h>

#include <map>
#include <nlohmann/json.hpp>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/bridge/attention.h"
#include "core/bridge/block_scores.h"
#include "core/bridge/cuda_attention.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "core/models/cogvideox_transformer.h"
#include "core/pipeline/generator.h"
#include "core/pipeline/memory_errors.h"
#include "core/text/t5_encoder.h"
#include "core/vae/cogvideox_vae.h"
#include "kernels/error.h"
#include "tests/core/attention/calls.h"
#include "tests/gpu/device_fixture.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using test::expect_below;
using test::kGolden;
using test::relative_error;
using test::relative_rms;

constexpr double kFloat32Tolerance = 1e-4;
constexpr const char* kPipelines[] = {"cogx_2b_ddim",    "cogx_2b_default_size", "cogx_2b_dpm", "cogx_5b_dpm_dynamic_cfg", "cogx_5b_ddim",
                                      "cogx_5b_no_cfg", "cogx_15_padded",       "cogx_15_even"};

class Silence final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

class Stage : public test::OnDevice {
 protected:
  WeightOptions weights(at::ScalarType dtype) const {
    WeightOptions options;
    options.dtype = dtype;
    options.device = device_;
    return options;
  }
  const c10::InferenceMode inference_;
};

class CudaTransformer : public Stage, public ::testing::WithParamInterface<const char*> {
 protected:
  at::Tensor forward(const TensorMap& golden, at::ScalarType dtype) {
    const fs::path folder = kGolden / GetParam() / "transformer";
    Checkpoint source(folder, weights(dtype));
    const CogVideoXTransformer model(CogVideoXConfig::from_json(read_file(folder / "config.json")), source);
    DenoiserCall call;
    call.latents = there(golden.at("module.latents"), dtype);
    call.text = there(golden.at("module.text"), dtype);
    call.timestep = there(golden.at("module.timestep"));
    call.branches.assign(static_cast<std::size_t>(call.latents.size(0)), Branch::Conditional);
    DenseAttention attention;
    return model.forward(call, attention);
  }
};
INSTANTIATE_TEST_SUITE_P(Models, CudaTransformer, ::testing::ValuesIn(kPipelines));

TEST_P(CudaTransformer, PredictsWhatDiffusersPredicts) {
  const TensorMap golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  const at::Tensor out = forward(golden, at::kFloat);
  EXPECT_EQ(out.device().type(), device_.type());
  expect_below("float32_max", relative_error(out, golden.at("module.output")), kFloat32Tolerance);
  expect_below("bfloat16_rms", relative_rms(forward(golden, at::kBFloat16), golden.at("module.output")), 0.03);
  expect_below("float16_rms", relative_rms(forward(golden, at::kHalf), golden.at("module.output")), 0.005);
}

class CudaVae : public Stage, public ::testing::WithParamInterface<const char*> {
 protected:
  CogVideoXVae load(at::ScalarType dtype) const {
    const fs::path folder = kGolden / GetParam();
    Checkpoint source(folder, weights(dtype));
    return CogVideoXVae(CogVideoXVaeConfig::from_json(read_file(folder / "config.json")), source, true);
  }
};
INSTANTIATE_TEST_SUITE_P(Models, CudaVae, ::testing::Values("vae_four_blocks", "vae_three_blocks", "vae_quant_convs"));

TEST_P(CudaVae, DecodesAndEncodesAsDiffusersDoes) {
  const TensorMap io = load_tensors(kGolden / GetParam() / "io.safetensors");
  const CogVideoXVae vae = load(at::kFloat);
  for (const int frames : {1, 2, 3, 5}) {
    const at::Tensor video = vae.decode(there(io.at("latents")).narrow(2, 0, frames));
    EXPECT_EQ(video.device().type(), device_.type());
    expect_below("decode_" + std::to_string(frames), relative_error(video, io.at("decoded_" + std::to_string(frames))),
                 kFloat32Tolerance);
  }
  for (const int frames : {1, 9, 17}) {
    const at::Tensor moments = vae.encode_moments(there(io.at("video")).narrow(2, 0, frames));
    expect_below("encode_" + std::to_string(frames), relative_error(moments, io.at("moments_" + std::to_string(frames))),
                 kFloat32Tolerance);
  }
}

TEST_P(CudaVae, StaysNearInReducedPrecision) {
  const TensorMap io = load_tensors(kGolden / GetParam() / "io.safetensors");
  for (const auto& [dtype, limit] : {std::pair{at::kBFloat16, 0.05}, {at::kHalf, 0.01}}) {
    const CogVideoXVae vae = load(dtype);
    const std::string name = c10::toString(dtype);
    expect_below(name + "_decode_rms", relative_rms(vae.decode(there(io.at("latents"))), io.at("decoded_5")), limit);
    expect_below(name + "_encode_rms", relative_rms(vae.encode_moments(there(io.at("video"))), io.at("moments_17")), limit);
  }
}

class CudaT5 : public Stage, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, CudaT5, ::testing::Values("text_t5_gated", "text_t5_relu", "text_umt5"));

TEST_P(CudaT5, EncodesAsTransformersDoes) {
  const TensorMap golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  const auto config = T5Config::from_json(read_file(kGolden / GetParam() / "config.json"));
  for (const auto& [dtype, name, limit] :
       {std::tuple{at::kFloat, "float32", kFloat32Tolerance}, {at::kBFloat16, "bfloat16", 2e-2}, {at::kHalf, "float16", 4e-3}}) {
    Checkpoint source(kGolden / GetParam(), T5Encoder::weight_options(dtype, device_));
    const T5Encoder encoder(config, source);
    const auto every_tenth = [](const at::Tensor& x) { return x.slice(1, 0, std::nullopt, 10); };
    const at::Tensor out = every_tenth(encoder.forward(golden.at("ids")));
    const at::Tensor masked = every_tenth(encoder.forward(there(golden.at("ids")), there(golden.at("mask"))));
    expect_below(name, relative_rms(out, golden.at(std::string(name) + ".unmasked")), limit);
    if (dtype == at::kFloat) expect_below("float32_masked", relative_error(masked, golden.at("float32.masked")), limit);
  }
}

class CudaAttention : public Stage, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Methods, CudaAttention, ::testing::Values("full", "window", "ditfastattn", "re-ttention"));

TEST_P(CudaAttention, GivesStepByStepWhatTheCpuGives) {
  constexpr int kSteps = 12;
  for (const auto& [dtype, limit] : {std::pair{at::kFloat, 1e-5}, {at::kBFloat16, 0.02}}) {
    AttentionSession here(parse_method_choice(GetParam()), kSteps), there_session(parse_method_choice(GetParam()), kSteps);
    double worst = 0;
    for (int step = 0; step < kSteps; ++step) {
      LayerCall call = test::position_major(test::make_call(test::small_video(), step, kSteps));
      const at::Tensor expected = here.attend(call);
      for (at::Tensor* tensor : {&call.q, &call.k, &call.v}) *tensor = there(*tensor, dtype);
      const at::Tensor out = there_session.attend(call);
      EXPECT_EQ(out.device().type(), device_.type());
      EXPECT_EQ(out.scalar_type(), dtype);
      EXPECT_EQ(there_session.step_record(step).kind, here.step_record(step).kind) << "step " << step;
      worst = std::max(worst, relative_rms(out, expected));
    }
    expect_below(std::string(c10::toString(dtype)) + "_rms", worst, limit);
    EXPECT_DOUBLE_EQ(there_session.kept_ratios().achieved, here.kept_ratios().achieved);
  }
}

class CudaBridge : public Stage {
 protected:
  static LayerCall call() {
    TokenLayout layout = test::small_video();
    layout.rows = 12;  // 299 tokens
    return test::make_call(layout, 0, 1, 3, 1, 3, 64);
  }
  LayerCall moved(LayerCall call, at::ScalarType dtype) const {
    for (at::Tensor* tensor : {&call.q, &call.k, &call.v}) *tensor = there(*tensor, dtype);
    return call;
  }
};

TEST_F(CudaBridge, SearchesForBlocksAsTheCpuDoes) {
  const LayerCall here = call();
  for (const auto& [dtype, limit] : {std::pair{at::kFloat, 1e-5}, {at::kBFloat16, 0.02}, {at::kHalf, 5e-3}}) {
    const LayerCall one = moved(here, dtype);
    for (const std::int64_t block : {64, 128}) {
      const BlockSearch expected = block_search(here, block), actual = block_search(one, block);
      const std::string name = std::string(c10::toString(dtype)) + "_" + std::to_string(block);
      EXPECT_EQ(actual.mass.device().type(), device_.type());
      expect_below("search_out_" + name, relative_rms(actual.out, expected.out), limit);
      expect_below("search_lse_" + name, relative_rms(actual.log_sum_exp, expected.log_sum_exp), limit);
      expect_below("search_mass_" + name, relative_rms(actual.mass, expected.mass), limit);
      expect_below("mass_" + name, relative_rms(block_mass(one, actual.log_sum_exp, block), expected.mass), limit);
    }
  }
}

TEST_F(CudaBridge, FormsInt8LogitsAsTheCpuDoes) {
  LayerCall here = call();
  here.k = here.k + 3;
  const BlockMask mask = BlockMask::dense(here.q.size(2), here.q.size(2));
  for (const QkPrecision qk : {QkPrecision::Int8, QkPrecision::Int8PerToken, QkPrecision::Int8Unsmoothed}) {
    LayerCall same = moved(here, at::kBFloat16), on_cpu = same;
    for (at::Tensor* tensor : {&on_cpu.q, &on_cpu.k, &on_cpu.v}) *tensor = tensor->cpu();
    same.qk = on_cpu.qk = qk;
    if (!device_.is_cpu() && !cuda_int8_takes(same)) GTEST_SKIP() << "this build has no kernels for this GPU";
    at::Tensor out = output_like(same.q), expected = output_like(on_cpu.q);
    masked_attention(same, 0, mask, {}, {}, out);
    masked_attention(on_cpu, 0, mask, {}, {}, expected);
    expect_below("int8_" + std::to_string(static_cast<int>(qk)), relative_rms(out, expected), 0.01);
  }
}

class CudaPipeline : public test::OnDevice, public ::testing::WithParamInterface<const char*> {
 protected:
  Request request(const std::string& device) const {
    const auto golden = load_json(kGolden / GetParam() / "golden.json");
    const auto& call = golden.at("call");
    Request request;
    request.model = kGolden / GetParam();
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
    request.device = device;
    request.keep_latents_per_step = true;
    return request;
  }
  RunResult run(const Request& request) {
    Silence silence;
    RunControl control;
    return generator_.run(request, silence, control);
  }
  TensorMap tensors(const RunResult& result) {
    Generator::save_latents(result, folder_ / "latents.safetensors");
    Generator::save_prompt_embeds(result, folder_ / "embeds.safetensors");
    Generator::save_frames(result, folder_ / "frames.safetensors");
    TensorMap all;
    for (const char* file : {"latents.safetensors", "embeds.safetensors", "frames.safetensors"}) all.merge(load_tensors(folder_ / file));
    return all;
  }

  Generator generator_;
  test::TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Models, CudaPipeline, ::testing::ValuesIn(kPipelines));

// The stochastic scheduler is among the cases: its noise comes from the CPU's generator, in the order that diffusers draws.
TEST_P(CudaPipeline, MakesTheVideoThatDiffusersMakesFromTheSameSeed) {
  const TensorMap golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  const RunResult result = run(request(test::device_name()));
  const TensorMap ours = tensors(result);
  expect_below("prompt_embeds", relative_error(ours.at("prompt_embeds"), golden.at("prompt_embeds")), kFloat32Tolerance);
  const at::Tensor &steps = golden.at("latents_per_step"), &our_steps = ours.at("latents_per_step");
  ASSERT_EQ(our_steps.sizes(), steps.sizes());
  for (std::int64_t i = 0; i < steps.size(0); ++i)
    expect_below("latents_" + std::to_string(i), relative_error(our_steps[i], steps[i]), kFloat32Tolerance);
  expect_below("frames", relative_error(ours.at("frames"), golden.at("frames")), kFloat32Tolerance);
  EXPECT_EQ(result.noise_hash, run(request("cpu")).noise_hash);
  EXPECT_GT(result.attention_seconds, 0);
  EXPECT_LT(result.attention_seconds, result.seconds);
}

// Noise is drawn in the type of the run, so a reduced type is held against the same type on the CPU.
TEST_P(CudaPipeline, ReducedPrecisionMakesWhatItMakesOnTheCpu) {
  for (const auto& [dtype, limit] : {std::pair{"bfloat16", 0.1}, {"float16", 0.02}}) {
    Request on_cpu = request("cpu"), there = request(test::device_name());
    on_cpu.dtype = there.dtype = dtype;
    const TensorMap expected = tensors(run(on_cpu));
    expect_below(std::string(dtype) + "_rms", relative_rms(tensors(run(there)).at("latents"), expected.at("latents")), limit);
  }
}

class CudaRun : public CudaPipeline {};
INSTANTIATE_TEST_SUITE_P(Models, CudaRun, ::testing::Values("cogx_5b_ddim"));

TEST_P(CudaRun, EveryMethodMakesTheFramesThatTheCpuMakes) {
  for (const MethodEntry& entry : methods()) {
    const std::string& method = entry.key;
    Request on_cpu = request("cpu"), there = request(test::device_name());
    on_cpu.method = there.method = parse_method_choice(method);
    const TensorMap expected = tensors(run(on_cpu));
    expect_below(method, relative_error(tensors(run(there)).at("frames"), expected.at("frames")), 1e-3);
  }
}

TEST_P(CudaRun, PeakBytesAreThoseOfTheRun) {
  if (device_.is_cpu()) GTEST_SKIP() << "counts what the allocator of a GPU gave";
  const std::int64_t weights = Generator::inspect(kGolden / GetParam()).weight_bytes;
  run(request("cuda"));  // loading needs room of its own
  const std::int64_t alone = run(request("cuda")).peak_bytes;
  EXPECT_GT(alone, weights / 2);  // the encoder of the VAE stays on the disk
  EXPECT_LT(alone, std::int64_t{1} << 30);
  const at::Tensor other = at::zeros({64 << 20}, at::TensorOptions(at::kByte).device(device_));
  EXPECT_GE(run(request("cuda")).peak_bytes, alone + (60 << 20));
}

TEST_P(CudaRun, AStoppedRunGoesOnAsIfItHadNot) {
  const at::Tensor whole = tensors(run(request(test::device_name()))).at("frames");
  RunControl control;
  class StopAfterOne final : public EventSink {
   public:
    explicit StopAfterOne(RunControl& control) : control_(control) {}
    void on_event(const Event& event) override {
      if (std::holds_alternative<StepFinished>(event)) control_.request_stop(RunControl::Stop::Keep);
    }

   private:
    RunControl& control_;
  } stop(control);
  const RunResult stopped = generator_.run(request(test::device_name()), stop, control);
  ASSERT_TRUE(stopped.stopped);
  Silence silence;
  RunControl go;
  expect_below("frames", relative_error(tensors(generator_.resume(stopped, silence, go)).at("frames"), whole), 1e-5);
}

using CudaMemory = test::OnDevice;

TEST_F(CudaMemory, PeakCountsTensorsThatAreGoneAgain) {
  if (device_.is_cpu()) GTEST_SKIP() << "the CPU has no such count";
  const PeakDeviceMemory before(device_);
  const std::int64_t start = before.bytes();
  { const at::Tensor large = at::empty({64 << 20}, at::TensorOptions(at::kByte).device(device_)); }
  EXPECT_GE(before.bytes(), start + (64 << 20));
  EXPECT_LT(PeakDeviceMemory(device_).bytes(), start + (64 << 20));
}

TEST_F(CudaMemory, RunningOutNamesTheStageAndTheGpu) {
  if (device_.is_cpu()) GTEST_SKIP() << "asks for more than any GPU has";
  try {
    try {
      at::empty({std::int64_t{1} << 45}, at::TensorOptions(at::kByte).device(device_));
      FAIL() << "32 TiB were given";
    } catch (...) {
      rethrow_naming_stage("VAE decode");
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    const std::string message = error.what();
    EXPECT_NE(message.find("Out of GPU memory in VAE decode: tried to allocate 32"), std::string::npos) << message;
    EXPECT_NE(message.find("free there"), std::string::npos) << message;
  }
}

TEST_F(CudaMemory, Float32ProductsAndConvolutionsAreNotRoundedToTf32) {
  const auto options = at::TensorOptions(at::kFloat);
  at::Generator generator = at::detail::createCPUGenerator(1);
  const at::Tensor a = at::randn({256, 512}, generator, options), b = at::randn({512, 256}, generator, options);
  expect_below("product", relative_error(at::matmul(there(a), there(b)), at::matmul(a.to(at::kDouble), b.to(at::kDouble))), 1e-5);
  const at::Tensor x = at::randn({1, 64, 32, 32}, generator, options), w = at::randn({64, 64, 3, 3}, generator, options);
  expect_below("convolution", relative_error(at::conv2d(there(x), there(w)), at::conv2d(x.to(at::kDouble), w.to(at::kDouble))), 1e-5);
}

}  // namespace
}  // namespace ditscope
