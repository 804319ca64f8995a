#include "core/pipeline/request.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "kernels/error.h"

namespace ditscope {
namespace {

Request unusual_request() {
  Request request;
  request.model = "/models/with space/ünïcode";
  request.prompt = "a \"red\" sphere\nmoves \\ left, 日本語";
  request.negative_prompt = "blur";
  request.method = {"re-ttention",
                    {{"kept_ratio", 0.0625}, {"warmup_steps", std::int64_t{3}}, {"clamp", true}, {"name", std::string("x")}}};
  request.scheduler = "CogVideoXDPMScheduler";
  request.steps = 12;
  request.guidance_scale = 3.25;
  request.dynamic_cfg = true;
  request.vae_tiling = true;
  request.seed = std::numeric_limits<std::uint64_t>::max();
  request.frames = 33;
  request.height = 256;
  request.width = 192;
  request.max_sequence_length = 64;
  request.dtype = "bfloat16";
  request.device = "cpu";
  request.threads = 3;
  request.latents_in = "noise.safetensors";
  request.keep_latents_per_step = true;
  return request;
}

ErrorKind kind_of(const std::string& text) {
  try {
    request_from_json(text);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "was read: " << text;
  return ErrorKind::Cancelled;
}

TEST(RequestJson, EveryFieldComesBack) {
  const Request request = unusual_request();
  const Request back = request_from_json(to_json(request));
  EXPECT_EQ(back.model, request.model);
  EXPECT_EQ(back.prompt, request.prompt);
  EXPECT_EQ(back.negative_prompt, request.negative_prompt);
  EXPECT_EQ(back.method.key, request.method.key);
  EXPECT_EQ(back.method.parameters, request.method.parameters);
  EXPECT_EQ(back.scheduler, request.scheduler);
  EXPECT_EQ(back.steps, request.steps);
  EXPECT_EQ(back.guidance_scale, request.guidance_scale);
  EXPECT_EQ(back.dynamic_cfg, request.dynamic_cfg);
  EXPECT_EQ(back.vae_tiling, request.vae_tiling);
  EXPECT_EQ(back.seed, request.seed);
  EXPECT_EQ(back.frames, request.frames);
  EXPECT_EQ(back.height, request.height);
  EXPECT_EQ(back.width, request.width);
  EXPECT_EQ(back.max_sequence_length, request.max_sequence_length);
  EXPECT_EQ(back.dtype, request.dtype);
  EXPECT_EQ(back.device, request.device);
  EXPECT_EQ(back.threads, request.threads);
  EXPECT_EQ(back.latents_in, request.latents_in);
  EXPECT_EQ(back.keep_latents_per_step, request.keep_latents_per_step);
  EXPECT_EQ(to_json(back), to_json(request));
}

TEST(RequestJson, WholeNumbersAndRealsOfParametersKeepTheirType) {
  Request request;
  request.method.parameters = {{"real", 1.0}, {"integer", std::int64_t{1}}};
  const auto parameters = request_from_json(to_json(request)).method.parameters;
  EXPECT_TRUE(std::holds_alternative<double>(parameters.at("real")));
  EXPECT_TRUE(std::holds_alternative<std::int64_t>(parameters.at("integer")));
}

TEST(RequestJson, UnknownAndMissingAndNullKeysAreFine) {
  const Request request = request_from_json(R"({"prompt":"a","from_the_future":[1,{"x":2}],"steps":null})");
  EXPECT_EQ(request.prompt, "a");
  EXPECT_EQ(request.steps, 0);
  EXPECT_EQ(request.seed, 42u);
  EXPECT_EQ(request.method.key, "full");
}

TEST(RequestJson, AWrongTypeIsCorruptAndNamed) {
  try {
    request_from_json(R"({"steps":"many"})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    EXPECT_NE(std::string(error.what()).find("steps"), std::string::npos);
  }
  for (const char* text : {R"({"prompt":1})", R"({"steps":1.5})", R"({"dynamic_cfg":1})", R"({"seed":-1})", R"({"seed":0.5})",
                           R"({"method":"full"})", R"({"method":{"parameters":[1]}})", R"({"method":{"parameters":{"a":[1]}}})",
                           R"({"method":{"parameters":{"a":null}}})", R"({"guidance_scale":true})", R"({"model":{}})"})
    EXPECT_EQ(kind_of(text), ErrorKind::Corrupt) << text;
}

TEST(RequestJson, NumbersThatDoNotFitAreCorrupt) {
  for (const char* text : {R"({"steps":2147483648})", R"({"frames":-2147483649})", R"({"steps":18446744073709551615})",
                           R"({"seed":18446744073709551616})", R"({"guidance_scale":1e999})",
                           R"({"method":{"parameters":{"a":18446744073709551615}}})"})
    EXPECT_EQ(kind_of(text), ErrorKind::Corrupt) << text;
}

TEST(RequestJson, WhatIsNoRequestIsCorrupt) {
  for (const std::string& text : {std::string(), std::string("null"), std::string("[]"), std::string("3"), std::string("{"),
                                  std::string("{\"prompt\":\"\xff\"}"), std::string(5 << 20, ' '), std::string("\0\0\0", 3)})
    EXPECT_EQ(kind_of(text), ErrorKind::Corrupt);
}

TEST(RequestJson, DeepNestingNeitherCrashesNorHangs) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_EQ(kind_of(deep), ErrorKind::Corrupt);
  EXPECT_EQ(request_from_json("{\"unknown\":" + deep + "}").seed, 42u);
}

TEST(RequestJson, MutationsAreReadOrRefusedAsCorrupt) {
  const std::string good = to_json(unusual_request());
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, 1 + random() % 5);
          break;
        default:
          text.insert(at, 1, "{}[]\",:0-e"[random() % 10]);
          break;
      }
      if (text.empty()) text = "x";
    }
    try {
      request_from_json(text);
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::Corrupt) << text;
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(RequestJson, APromptThatIsNotUtf8StillMakesJson) {
  Request request;
  request.prompt =
      "a\xff"
      "b";
  EXPECT_EQ(request_from_json(to_json(request)).prompt,
            "a\xEF\xBF\xBD"
            "b");
}

}  // namespace
}  // namespace ditscope
