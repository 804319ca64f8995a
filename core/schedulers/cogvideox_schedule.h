#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/schedulers/scheduler.h"

namespace ditscope {

/// The scheduler_config.json of a CogVideoX scheduler; fields and defaults are those of diffusers 0.42.
struct CogVideoXScheduleConfig {
  int num_train_timesteps = 1000;
  double beta_start = 0.00085;
  double beta_end = 0.0120;
  std::string beta_schedule = "scaled_linear";  ///< "linear" "scaled_linear" "squaredcos_cap_v2"
  std::vector<double> trained_betas;            ///< empty: from beta_schedule
  bool clip_sample = true;                      ///< kept for the file; diffusers' steps never clip
  double clip_sample_range = 1.0;               ///< kept for the file
  double sample_max_value = 1.0;                ///< kept for the file
  bool set_alpha_to_one = true;
  int steps_offset = 0;
  std::string prediction_type = "epsilon";   ///< "epsilon" "sample" "v_prediction"
  std::string timestep_spacing = "leading";  ///< "linspace" "leading" "trailing"
  bool rescale_betas_zero_snr = false;
  double snr_shift_scale = 3.0;

  /// @throws Error{Corrupt, Unsupported}
  static CogVideoXScheduleConfig from_json(const std::string& text);
  std::string to_json(const std::string& class_name) const;
};

/// What CogVideoX's two schedulers share: the noise schedule, its timesteps and the training helpers.
///
/// a_t = cumprod(1 - beta); a <- a / (s + (1-s) a) with s = snr_shift_scale; then sqrt(a) is shifted and scaled so that the last
/// is 0 (Lin et al. 2023, arXiv:2305.08891, Alg. 1).
class CogVideoXScheduler : public Scheduler {
 public:
  explicit CogVideoXScheduler(CogVideoXScheduleConfig config);

  double init_noise_sigma() const override { return 1.0; }
  void set_timesteps(int steps) override;
  const std::vector<std::int64_t>& timesteps() const override { return timesteps_; }
  at::Tensor scale_model_input(const at::Tensor& sample, int) const override { return sample; }
  int train_timesteps() const override { return config_.num_train_timesteps; }
  at::Tensor add_noise(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& timesteps) const override;
  at::Tensor get_velocity(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& timesteps) const override;
  std::string to_json() const override { return config_.to_json(name()); }

  const CogVideoXScheduleConfig& config() const { return config_; }
  /// Share of signal power at each training timestep.
  const std::vector<double>& alphas_cumprod() const { return alphas_cumprod_; }

 protected:
  /// a at step `index`, at the timestep it goes to, and at the step before (NaN at the first).
  struct Alphas {
    double now, next, back;
    bool next_is_final;  ///< the step goes below timestep 0
  };
  /// @throws Error{InvalidArgument} outside timesteps()
  Alphas alphas_at(int index) const;
  /// The clean sample that the model's output stands for.
  at::Tensor predict_original(const at::Tensor& model_output, const at::Tensor& sample, double alpha) const;

 private:
  /// (sqrt(a), sqrt(1-a)) of each sample, shaped to multiply `like`.
  std::pair<at::Tensor, at::Tensor> weights_at(const at::Tensor& timesteps, const at::Tensor& like) const;

  CogVideoXScheduleConfig config_;
  at::Tensor alphas_;  // (train_timesteps) as diffusers keeps it: float64, float32 for the float32 beta schedules
  std::vector<double> alphas_cumprod_;
  std::vector<std::int64_t> timesteps_;
  int steps_ = 0;  ///< as asked for
};

}  // namespace ditscope
