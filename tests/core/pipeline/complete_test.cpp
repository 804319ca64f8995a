#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "core/models/layers.h"
#include "core/pipeline/generator.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

const std::filesystem::path kModel = std::filesystem::path(DITSCOPE_SOURCE_DIR) / "tests/golden/cogx_5b_ddim";  // rotary
const std::filesystem::path kSincosModel = std::filesystem::path(DITSCOPE_SOURCE_DIR) / "tests/golden/cogx_2b_ddim";

Request small_request() {
  Request request;
  request.model = kModel;
  request.prompt = "a red cat";
  request.device = "cpu";
  return request;
}

/// What complete() says about a request it refuses.
Error refusal(const Request& request) {
  try {
    Generator::complete(request);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "was accepted: " << to_json(request);
  return Error(ErrorKind::Cancelled, "");
}

void expect_refused(const Request& request, ErrorKind kind, std::initializer_list<const char*> words) {
  const Error error = refusal(request);
  EXPECT_EQ(error.kind(), kind) << error.what();
  for (const char* word : words)
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << word << " in: " << error.what();
}

TEST(Complete, FillsEveryDefaultFromTheModel) {
  const ModelInfo info = Generator::inspect(kModel);
  const Request request = Generator::complete(small_request());
  EXPECT_EQ(request.steps, info.default_steps);
  EXPECT_EQ(request.frames, info.default_frames);
  EXPECT_EQ(request.height, info.default_height);
  EXPECT_EQ(request.width, info.default_width);
  EXPECT_EQ(request.guidance_scale, info.default_guidance);
  EXPECT_EQ(request.scheduler, info.default_scheduler);
  EXPECT_EQ(request.max_sequence_length, info.max_text_tokens);
  EXPECT_EQ(request.dtype, native_bfloat16() ? "mixed" : "float32");
  EXPECT_GE(request.threads, 1);
  EXPECT_TRUE(request.model.is_absolute());
}

TEST(Complete, AutoIsTheDefaultDtypeAndMixedStaysOnTheCpu) {
  Request asked = small_request();
  const Request by_default = Generator::complete(asked);
  asked.dtype = "auto";
  EXPECT_EQ(to_json(Generator::complete(asked)), to_json(by_default));
  asked.dtype = "mixed";
  EXPECT_EQ(Generator::complete(asked).dtype, "mixed");
}

TEST(Complete, IsIdempotent) {
  Request asked = small_request();
  asked.method = parse_method_choice("re-ttention");
  const Request once = Generator::complete(asked);
  EXPECT_EQ(to_json(Generator::complete(once)), to_json(once));
}

TEST(Complete, OffersTheNearestSizes) {
  Request request = small_request();
  request.width = 250;
  expect_refused(request, ErrorKind::InvalidArgument, {"width of 250", "multiple of 16", "256 or 240"});
  request = small_request();
  request.height = 1;
  expect_refused(request, ErrorKind::InvalidArgument, {"height of 1", "Nearest: 16"});
  request.height = std::numeric_limits<int>::max();
  expect_refused(request, ErrorKind::InvalidArgument, {"16384"});
  request.height = -16;
  expect_refused(request, ErrorKind::InvalidArgument, {"Nearest: 16"});
}

TEST(Complete, OffersTheNearestFrameCounts) {
  Request request = small_request();
  request.frames = 11;
  expect_refused(request, ErrorKind::InvalidArgument, {"11 frames", "4n + 1", "9 or 13"});
  request.frames = 12;
  expect_refused(request, ErrorKind::InvalidArgument, {"13 or 9"});
  request.frames = -5;
  expect_refused(request, ErrorKind::InvalidArgument, {"Nearest: 1"});
  request.frames = std::numeric_limits<int>::max();
  expect_refused(request, ErrorKind::InvalidArgument, {"Nearest: 100001"});
}

TEST(Complete, TakesTheFrameCountsThatDiffusersReturnsAsAsked) {
  for (const int frames : {1, 5, 8, 9, 13, 16, 17}) {
    Request request = small_request();
    request.frames = frames;
    EXPECT_EQ(Generator::complete(request).frames, frames);
  }
}

TEST(Complete, OffersTheNearestMethodKeyAndScheduler) {
  Request request = small_request();
  request.method.key = "re-tention";
  expect_refused(request, ErrorKind::NotFound, {"re-ttention"});
  request.method = {"re-ttention", {{"kept_rato", 0.1}}};
  expect_refused(request, ErrorKind::NotFound, {"kept_ratio"});
  request = small_request();
  request.scheduler = "CogVideoXDDMScheduler";
  expect_refused(request, ErrorKind::NotFound, {"CogVideoXDDIMScheduler"});
}

TEST(Complete, RefusesValuesOutOfRange) {
  const auto refuses = [](auto change, ErrorKind kind = ErrorKind::InvalidArgument) {
    Request request = small_request();
    change(request);
    EXPECT_EQ(refusal(request).kind(), kind);
  };
  refuses([](Request& r) { r.steps = -1; });
  refuses([](Request& r) { r.steps = 1001; });
  refuses([](Request& r) { r.guidance_scale = std::numeric_limits<double>::infinity(); });
  refuses([](Request& r) { r.guidance_scale = std::nan(""); });
  refuses([](Request& r) { r.threads = -2; });
  refuses([](Request& r) { r.threads = 1 << 20; });
  refuses([](Request& r) { r.dtype = "float"; });
  refuses([](Request& r) { r.device = "tpu"; });
  refuses([](Request& r) { r.max_sequence_length = -1; });
  refuses([](Request& r) { r.max_sequence_length = 1 << 20; });
  refuses([](Request& r) { r.method = {"re-ttention", {{"kept_ratio", 7.0}}}; });
  refuses([](Request& r) { r.latents_in = "/nowhere/noise.safetensors"; }, ErrorKind::NotFound);
  refuses([](Request& r) { r.model = "/nowhere"; }, ErrorKind::NotFound);
}

TEST(Complete, RefusesPromptsThatAreEmptyHugeOrNotUtf8) {
  Request request = small_request();
  request.prompt = " \n";
  expect_refused(request, ErrorKind::InvalidArgument, {"empty", "for example"});
  request.prompt = std::string(1 << 20, 'a');
  expect_refused(request, ErrorKind::InvalidArgument, {"1048576 bytes"});
  request.prompt = "ab\xff";
  expect_refused(request, ErrorKind::InvalidArgument, {"prompt", "UTF-8", "byte 2"});
  request = small_request();
  request.negative_prompt = "\xc0\xaf";
  expect_refused(request, ErrorKind::InvalidArgument, {"negative prompt", "UTF-8"});
}

TEST(Complete, SincosPositionsTakeOneTextLengthOnly) {
  Request request = small_request();
  request.model = kSincosModel;
  request.max_sequence_length = 20;
  expect_refused(request, ErrorKind::InvalidArgument, {"exactly 16"});
  request.model = kModel;
  EXPECT_EQ(Generator::complete(request).max_sequence_length, 20);
}

TEST(Complete, SaysThatThereIsNoGpu) {
  Request request = small_request();
  request.device = "";
  if (Generator::complete(request).device == "cuda") GTEST_SKIP() << "this machine has a GPU";
  request.device = "cuda";
  expect_refused(request, ErrorKind::Device, {"GPU", "cpu"});
}

TEST(BundledModel, IsTakenFromTheEnvironmentOrNamedAsMissing) {
  setenv("DITSCOPE_MODELS", "/nowhere/models", 1);
  try {
    EXPECT_NE(Generator::bundled_model(), "/nowhere/models/solids-256");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_NE(std::string(error.what()).find("/nowhere/models"), std::string::npos);
  }
  unsetenv("DITSCOPE_MODELS");
}

TEST(EstimateBytes, GrowsWithFramesAndNamesItsParts) {
  Request request = small_request();
  const auto small = Generator::estimate_bytes(request);
  request.frames = 33;
  request.method.key = "re-ttention";
  const auto large = Generator::estimate_bytes(request);
  for (const char* part : {"weights", "activations", "vae", "method"}) ASSERT_TRUE(small.contains(part)) << part;
  EXPECT_EQ(large.at("weights"), small.at("weights"));
  EXPECT_GT(large.at("activations"), small.at("activations"));
  EXPECT_GE(large.at("vae"), small.at("vae"));
  EXPECT_EQ(small.at("method"), 0);
  EXPECT_GT(large.at("method"), 0);
}

}  // namespace
}  // namespace ditscope
