// Captures of real runs of a tiny model: recording changes nothing, its figures are those of a naive computation, a replay has the
// run's bits, a shadow pass tells what was lost.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/capture/capture_diff.h"
#include "core/capture/capture_reader.h"
#include "core/capture/capture_writer.h"
#include "core/capture/exact_attention.h"
#include "core/pipeline/compare.h"
#include "core/pipeline/generator.h"
#include "kernels/error.h"
#include "tests/core/pipeline/tiny_request.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

constexpr const char* kWindow = "re-ttention:kept_ratio=0.25";

class Silent final : public EventSink {
 public:
  void on_event(const Event& event) override {
    if (on_step && std::holds_alternative<StepFinished>(event)) on_step(std::get<StepFinished>(event).record.index);
  }
  std::function<void(int)> on_step;
};

using test::kGolden;

Request tiny_request(const std::string& method = kWindow) { return test::tiny_request(method); }

CaptureOptions options_of(CaptureOptions::Level level) {
  CaptureOptions options;
  options.level = level;
  return options;
}

class CapturedRuns : public ::testing::Test {
 protected:
  RunResult run(const Request& request, const CaptureOptions& options) {
    CaptureWriter writer(file_, options);
    RunControl control;
    RunResult result = generator_.run(request, sink_, control, &writer);
    writer.close();
    EXPECT_TRUE(writer.totals().capturing) << writer.totals().message;
    return result;
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "run.ditcap";
  Generator generator_;
  Silent sink_;
};

TEST_F(CapturedRuns, AreTheSameToTheBitAsRunsWithout) {
  RunControl control;
  const RunResult without = generator_.run(tiny_request(), sink_, control);
  CaptureOptions options = options_of(CaptureOptions::Level::Full);
  options.layers = options.steps = options.shadow = IndexSet("all");
  const RunResult with = run(tiny_request(), options);
  EXPECT_EQ(with.frames.rgb, without.frames.rgb);
  EXPECT_EQ(with.noise_hash, without.noise_hash);
}

TEST_F(CapturedRuns, HoldTheRunItsStepsCallsAndArrays) {
  const RunResult result = run(tiny_request(), options_of(CaptureOptions::Level::Summary));
  const CaptureReader reader(file_);
  const CaptureRun captured = reader.run(1);
  EXPECT_EQ(captured.state, "complete");
  EXPECT_EQ(captured.noise_hash, result.noise_hash);
  EXPECT_EQ(captured.tokens(), captured.text_tokens + captured.grid_frames * captured.grid_rows * captured.grid_columns);
  EXPECT_EQ(captured.branches.size(), 2u);
  EXPECT_EQ(request_from_json(captured.request).prompt, "a small red cat moves left");
  EXPECT_NE(captured.words.find("cat"), std::string::npos) << captured.words;
  const auto steps = reader.steps(1);
  ASSERT_EQ(steps.size(), result.steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].timestep, result.steps[i].timestep);
    EXPECT_EQ(steps[i].action, step_kind_name(result.steps[i].kind));
    EXPECT_NEAR(*steps[i].step_ms, result.steps[i].seconds * 1e3, 1e-6);
    EXPECT_GT(*steps[i].capture_ms, 0);
    EXPECT_FALSE(steps[i].shadow_ms);
    const auto calls = reader.calls(1, steps[i].step);
    EXPECT_EQ(calls.size(), static_cast<std::size_t>(captured.model.layers) * 2);
    for (const CaptureCall& call : calls) EXPECT_EQ(call.heads.size(), static_cast<std::size_t>(captured.model.heads));
    EXPECT_TRUE(reader.find(1, {"preview", steps[i].step, {}, {}}));
    EXPECT_TRUE(reader.find(1, {"latents", steps[i].step, {}, {}}));
    EXPECT_TRUE(reader.find(1, {"map", steps[i].step, 0, 1}));
  }
  EXPECT_TRUE(reader.find(1, {"latents", 10, {}, {}}));
  const auto frames = reader.get(1, {"frames", {}, {}, {}});
  EXPECT_EQ(frames.header.shape, (std::vector<std::int64_t>{9, 3, 48, 64}));
  const auto bytes = reader.bytes(frames);
  EXPECT_NEAR(bytes[48 * 64 + 5] / 255.0, result.frames.rgb[5 * 3 + 1], 0.5 / 255 + 1e-6) << "green of the fifth pixel";
}

/// The figures of one head from q, k, v and the stored mask, in float64.
TEST_F(CapturedRuns, FiguresAreThoseOfANaiveComputation) {
  CaptureOptions options = options_of(CaptureOptions::Level::Full);
  options.layers = options.steps = IndexSet("all");
  options.shadow = IndexSet("all");
  run(tiny_request(), options);
  const CaptureReader reader(file_);
  const CaptureRun captured = reader.run(1);
  int step = -1;
  for (const CaptureStep& s : reader.steps(1))
    if (s.action == "sparse") step = s.step;
  ASSERT_GE(step, 0);
  const int layer = 1, branch = 1, head = 1;
  RunControl control;
  const AttentionOperands o = generator_.replay(reader, 1, step, layer, branch, {}, sink_, control);
  ASSERT_TRUE(o.bit_identical) << o.note;
  const auto at = [&](const std::vector<float>& values) {
    return at::tensor(at::ArrayRef<float>(values)).view({o.heads, o.tokens, o.width})[head].to(at::kDouble);
  };
  const at::Tensor logits = at::matmul(at(o.q), at(o.k).t()) * o.scale, p = at::softmax(logits, -1);  // (T,T)
  const at::Tensor full = at::matmul(p, at(o.v)), out = at(o.out);
  const CaptureCall call = *reader.call(1, step, layer, branch);
  const CaptureHead& h = call.heads[head];
  const auto plan = reader.plan(h.plan_id, o.tokens);
  EXPECT_FALSE(plan->dense());
  at::Tensor keep = at::zeros({o.tokens, o.tokens}, at::kDouble);
  for (std::int64_t i = 0; i < o.tokens; ++i) {
    const auto row = plan->row(i);
    for (std::int64_t j = 0; j < o.tokens; ++j) keep[i][j] = row[static_cast<std::size_t>(j)];
  }
  const at::Tensor rho = (p * keep).sum(-1);  // (T)
  EXPECT_EQ(call.sampled_rows, o.tokens);
  EXPECT_NEAR(*h.kept_ratio_achieved, keep.mean().item<double>(), 1e-9);
  EXPECT_NEAR(*h.recall, rho.mean().item<double>(), 1e-5);
  EXPECT_NEAR(*h.rho_true_p50, rho.median().item<double>(), 0.02);
  EXPECT_NEAR(*h.error_ratio, ((out - full).norm() / full.norm()).item<double>(), 1e-4);
  EXPECT_NEAR(*h.lse_mean, at::logsumexp(logits, -1).mean().item<double>(), 1e-4);
  EXPECT_TRUE(h.rho_used_mean && h.row_mass_mean && h.residual_ratio) << "Re-ttention scales its rows and adds to them";
  EXPECT_GT(*h.row_mass_mean, 0.9);

  // Every row, under shadow.
  bool found = false;
  for (const CaptureArrayInfo& info : reader.arrays(1, {"log_rho", step, layer, branch})) {
    if (info.header.source != "shadow") continue;
    found = true;
    const auto values = reader.values(info, head, 1);
    for (std::int64_t i = 0; i < o.tokens; ++i) ASSERT_NEAR(std::exp(values[static_cast<std::size_t>(i)]), rho[i].item<double>(), 2e-3);
  }
  EXPECT_TRUE(found);
  // The map: text and video never share a cell.
  const auto edges = map_edges(captured.text_tokens, true, o.tokens, 64);
  int exact_maps = 0;
  for (const CaptureArrayInfo& info : reader.arrays(1, {"map", step, layer, branch})) {
    if (info.header.source == "sampled") continue;
    ++exact_maps;
    const auto map = reader.values(info, head, 1);
    for (std::size_t m = 0; m + 1 < edges.size(); ++m) {
      for (std::size_t n = 0; n + 1 < edges.size(); ++n) {
        const double mass = p.slice(0, edges[m], edges[m + 1]).slice(1, edges[n], edges[n + 1]).sum(-1).mean().item<double>();
        ASSERT_NEAR(map[m * (edges.size() - 1) + n] / mass, 1, 0.04);
      }
    }
  }
  EXPECT_EQ(exact_maps, 1);
  // Rows and tiles from the stored operands (bfloat16) and from the replay.
  const AttentionOperands stored = stored_operands(reader, 1, step, layer, branch);
  const auto exact = attention_rows(o, head, {5}), rounded = attention_rows(stored, head, {5});
  for (std::int64_t j = 0; j < o.tokens; ++j) {
    ASSERT_NEAR(exact[static_cast<std::size_t>(j)], p[5][j].item<double>(), 1e-6);
    ASSERT_NEAR(rounded[static_cast<std::size_t>(j)], exact[static_cast<std::size_t>(j)], 0.02);
  }
  EXPECT_NEAR(attention_tile(o, head, 4, 6, 10, 13)[3 + 1], exact[11], 1e-7);
  double sum = 0;
  for (const float term : logit_terms(o, head, 5, 7)) sum += term;
  EXPECT_NEAR(sum, logits[5][7].item<double>(), 1e-5);
  EXPECT_THROW(attention_rows(o, head, {o.tokens}), Error);
}

TEST_F(CapturedRuns, ReplayEveryMethodToTheBitAndItsMasksExplainTheRecall) {
  for (const MethodEntry& method : methods()) {
    Request request = tiny_request(method.key);
    request.height = request.width = 128;
    run(request, options_of(CaptureOptions::Level::Summary));
    const CaptureReader reader(file_);
    const std::int64_t tokens = reader.run(1).tokens();
    RunControl control;
    for (const int step : {0, 5, 9}) {
      const AttentionOperands o = generator_.replay(reader, 1, step, 1, 1, {}, sink_, control);
      EXPECT_TRUE(o.bit_identical) << method.key << " step " << step << ": " << o.note;
      const auto ids = reader.values(reader.get(1, {"row_ids", {}, {}, {}}));
      const CaptureCall call = *reader.call(1, step, 1, 1);
      for (const CaptureHead& head : call.heads) {
        if (!head.recall) continue;
        const auto plan = reader.plan(head.plan_id, tokens);
        double recall = 0;
        for (const float id : ids) {
          const auto row = static_cast<std::int64_t>(id);
          const auto shares = attention_rows(o, head.head, {row});
          const auto kept = plan->row(row);
          for (std::int64_t j = 0; j < tokens; ++j) recall += kept[static_cast<std::size_t>(j)] ? shares[static_cast<std::size_t>(j)] : 0;
        }
        EXPECT_NEAR(*head.recall, recall / static_cast<double>(ids.size()), 1e-5) << method.key << " step " << step << " head " << head.head;
      }
    }
    EXPECT_THROW(generator_.replay(reader, 1, 10, 1, 1, {}, sink_, control), Error);
    EXPECT_THROW(generator_.replay(reader, 1, 3, 1, 1, kGolden / "cogx_5b_ddim", sink_, control), Error) << "another model";
  }
}

TEST_F(CapturedRuns, ShadowTimeIsNoPartOfTheTimings) {
  CaptureOptions options = options_of(CaptureOptions::Level::Summary);
  options.shadow = IndexSet("7");
  const RunResult result = run(tiny_request(), options);
  const CaptureReader reader(file_);
  for (const CaptureStep& step : reader.steps(1)) {
    EXPECT_EQ(step.shadow_ms.has_value(), step.step == 7);
    EXPECT_NEAR(*step.step_ms, result.steps[static_cast<std::size_t>(step.step)].seconds * 1e3, 1e-6);
  }
  const CaptureRun captured = reader.run(1);
  EXPECT_GT(*captured.shadow_ms, 0);
  EXPECT_NEAR(*captured.total_ms, result.seconds * 1e3, 1e-6);
}

TEST_F(CapturedRuns, AStoppedRunKeepsItsCompleteStepsAndResumesWithoutTheCapture) {
  RunControl control;
  {
    CaptureWriter writer(file_, options_of(CaptureOptions::Level::Summary));
    sink_.on_step = [&](int step) {
      if (step == 4) control.request_stop();
    };
    const RunResult stopped = generator_.run(tiny_request(), sink_, control, &writer);
    writer.close("stopped: by the user");
    EXPECT_TRUE(stopped.stopped);
    sink_.on_step = {};
    RunControl other;
    const RunResult resumed = generator_.resume(stopped, sink_, other);
    EXPECT_EQ(resumed.frames.rgb, generator_.run(tiny_request(), sink_, other).frames.rgb);
  }
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.steps(1).size(), 5u);
  EXPECT_EQ(reader.run(1).state, "stopped: by the user");
}

TEST_F(CapturedRuns, OfAComparisonShareAFileAndAreHeldAgainstEachOther) {
  RunControl control;
  CaptureOptions options = options_of(CaptureOptions::Level::Summary);
  options.runs = 2;
  CaptureWriter writer(file_, options);
  const Request request = tiny_request("full");
  compare(generator_, request, parse_method_list(std::string("full;") + kWindow), sink_, control, {}, &writer);
  writer.close();
  const CaptureReader reader(file_);
  ASSERT_EQ(reader.runs().size(), 2u);
  const CaptureDifference d = capture_difference(reader, 1, reader, 2);
  EXPECT_TRUE(d.same_noise && d.same_model && d.same_prompt && d.same_sizes);
  ASSERT_EQ(d.steps.size(), 10u);
  int first_sparse = -1;
  for (const CaptureStep& step : reader.steps(2)) {
    if (step.action == "sparse" && first_sparse < 0) first_sparse = step.step;
    EXPECT_NEAR(*step.latent_error_ratio, *d.steps[static_cast<std::size_t>(step.step)].latent_error_ratio, 1e-6);
  }
  EXPECT_EQ(d.first_divergence, first_sparse);
  EXPECT_TRUE(d.frame_psnr_db);
  EXPECT_FALSE(d.steps[0].recall_a.has_value());
  const CaptureDifference same = capture_difference(reader, 1, reader, 1);
  EXPECT_EQ(same.first_divergence, -1);
  EXPECT_EQ(*same.frame_psnr_db, 100);
}

/// The example of docs/capture.md, run as printed.
TEST_F(CapturedRuns, ReadInPythonAsTheDocumentationSays) {
  if (std::system("python3 -c 'import numpy' > /dev/null 2>&1") != 0) GTEST_SKIP() << "python3 with NumPy is not installed here";
  CaptureOptions options = options_of(CaptureOptions::Level::Summary);
  options.layers = options.steps = IndexSet("all");
  run(tiny_request(), options);
  std::ifstream page(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "docs/capture.md");
  std::string line, example;
  bool inside = false;
  while (std::getline(page, line)) {
    if (line == "```") inside = false;
    if (inside) example += line + "\n";
    if (line == "```python") inside = true;
  }
  ASSERT_FALSE(example.empty());
  const CaptureReader reader(file_);
  const auto map = reader.get(1, {"map", 8, 1, 1});
  const auto latents = reader.get(1, {"latents", 8, {}, {}});
  std::ofstream(folder_ / "example.py") << example
      << "import hashlib\nprint(json.dumps([mass.shape, float(mass.sum()), float(tensor(1, 'latents', 8, -1, -1, 1).astype('f8').sum()), "
         "float((tensor(1, 'q', 8, 1, 1, 1).astype('u4') << 16).view('f4').astype('f8').sum())]))\n";
  const std::string command =
      "cd " + folder_.path().string() + " && python3 example.py > out.json 2> error.txt";
  ASSERT_EQ(std::system(command.c_str()), 0) << std::ifstream(folder_ / "error.txt").rdbuf();
  std::ifstream result(folder_ / "out.json");
  const auto json = nlohmann::json::parse(result);
  const auto values = reader.values(map, 1, 1);
  double sum = 0, latent_sum = 0, q_sum = 0;
  for (const float value : values) sum += value;
  for (const float value : reader.values(latents)) latent_sum += value;
  for (const float value : reader.values(reader.get(1, {"q", 8, 1, 1}))) q_sum += value;
  EXPECT_EQ(json[0][0], map.header.shape[1]);
  EXPECT_NEAR(json[1].get<double>(), sum, 1e-4);
  EXPECT_NEAR(json[2].get<double>(), latent_sum, 1e-3);
  EXPECT_NEAR(json[3].get<double>(), q_sum, 1e-2);
}

}  // namespace
}  // namespace ditscope
