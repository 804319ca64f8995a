#include "core/pipeline/calibrate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/pipeline/generator.h"
#include "kernels/error.h"
#include "tests/core/pipeline/tiny_request.h"

namespace ditscope {
namespace {

class Silence final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

CalibrationTask tiny_task(const char* method) {
  CalibrationTask task;
  task.request = test::tiny_request(method, "cogx_5b_ddim");
  task.request.steps = 4;
  task.request.frames = 5;
  task.prompts = {"a small red cat", "rain"};
  return task;
}

Calibration calibrated(const CalibrationTask& task) {
  Generator generator;
  Silence sink;
  RunControl control;
  return generator.calibrate(task, sink, control);
}

RunResult run(const Request& request) {
  Generator generator;
  Silence sink;
  RunControl control;
  return generator.run(request, sink, control);
}

struct TemporaryFile {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("plan-" + std::to_string(::getpid()) + ".json");
  ~TemporaryFile() { std::filesystem::remove(path); }
};

TEST(Calibrate, APlanThatMayLoseAnythingReusesAndOneThatMayLoseNothingIsFull) {
  CalibrationTask task = tiny_task("ditfastattn");
  const int layers = Generator::inspect(task.request.model).layers;
  task.delta = 1e-9;
  const auto all = calibrated(task).table("plan", {4, layers}).values;
  EXPECT_EQ(std::count(all.begin(), all.end(), 0), 4 * layers);
  task.delta = 10.001 * layers;  // the loss is at most 10
  const Calibration loose = calibrated(task);
  const auto plan = loose.table("plan", {4, layers}).values;
  EXPECT_EQ(std::count(plan.begin(), plan.begin() + layers, 0), layers) << "step 0 is full";
  EXPECT_EQ(std::count(plan.begin() + layers, plan.end(), 1), 3 * layers) << "then every layer reuses";

  const TemporaryFile file;
  loose.write(file.path);
  Request request = task.request;
  request.method.parameters["plan"] = file.path.string();
  const RunResult result = run(request);
  EXPECT_EQ(result.steps[0].kind, StepRecord::Kind::Full);
  for (int step = 1; step < 4; ++step) EXPECT_EQ(result.steps[static_cast<std::size_t>(step)].kind, StepRecord::Kind::Cached);

  const auto refused = [&](const Request& other, const char* what) {
    try {
      run(other);
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument) << error.what();
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  Request other = request;
  other.steps = 5;
  refused(other, "steps 4");
  other = request;
  other.width = 80;
  refused(other, "columns");
  other = request;
  other.model = test::kGolden / "cogx_5b_dpm_dynamic_cfg";
  refused(other, "made for");
}

TEST(Calibrate, APlanBetweenStaysWithinItsDeltaStepByStep) {
  CalibrationTask task = tiny_task("ditfastattn:kept_ratio=0.25,window=band");
  task.delta = 0.15;
  const int layers = Generator::inspect(task.request.model).layers;
  const auto a = calibrated(task), b = calibrated(task);
  EXPECT_EQ(a.tables.at("plan").values, b.tables.at("plan").values) << "deterministic";
  EXPECT_EQ(a.tables.at("plan").shape, (std::vector<std::int64_t>{4, layers}));
}

TEST(Calibrate, WindowsAndThresholdsServeTheirMethods) {
  const TemporaryFile file;
  for (const auto& [method, parameter] : {std::pair{"sta:warmup_steps=1,tile=1x8x8", "windows"}, {"spargeattn:qk=int8,warmup_steps=1", "tuning"}}) {
    CalibrationTask task = tiny_task(method);
    task.prompts.resize(1);
    task.request.steps = 2;
    task.sampled_steps = 1;
    task.kept_ratio = 1;
    const Calibration found = calibrated(task);
    const int layers = Generator::inspect(task.request.model).layers;
    if (found.method == "sta") {
      EXPECT_EQ(found.tables.at("window").shape, (std::vector<std::int64_t>{2, layers, found.key.heads}));
      for (const double number : found.tables.at("window").values) EXPECT_LT(number, static_cast<double>(found.tables.at("candidates").shape[0]));
    } else {
      for (const char* name : {"similarity", "cdf", "pv_skip"}) found.table(name, {layers, found.key.heads});
    }
    found.write(file.path);
    Request request = task.request;
    request.method.parameters[parameter] = file.path.string();
    const RunResult result = run(request);
    EXPECT_EQ(result.steps[1].kind, StepRecord::Kind::Sparse) << method;
    EXPECT_FALSE(result.frames.rgb.empty());
  }
}

TEST(Calibrate, ThresholdsCanBeAsFineAsThePapers) {
  CalibrationTask task = tiny_task("spargeattn:warmup_steps=1");
  task.prompts.resize(1);
  task.request.steps = 2;
  task.sampled_steps = 1;
  const auto on_grid = [](const std::vector<double>& values, double step) {
    return std::all_of(values.begin(), values.end(), [&](double v) { return v / step == std::round(v / step); });
  };
  for (const bool fine : {false, true}) {
    task.paper_grid = fine;
    const Calibration found = calibrated(task);
    EXPECT_TRUE(on_grid(found.tables.at("cdf").values, fine ? 1.0 / 1024 : 1.0 / 256));
    EXPECT_EQ(on_grid(found.tables.at("pv_skip").values, 50.0 / 256), !fine);
    EXPECT_TRUE(on_grid(found.tables.at("similarity").values, fine ? 1.0 / 16 : 1.0 / 8));
  }
}

TEST(Calibrate, RefusesMethodsThatHaveNothingToSearch) {
  EXPECT_THROW(calibrated(tiny_task("svg")), Error);
  CalibrationTask task = tiny_task("sta");
  task.prompts.clear();
  EXPECT_THROW(calibrated(task), Error);
}

TEST(MemoryBudget, OfARequestIsHeldBeforeAnyWeightIsLoaded) {
  Request request = test::tiny_request("re-ttention");
  const std::int64_t needs = Generator::estimate_bytes(request).at("method");
  ASSERT_GT(needs, 0);
  request.memory_budget_bytes = needs;
  EXPECT_NO_THROW(Generator::complete(request));
  EXPECT_EQ(request_from_json(to_json(request)).memory_budget_bytes, needs);
  request.memory_budget_bytes = needs - 1;
  try {
    Generator::complete(request);
    FAIL() << "a byte too few";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    EXPECT_NE(std::string(error.what()).find("residual=bf16"), std::string::npos) << error.what();
  }
  request.method.parameters["residual"] = std::string("bf16");
  EXPECT_NO_THROW(Generator::complete(request));
}

}  // namespace
}  // namespace ditscope
