#include "core/training/training_run.h"

#include <ATen/autocast_mode.h>
#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/checkpoint/safetensors.h"
#include "kernels/error.h"

namespace ditscope {

namespace {
constexpr double kReportEverySeconds = 10;
}

TrainingRun::TrainingRun(const TrainingOptions& options, TrainingReport report, TrainingStop stop)
    : options_(options), report_(std::move(report)), stop_(std::move(stop)) {
  if ((options.minutes > 0) == (options.steps > 0)) {
    throw Error(ErrorKind::InvalidArgument, "A training run needs either --minutes or --steps, above zero. Give one of them.");
  }
  std::filesystem::create_directories(options.folder);
}

bool TrainingRun::restore(Optimizer& optimizer) {
  const auto file = options_.folder / "state.safetensors";
  if (!std::filesystem::exists(file)) return false;
  const auto state = load_tensors(file);
  if (!state.count("clock") || !optimizer.restore(state)) {
    throw Error(ErrorKind::InvalidArgument, file.string() + " is of a run with another configuration. "
                                            "Give another --out folder, or the options that began it.");
  }
  seconds_before_ = state.at("clock")[0].item<double>();
  step_ = optimizer.steps();
  return true;
}

void TrainingRun::save(const Optimizer& optimizer) {
  auto state = optimizer.state();
  state["clock"] = at::tensor({seconds()}, at::kDouble);
  save_tensors(options_.folder / "state.safetensors", state);
  saved_ = Clock::now();
}

double TrainingRun::seconds() const {
  return seconds_before_ + std::chrono::duration<double>(Clock::now() - started_).count();
}

double TrainingRun::fraction() const {
  const double done = options_.steps > 0 ? static_cast<double>(step_) / static_cast<double>(options_.steps)
                                         : seconds() / (options_.minutes * 60);
  return std::clamp(done, 0.0, 1.0);
}

bool TrainingRun::advance(double loss, double gradient_norm, double learning_rate, const std::string& phase, double quality) {
  ++step_;
  ++steps_since_report_;
  loss_since_report_ += loss;
  const auto now = Clock::now();
  if (std::chrono::duration<double>(now - reported_).count() >= kReportEverySeconds || fraction() >= 1.0 || quality != 0) {
    const double done = fraction();
    TrainingProgress progress;
    progress.phase = phase;
    progress.step = step_;
    progress.fraction = done;
    progress.seconds = seconds();
    progress.remaining_seconds = done > 0 ? progress.seconds * (1 - done) / done : 0;
    progress.loss = loss_since_report_ / static_cast<double>(steps_since_report_);
    progress.gradient_norm = gradient_norm;
    progress.learning_rate = learning_rate;
    progress.quality = quality;
    report_(progress);
    reported_ = now;
    steps_since_report_ = 0;
    loss_since_report_ = 0;
  }
  return std::chrono::duration<double>(now - saved_).count() >= options_.checkpoint_minutes * 60;
}

void append_training_log(const std::filesystem::path& file, const TrainingProgress& p) {
  std::ofstream log(file, std::ios::app);
  log << nlohmann::json{{"phase", p.phase},         {"step", p.step}, {"fraction", p.fraction},
                        {"seconds", p.seconds},     {"loss", p.loss}, {"gradient_norm", p.gradient_norm},
                        {"learning_rate", p.learning_rate}, {"quality", p.quality}}
             .dump()
      << '\n';
}

Bfloat16Scope::Bfloat16Scope(bool enabled, bool cuda) : enabled_(enabled), cuda_(cuda) {
  if (!enabled_) return;
  const auto device = cuda_ ? at::kCUDA : at::kCPU;
  at::autocast::set_autocast_dtype(device, at::kBFloat16);
  at::autocast::set_autocast_enabled(device, true);
}

Bfloat16Scope::~Bfloat16Scope() {
  if (!enabled_) return;
  at::autocast::set_autocast_enabled(cuda_ ? at::kCUDA : at::kCPU, false);
  at::autocast::clear_cache();
}

}  // namespace ditscope
