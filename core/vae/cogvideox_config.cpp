#include <nlohmann/json.hpp>

#include "core/vae/cogvideox_vae.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;
constexpr const char* kClass = "AutoencoderKLCogVideoX";
constexpr const char* kDownBlock = "CogVideoXDownBlock3D";
constexpr const char* kUpBlock = "CogVideoXUpBlock3D";

[[noreturn]] void unsupported(const std::string& key, const std::string& expected, const std::string& got) {
  throw Error{ErrorKind::Unsupported, std::string(kClass) + " config: expected " + key + " to be " + expected + ", got " + got +
                                          "; use a model with a supported value"};
}

/// Reads `key` into value where the config has it; null and absent leave the default.
template <typename T>
void read(const Json& json, const char* key, T& value) {
  const auto found = json.find(key);
  if (found != json.end() && !found->is_null()) value = found->get<T>();
}

void expect_blocks(const Json& json, const char* key, const char* type, size_t count) {
  const auto found = json.find(key);
  if (found == json.end()) {
    if (count != 4) unsupported(key, "a list of " + std::to_string(count) + " block types", "none (4 are the default)");
    return;
  }
  if (*found != Json(std::vector<std::string>(count, type))) {
    unsupported(key, std::to_string(count) + " times " + type, found->dump());
  }
}

}  // namespace

CogVideoXVaeConfig CogVideoXVaeConfig::from_json(const std::string& config_json) try {
  const Json json = Json::parse(config_json);
  const std::string class_name = json.value("_class_name", kClass);
  if (class_name != kClass) unsupported("_class_name", kClass, class_name);
  CogVideoXVaeConfig config;
  read(json, "in_channels", config.in_channels);
  read(json, "out_channels", config.out_channels);
  read(json, "block_out_channels", config.block_out_channels);
  read(json, "latent_channels", config.latent_channels);
  read(json, "layers_per_block", config.layers_per_block);
  read(json, "act_fn", config.act_fn);
  read(json, "norm_eps", config.norm_eps);
  read(json, "norm_num_groups", config.norm_num_groups);
  read(json, "temporal_compression_ratio", config.temporal_compression_ratio);
  read(json, "sample_height", config.sample_height);
  read(json, "sample_width", config.sample_width);
  read(json, "scaling_factor", config.scaling_factor);
  if (const auto shift = json.find("shift_factor"); shift != json.end() && !shift->is_null()) config.shift_factor = shift->get<double>();
  if (const auto upcast = json.find("force_upcast"); upcast != json.end() && !upcast->is_null()) {
    config.force_upcast = upcast->is_boolean() ? upcast->get<bool>() : upcast->get<double>() != 0.0;
  }
  read(json, "use_quant_conv", config.use_quant_conv);
  read(json, "use_post_quant_conv", config.use_post_quant_conv);
  read(json, "invert_scale_latents", config.invert_scale_latents);
  for (const char* key : {"latents_mean", "latents_std"}) {
    if (const auto found = json.find(key); found != json.end() && !found->is_null()) unsupported(key, "null", found->dump());
  }
  expect_blocks(json, "down_block_types", kDownBlock, config.block_out_channels.size());
  expect_blocks(json, "up_block_types", kUpBlock, config.block_out_channels.size());
  config.check();
  return config;
} catch (const Json::exception& error) {
  throw Error{ErrorKind::Corrupt, std::string("expected the config.json of ") + kClass + ", got text that does not read as one (" +
                                      error.what() + "); fetch the file again"};
}

void CogVideoXVaeConfig::check() const {
  const auto positive = [](const char* key, double value) {
    if (!(value > 0)) unsupported(key, "positive", std::to_string(value));
  };
  positive("in_channels", static_cast<double>(in_channels));
  positive("out_channels", static_cast<double>(out_channels));
  positive("latent_channels", static_cast<double>(latent_channels));
  positive("layers_per_block", static_cast<double>(layers_per_block));
  positive("norm_num_groups", static_cast<double>(norm_num_groups));
  positive("norm_eps", norm_eps);
  positive("scaling_factor", scaling_factor);
  positive("sample_height", static_cast<double>(sample_height));
  positive("sample_width", static_cast<double>(sample_width));
  if (act_fn != "silu" && act_fn != "swish") unsupported("act_fn", "silu", act_fn);
  const auto blocks = static_cast<int64_t>(block_out_channels.size());
  if (blocks < 1 || blocks > 8) unsupported("block_out_channels", "1 to 8 widths", std::to_string(blocks));
  for (const int64_t width : block_out_channels) {
    if (width <= 0 || width % norm_num_groups != 0) {
      unsupported("block_out_channels", "multiples of norm_num_groups " + std::to_string(norm_num_groups), std::to_string(width));
    }
  }
  const int64_t ratio = temporal_compression_ratio;
  if (ratio < 1 || (ratio & (ratio - 1)) != 0 || ratio > (int64_t{1} << (blocks - 1)) || ratio > 8) {
    unsupported("temporal_compression_ratio", "1, 2, 4 or 8 and no more than the compression of rows", std::to_string(ratio));
  }
  // diffusers sizes these convolutions by the pixels' channels but applies them to latents.
  if ((use_quant_conv || use_post_quant_conv) && latent_channels != out_channels) {
    unsupported("use_quant_conv and use_post_quant_conv", "false where latent_channels differ from out_channels", "true");
  }
}

std::string CogVideoXVaeConfig::to_json() const {
  const size_t blocks = block_out_channels.size();
  const Json json{{"_class_name", kClass},
                  {"in_channels", in_channels},
                  {"out_channels", out_channels},
                  {"down_block_types", std::vector<std::string>(blocks, kDownBlock)},
                  {"up_block_types", std::vector<std::string>(blocks, kUpBlock)},
                  {"block_out_channels", block_out_channels},
                  {"latent_channels", latent_channels},
                  {"layers_per_block", layers_per_block},
                  {"act_fn", act_fn},
                  {"norm_eps", norm_eps},
                  {"norm_num_groups", norm_num_groups},
                  {"temporal_compression_ratio", temporal_compression_ratio},
                  {"sample_height", sample_height},
                  {"sample_width", sample_width},
                  {"scaling_factor", scaling_factor},
                  {"shift_factor", shift_factor ? Json(*shift_factor) : Json(nullptr)},
                  {"latents_mean", nullptr},
                  {"latents_std", nullptr},
                  {"force_upcast", force_upcast},
                  {"use_quant_conv", use_quant_conv},
                  {"use_post_quant_conv", use_post_quant_conv},
                  {"invert_scale_latents", invert_scale_latents}};
  return json.dump(2) + "\n";
}

}  // namespace ditscope
