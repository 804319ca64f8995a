// Prints one JSON row a line: the bundled model end to end, then single evaluations of transformers of CogVideoX's own sizes with
// random weights. Seconds are medians; loading and one warm-up run are not counted.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/attention/session.h"
#include "core/bridge/accelerator.h"
#include "core/catalog/catalog.h"
#include "core/models/cogvideox_transformer.h"
#include "core/pipeline/generator.h"
#include "core/vae/cogvideox_vae.h"

namespace ditscope {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

struct BenchOptions {
  std::filesystem::path model;
  std::string device = "cuda", methods = "full;re-ttention", dtypes = "float32;bfloat16;float16";
  int steps = 10, runs = 3;
  bool large = true;
};

class Silence final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

/// Normal weights made where they are used: a model of gigabytes in seconds. Gains are 1.
class WeightsOnDevice final : public WeightSource {
 public:
  WeightsOnDevice(c10::Device device, at::ScalarType dtype) : options_(at::TensorOptions(dtype).device(device)) {}
  at::Tensor take(const std::string& key, at::IntArrayRef shape) override {
    if (shape.size() == 1) return key.ends_with("weight") ? at::ones(shape, options_) : at::zeros(shape, options_);
    double fan_in = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
    return at::randn(shape, options_).mul_(0.5 / std::sqrt(fan_in));
  }
  bool has(const std::string&) const override { return false; }

 private:
  at::TensorOptions options_;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ';');) parts.push_back(part);
  return parts;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const json& row) {
  std::cout << row.dump() << std::endl;
}

/// Runs `work` and prints its row; what fails becomes a row too, so that the others are still measured.
bool measured(json row, const std::function<void(json&)>& work) {
  try {
    work(row);
  } catch (const std::exception& error) {
    row["error"] = std::string(error.what()).substr(0, 400);
  }
  print(row);
  return !row.contains("error");
}

void bench_pipeline(Generator& generator, const BenchOptions& options, const std::string& dtype, const std::string& method, json& row) {
  Request request;
  request.model = options.model;
  request.prompt = Generator::inspect(options.model.empty() ? Generator::bundled_model() : options.model).example_prompt;
  request.method = parse_method_choice(method);
  request.steps = options.steps;
  request.dtype = dtype;
  request.device = options.device;
  Silence silence;
  RunResult result;
  std::vector<double> total, denoise, attention, decode;
  for (int run = 0; run <= options.runs; ++run) {
    RunControl control;
    result = generator.run(request, silence, control);
    if (run == 0) {
      row["text_seconds"] = result.stages.at("text");  // later runs remember the prompt
      row["load_seconds"] = result.stages.at("load");
      continue;
    }
    total.push_back(result.seconds);
    denoise.push_back(result.stages.at("denoise"));
    attention.push_back(result.attention_seconds);
    decode.push_back(result.stages.at("decode"));
  }
  row.update({{"frames", result.frames.count},
              {"height", result.frames.height},
              {"width", result.frames.width},
              {"steps", options.steps},
              {"runs", options.runs},
              {"seconds", median(total)},
              {"ms_per_step", 1e3 * median(denoise) / options.steps},
              {"attention_ms_per_step", 1e3 * median(attention) / options.steps},
              {"decode_seconds", median(decode)},
              {"kept_ratio_schedule", result.kept_ratio.schedule_average},
              {"peak_bytes", result.peak_bytes}});
}

/// CogVideoX 1.0 of 2 or 5 billion parameters at its own size: 49 frames of 480 x 720, both guidance branches.
CogVideoXConfig large_config(bool five_billion) {
  CogVideoXConfig config;
  if (five_billion) {
    config.num_attention_heads = 48;
    config.num_layers = 42;
    config.use_rotary_positional_embeddings = true;
  }
  return config;
}

void bench_transformer(const BenchOptions& options, bool five_billion, json& row) {
  const c10::InferenceMode inference;
  const c10::Device device = usable_device(options.device);
  const PeakDeviceMemory peak(device);
  WeightsOnDevice weights(device, at::kBFloat16);
  const CogVideoXConfig config = large_config(five_billion);
  const CogVideoXTransformer model(config, weights);
  const auto like = at::TensorOptions(at::kBFloat16).device(device);
  DenoiserCall call;
  call.latents = at::randn({2, 13, config.in_channels, 60, 90}, like);                           // (B,F,C,Y,X)
  call.text = at::randn({2, config.max_text_seq_length, config.text_embed_dim}, like);           // (B,T,C)
  call.timestep = at::full({2}, 500, at::TensorOptions(at::kLong).device(device));               // (B)
  call.branches = {Branch::Unconditional, Branch::Conditional};
  std::vector<double> seconds, attention_seconds;
  for (int run = 0; run <= options.runs; ++run) {
    AttentionSession attention(parse_method_choice("full"), 1);
    wait_for(device);
    const auto start = Clock::now();
    const at::Tensor out = model.forward(call, attention);  // (B,F,C,Y,X)
    wait_for(device);
    if (run == 0) {
      row["finite"] = at::isfinite(out).all().item<bool>();
      continue;
    }
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    attention_seconds.push_back(attention.attention_seconds());
  }
  row["ms_per_step"] = 1e3 * median(seconds);
  row["attention_ms_per_step"] = 1e3 * median(attention_seconds);
  row["peak_bytes"] = peak.bytes();
}

void bench_decoder(const BenchOptions& options, json& row) {
  const c10::InferenceMode inference;
  const c10::Device device = usable_device(options.device);
  const PeakDeviceMemory peak(device);
  WeightsOnDevice weights(device, at::kBFloat16);
  const CogVideoXVae vae(CogVideoXVaeConfig{}, weights, false);
  const at::Tensor latents = at::randn({1, 16, 13, 60, 90}, at::TensorOptions(at::kBFloat16).device(device));  // (B,C,F,Y,X)
  std::vector<double> seconds;
  for (int run = 0; run <= options.runs; ++run) {
    wait_for(device);
    const auto start = Clock::now();
    const at::Tensor video = vae.decode(latents);  // (B,3,F,Y,X)
    wait_for(device);
    if (run > 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  row["decode_seconds"] = median(seconds);
  row["peak_bytes"] = peak.bytes();
}

int run(const BenchOptions& options) {
  bool good = true;
  Generator generator;
  const std::string name = (options.model.empty() ? Generator::bundled_model() : options.model).filename().string();
  for (const std::string& dtype : split(options.dtypes)) {
    for (const std::string& method : split(options.methods)) {
      good &= measured({{"what", "pipeline"}, {"model", name}, {"device", options.device}, {"dtype", dtype}, {"method", method}},
                       [&](json& row) { bench_pipeline(generator, options, dtype, method, row); });
    }
  }
  generator.unload();
  if (!options.large) return good ? 0 : 1;
  for (const bool five_billion : {false, true}) {
    good &= measured({{"what", "transformer"}, {"model", five_billion ? "CogVideoX-5B size" : "CogVideoX-2B size"},
                      {"device", options.device}, {"dtype", "bfloat16"}, {"method", "full"}, {"tokens", 17776}},
                     [&](json& row) { bench_transformer(options, five_billion, row); });
  }
  good &= measured({{"what", "decoder"}, {"model", "CogVideoX size"}, {"device", options.device}, {"dtype", "bfloat16"}},
                   [&](json& row) { bench_decoder(options, row); });
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ditscope

int main(int argc, char** argv) {
  ditscope::BenchOptions options;
  CLI::App app("Times DiTScope on a device; one JSON row a line");
  app.add_option("--model", options.model, "Model folder (default: the bundled model)");
  app.add_option("--device", options.device, "cuda or cpu");
  app.add_option("--methods", options.methods, "Separated by ;");
  app.add_option("--dtypes", options.dtypes, "Separated by ;");
  app.add_option("--steps", options.steps, "Denoising steps of the bundled model");
  app.add_option("--runs", options.runs, "Measured runs, after one that is not");
  app.add_flag("!--no-large", options.large, "Leave out what needs a large GPU");
  CLI11_PARSE(app, argc, argv);
  return ditscope::run(options);
}
