#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ditscope {

/// What one step of a scheduler gives: the latents of the next one, and the clean latents it believes in.
struct SchedulerStep {
  at::Tensor prev_sample;
  at::Tensor pred_original_sample;
};

/// Walks latents from noise to video. One instance serves one run after another; set_timesteps() begins a run.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// Class name, as in scheduler_config.json.
  virtual const char* name() const = 0;
  /// True where step() draws noise, so that the same seed needs the same sequence of draws.
  virtual bool stochastic() const = 0;
  /// Standard deviation of the first latents.
  virtual double init_noise_sigma() const = 0;

  /// @throws Error{InvalidArgument} where `steps` is below 1 or above the training steps
  virtual void set_timesteps(int steps) = 0;
  /// One entry a step, descending; empty before set_timesteps().
  virtual const std::vector<std::int64_t>& timesteps() const = 0;
  /// What the model is shown in place of the latents at a step.
  virtual at::Tensor scale_model_input(const at::Tensor& sample, int index) const = 0;

  /// @param model_output  the guided prediction, shape of `sample`
  /// @param index         position in timesteps()
  /// @param previous_x0   pred_original_sample of the step before; undefined at the first
  /// @param generator     where the noise comes from; a CPU generator also serves latents on another device
  virtual SchedulerStep step(const at::Tensor& model_output, int index, const at::Tensor& sample, const at::Tensor& previous_x0,
                             std::optional<at::Generator> generator) = 0;

  /// Number of training timesteps.
  virtual int train_timesteps() const = 0;
  /// sqrt(a) x0 + sqrt(1-a) noise, per sample. @param timesteps (B) int64
  virtual at::Tensor add_noise(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& timesteps) const = 0;
  /// The v-prediction target sqrt(a) noise - sqrt(1-a) x0, per sample. @param timesteps (B) int64
  virtual at::Tensor get_velocity(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& timesteps) const = 0;

  /// A scheduler_config.json that diffusers loads.
  virtual std::string to_json() const = 0;
};

/// Makes a scheduler from a scheduler_config.json; `class_name`, where not empty, replaces the one of the file.
/// @throws Error{Unsupported} naming a class or value that cannot be done; Error{Corrupt} where the text is no config
std::unique_ptr<Scheduler> make_scheduler(const std::string& config_json, const std::string& class_name = "");

/// Class names that make_scheduler() knows.
const std::vector<std::string>& scheduler_names();

}  // namespace ditscope
