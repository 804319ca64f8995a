#include "core/schedulers/cogvideox_schedule.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace ditscope {
namespace {

using nlohmann::json;

[[noreturn]] void unsupported(const std::string& what) {
  throw Error(ErrorKind::Unsupported, "scheduler_config.json asks for " + what);
}

void read(const json& object, const char* key, bool (json::*is)() const noexcept, auto& value) {
  if (!object.contains(key) || object[key].is_null()) return;
  if (!(object[key].*is)()) {
    throw Error(ErrorKind::Corrupt, std::string("expected another value for \"") + key + "\" in scheduler_config.json, got " +
                                        object[key].dump().substr(0, 80) + "; download the file again");
  }
  object[key].get_to(value);
}

void one_of(const char* key, const std::string& value, std::initializer_list<const char*> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string message = std::string(key) + " \"" + value + "\", expected one of";
  for (const char* k : known) message += std::string(" ") + k;
  unsupported(message);
}

at::Tensor cosine_betas(int count) {
  const auto alpha_bar = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * M_PI / 2), 2); };
  std::vector<double> betas(count);
  for (int i = 0; i < count; ++i) {
    betas[i] = std::min(1 - alpha_bar(double(i + 1) / count) / alpha_bar(double(i) / count), 0.999);
  }
  return at::tensor(betas, at::kDouble).to(at::kFloat);
}

at::Tensor betas_of(const CogVideoXScheduleConfig& c) {
  if (!c.trained_betas.empty()) return at::tensor(c.trained_betas, at::kDouble).to(at::kFloat);
  if (c.beta_schedule == "linear") return at::linspace(c.beta_start, c.beta_end, c.num_train_timesteps, at::kFloat);
  if (c.beta_schedule == "squaredcos_cap_v2") return cosine_betas(c.num_train_timesteps);
  return at::linspace(std::sqrt(c.beta_start), std::sqrt(c.beta_end), c.num_train_timesteps, at::kDouble).square();
}

at::Tensor alphas_of(const CogVideoXScheduleConfig& c) {
  at::Tensor alphas = at::cumprod(1.0 - betas_of(c), 0);
  alphas = alphas / (c.snr_shift_scale + (1 - c.snr_shift_scale) * alphas);
  if (!c.rescale_betas_zero_snr) return alphas;
  at::Tensor root = alphas.sqrt();
  const at::Tensor first = root[0].clone(), last = root[-1].clone();
  root = (root - last) * (first / (first - last));
  return root.square();
}

}  // namespace

CogVideoXScheduleConfig CogVideoXScheduleConfig::from_json(const std::string& text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) {
    throw Error(ErrorKind::Corrupt, "expected scheduler_config.json to be a JSON object; download the file again");
  }
  CogVideoXScheduleConfig c;
  read(object, "num_train_timesteps", &json::is_number_integer, c.num_train_timesteps);
  read(object, "beta_start", &json::is_number, c.beta_start);
  read(object, "beta_end", &json::is_number, c.beta_end);
  read(object, "beta_schedule", &json::is_string, c.beta_schedule);
  read(object, "clip_sample", &json::is_boolean, c.clip_sample);
  read(object, "clip_sample_range", &json::is_number, c.clip_sample_range);
  read(object, "sample_max_value", &json::is_number, c.sample_max_value);
  read(object, "set_alpha_to_one", &json::is_boolean, c.set_alpha_to_one);
  read(object, "steps_offset", &json::is_number_integer, c.steps_offset);
  read(object, "prediction_type", &json::is_string, c.prediction_type);
  read(object, "timestep_spacing", &json::is_string, c.timestep_spacing);
  read(object, "rescale_betas_zero_snr", &json::is_boolean, c.rescale_betas_zero_snr);
  read(object, "snr_shift_scale", &json::is_number, c.snr_shift_scale);
  if (object.contains("trained_betas") && !object["trained_betas"].is_null()) {
    for (const json& beta : object["trained_betas"]) {
      if (!beta.is_number()) throw Error(ErrorKind::Corrupt, "expected numbers in \"trained_betas\" of scheduler_config.json");
      c.trained_betas.push_back(beta.get<double>());
    }
    if (static_cast<int>(c.trained_betas.size()) != c.num_train_timesteps) {
      unsupported(std::to_string(c.trained_betas.size()) + " trained_betas for " + std::to_string(c.num_train_timesteps) +
                  " timesteps, expected as many");
    }
  }
  if (c.num_train_timesteps < 1 || c.num_train_timesteps > 1000000) {
    unsupported("num_train_timesteps " + std::to_string(c.num_train_timesteps) + ", expected 1 to 1000000");
  }
  one_of("beta_schedule", c.beta_schedule, {"linear", "scaled_linear", "squaredcos_cap_v2"});
  one_of("prediction_type", c.prediction_type, {"epsilon", "sample", "v_prediction"});
  one_of("timestep_spacing", c.timestep_spacing, {"linspace", "leading", "trailing"});
  return c;
}

std::string CogVideoXScheduleConfig::to_json(const std::string& class_name) const {
  json object = {{"_class_name", class_name},
                 {"_diffusers_version", "0.42.1"},
                 {"num_train_timesteps", num_train_timesteps},
                 {"beta_start", beta_start},
                 {"beta_end", beta_end},
                 {"beta_schedule", beta_schedule},
                 {"trained_betas", nullptr},
                 {"clip_sample", clip_sample},
                 {"clip_sample_range", clip_sample_range},
                 {"sample_max_value", sample_max_value},
                 {"set_alpha_to_one", set_alpha_to_one},
                 {"steps_offset", steps_offset},
                 {"prediction_type", prediction_type},
                 {"timestep_spacing", timestep_spacing},
                 {"rescale_betas_zero_snr", rescale_betas_zero_snr},
                 {"snr_shift_scale", snr_shift_scale}};
  if (!trained_betas.empty()) object["trained_betas"] = trained_betas;
  return object.dump(2) + "\n";
}

CogVideoXScheduler::CogVideoXScheduler(CogVideoXScheduleConfig config) : config_(std::move(config)) {
  const c10::InferenceMode no_inference(false);  // the table also serves training
  alphas_ = alphas_of(config_);
  const at::Tensor wide = alphas_.to(at::kDouble).contiguous();
  alphas_cumprod_.assign(wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel());
}

void CogVideoXScheduler::set_timesteps(int steps) {
  const int train = config_.num_train_timesteps;
  if (steps < 1 || steps > train) {
    throw Error(ErrorKind::InvalidArgument, "expected 1 to " + std::to_string(train) + " steps, got " + std::to_string(steps));
  }
  steps_ = steps;
  timesteps_.clear();
  if (config_.timestep_spacing == "trailing") {
    // numpy.arange(train, 0, -train/steps): as many entries as it takes, each start + i * delta.
    const double delta = (train - double(train) / steps) - train;
    const int count = static_cast<int>(std::ceil((0.0 - train) / (-double(train) / steps)));
    for (int i = 0; i < count; ++i) timesteps_.push_back(static_cast<std::int64_t>(std::nearbyint(train + i * delta)) - 1);
    // Differs from diffusers: for some counts (61, 103, ...) rounding gives arange one entry more, a timestep of -1 that
    // diffusers reads as the last of the table (pure noise), so that its final step turns the video into the model's negated
    // output.
    while (timesteps_.back() < 0) timesteps_.pop_back();
  } else if (config_.timestep_spacing == "leading") {
    for (int i = steps - 1; i >= 0; --i) timesteps_.push_back(std::int64_t(i) * (train / steps) + config_.steps_offset);
  } else {
    const double delta = steps > 1 ? double(train - 1) / (steps - 1) : 0;
    for (int i = steps - 1; i >= 0; --i) {
      const double at = i == steps - 1 && steps > 1 ? train - 1 : i * delta;
      timesteps_.push_back(static_cast<std::int64_t>(std::nearbyint(at)));
    }
  }
}

CogVideoXScheduler::Alphas CogVideoXScheduler::alphas_at(int index) const {
  const int steps = static_cast<int>(timesteps_.size()), train = config_.num_train_timesteps;
  if (index < 0 || index >= steps || timesteps_[index] < 0 || timesteps_[index] >= train) {
    throw Error(ErrorKind::InvalidArgument, "expected a step below " + std::to_string(steps) + " on " + std::to_string(train) +
                                                " timesteps, got " + std::to_string(index));
  }
  const std::int64_t next = timesteps_[index] - train / steps_;
  Alphas a;
  a.now = alphas_cumprod_[timesteps_[index]];
  a.next_is_final = next < 0;
  a.next = next >= 0 ? alphas_cumprod_[next] : config_.set_alpha_to_one ? 1.0 : alphas_cumprod_[0];
  a.back = index > 0 ? alphas_cumprod_[timesteps_[index - 1]] : std::numeric_limits<double>::quiet_NaN();
  return a;
}

at::Tensor CogVideoXScheduler::predict_original(const at::Tensor& output, const at::Tensor& sample, double alpha) const {
  const double signal = std::sqrt(alpha), noise = std::sqrt(1 - alpha);
  if (config_.prediction_type == "sample") return output;
  if (config_.prediction_type == "v_prediction") return signal * sample - noise * output;
  return (sample - noise * output) / signal;
}

std::pair<at::Tensor, at::Tensor> CogVideoXScheduler::weights_at(const at::Tensor& timesteps, const at::Tensor& like) const {
  const at::Tensor a =
      alphas_.to(like.device(), like.scalar_type()).index_select(0, timesteps.to(like.device(), at::kLong).flatten());
  std::vector<std::int64_t> shape(like.dim(), 1);
  shape[0] = a.size(0);
  return {a.sqrt().view(shape), (1 - a).sqrt().view(shape)};
}

at::Tensor CogVideoXScheduler::add_noise(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& timesteps) const {
  const auto [signal, spread] = weights_at(timesteps, x0);
  return signal * x0 + spread * noise;
}

at::Tensor CogVideoXScheduler::get_velocity(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& timesteps) const {
  const auto [signal, spread] = weights_at(timesteps, x0);
  return signal * noise - spread * x0;
}

}  // namespace ditscope
