#include <nlohmann/json.hpp>

#include "core/models/cogvideox_transformer.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using nlohmann::json;

/// Reads typed values from a diffusers config: missing keys keep the default.
class ConfigReader {
 public:
  explicit ConfigReader(const std::string& text) : object_(json::parse(text, nullptr, false)) {
    if (!object_.is_object()) {
      throw Error(ErrorKind::Corrupt, "expected the transformer's config.json to be a JSON object; download the file again");
    }
  }

  bool is_null(const char* key) const { return !object_.contains(key) || object_[key].is_null(); }

  template <class T>
  void read(const char* key, T& value) const {
    if (!object_.contains(key)) return;
    const json& found = object_[key];
    bool fits = false;
    if constexpr (std::is_same_v<T, bool>) {
      fits = found.is_boolean();
    } else if constexpr (std::is_same_v<T, int>) {
      fits = found.is_number_integer() && found >= 0 && found <= 1 << 24;
    } else if constexpr (std::is_same_v<T, double>) {
      fits = found.is_number();
    } else {
      fits = found.is_string();
    }
    if (!fits) {
      throw Error(ErrorKind::Corrupt, std::string("expected another value for \"") + key +
                                          "\" in the transformer's config.json, got " + found.dump().substr(0, 80) +
                                          "; download the file again");
    }
    value = found.get<T>();
  }

  const json& object() const { return object_; }

 private:
  json object_;
};

[[noreturn]] void unsupported(const std::string& what) {
  throw Error(ErrorKind::Unsupported, "the transformer's config.json asks for " + what);
}

}  // namespace

CogVideoXConfig CogVideoXConfig::from_json(const std::string& text) {
  const ConfigReader reader(text);
  if (reader.object().contains("_class_name") && reader.object()["_class_name"] != "CogVideoXTransformer3DModel") {
    unsupported("the class " + reader.object()["_class_name"].dump() +
                ", expected CogVideoXTransformer3DModel; choose a CogVideoX model");
  }
  CogVideoXConfig c;
  reader.read("num_attention_heads", c.num_attention_heads);
  reader.read("attention_head_dim", c.attention_head_dim);
  reader.read("in_channels", c.in_channels);
  reader.read("out_channels", c.out_channels);
  reader.read("flip_sin_to_cos", c.flip_sin_to_cos);
  reader.read("freq_shift", c.freq_shift);
  reader.read("time_embed_dim", c.time_embed_dim);
  reader.read("text_embed_dim", c.text_embed_dim);
  reader.read("num_layers", c.num_layers);
  reader.read("dropout", c.dropout);
  reader.read("attention_bias", c.attention_bias);
  reader.read("sample_width", c.sample_width);
  reader.read("sample_height", c.sample_height);
  reader.read("sample_frames", c.sample_frames);
  reader.read("patch_size", c.patch_size);
  if (!reader.is_null("patch_size_t")) reader.read("patch_size_t", c.patch_size_t.emplace());
  reader.read("temporal_compression_ratio", c.temporal_compression_ratio);
  reader.read("max_text_seq_length", c.max_text_seq_length);
  reader.read("activation_fn", c.activation_fn);
  reader.read("timestep_activation_fn", c.timestep_activation_fn);
  reader.read("norm_elementwise_affine", c.norm_elementwise_affine);
  reader.read("norm_eps", c.norm_eps);
  reader.read("spatial_interpolation_scale", c.spatial_interpolation_scale);
  reader.read("temporal_interpolation_scale", c.temporal_interpolation_scale);
  reader.read("use_rotary_positional_embeddings", c.use_rotary_positional_embeddings);
  reader.read("patch_bias", c.patch_bias);

  bool learned = false;
  reader.read("use_learned_positional_embeddings", learned);
  int offset_width = 0;
  if (!reader.is_null("ofs_embed_dim")) reader.read("ofs_embed_dim", offset_width);
  if (learned) {
    unsupported(
        "learned positions (use_learned_positional_embeddings), which image-to-video models have; choose a text-to-video model");
  }
  if (offset_width != 0) {
    unsupported("an offset embedding (ofs_embed_dim), which image-to-video models have; choose a text-to-video model");
  }
  c.check();
  return c;
}

std::string CogVideoXConfig::to_json() const {
  json object = {{"_class_name", "CogVideoXTransformer3DModel"},
                 {"_diffusers_version", "0.42.1"},
                 {"num_attention_heads", num_attention_heads},
                 {"attention_head_dim", attention_head_dim},
                 {"in_channels", in_channels},
                 {"out_channels", out_channels},
                 {"flip_sin_to_cos", flip_sin_to_cos},
                 {"freq_shift", freq_shift},
                 {"time_embed_dim", time_embed_dim},
                 {"ofs_embed_dim", nullptr},
                 {"text_embed_dim", text_embed_dim},
                 {"num_layers", num_layers},
                 {"dropout", dropout},
                 {"attention_bias", attention_bias},
                 {"sample_width", sample_width},
                 {"sample_height", sample_height},
                 {"sample_frames", sample_frames},
                 {"patch_size", patch_size},
                 {"patch_size_t", nullptr},
                 {"temporal_compression_ratio", temporal_compression_ratio},
                 {"max_text_seq_length", max_text_seq_length},
                 {"activation_fn", activation_fn},
                 {"timestep_activation_fn", timestep_activation_fn},
                 {"norm_elementwise_affine", norm_elementwise_affine},
                 {"norm_eps", norm_eps},
                 {"spatial_interpolation_scale", spatial_interpolation_scale},
                 {"temporal_interpolation_scale", temporal_interpolation_scale},
                 {"use_rotary_positional_embeddings", use_rotary_positional_embeddings},
                 {"use_learned_positional_embeddings", false},
                 {"patch_bias", patch_bias}};
  if (patch_size_t) object["patch_size_t"] = *patch_size_t;
  return object.dump(2) + "\n";
}

std::string CogVideoXConfig::published_name() const {
  const auto is = [&](int layers, int heads) { return num_layers == layers && num_attention_heads == heads && attention_head_dim == 64; };
  if (is(30, 30) && !patch_size_t) return "CogVideoX-2B";
  if (is(42, 48)) return patch_size_t ? "CogVideoX1.5-5B" : "CogVideoX-5B";
  return "";
}

void CogVideoXConfig::check() const {
  const auto positive = [](const char* key, int value) {
    if (value < 1) unsupported(std::string(key) + " = " + std::to_string(value) + ", expected at least 1");
  };
  positive("num_attention_heads", num_attention_heads);
  positive("attention_head_dim", attention_head_dim);
  positive("in_channels", in_channels);
  positive("out_channels", out_channels);
  positive("time_embed_dim", time_embed_dim);
  positive("text_embed_dim", text_embed_dim);
  positive("num_layers", num_layers);
  positive("sample_width", sample_width);
  positive("sample_height", sample_height);
  positive("sample_frames", sample_frames);
  positive("patch_size", patch_size);
  positive("temporal_compression_ratio", temporal_compression_ratio);
  positive("max_text_seq_length", max_text_seq_length);
  if (patch_size_t) positive("patch_size_t", *patch_size_t);
  if (in_channels != out_channels) {
    unsupported(std::to_string(in_channels) + " input and " + std::to_string(out_channels) +
                " output channels, as image-to-video models have; choose a text-to-video model");
  }
  if (activation_fn != "gelu-approximate" && activation_fn != "gelu") {
    unsupported("activation_fn \"" + activation_fn + "\", expected \"gelu-approximate\" or \"gelu\"");
  }
  const std::string& t = timestep_activation_fn;
  if (t != "silu" && t != "swish" && t != "gelu" && t != "relu" && t != "mish") {
    unsupported("timestep_activation_fn \"" + t + "\", expected \"silu\", \"gelu\", \"relu\" or \"mish\"");
  }
  if (patch_size_t && !use_rotary_positional_embeddings) {
    unsupported("patch_size_t without use_rotary_positional_embeddings, which no CogVideoX has");
  }
  if (use_rotary_positional_embeddings && attention_head_dim % 16 != 0) {
    unsupported("rotary positions with attention_head_dim " + std::to_string(attention_head_dim) + ", expected a multiple of 16");
  }
  if (!use_rotary_positional_embeddings && inner_dim() % 16 != 0) {
    unsupported("sincos positions over " + std::to_string(inner_dim()) + " channels, expected a multiple of 16");
  }
  if (inner_dim() / 2 <= freq_shift)
    unsupported("freq_shift " + std::to_string(freq_shift) + ", expected less than half the width");
  if (!(spatial_interpolation_scale > 0) || !(temporal_interpolation_scale > 0)) {
    unsupported("an interpolation scale that is not positive");
  }
}

}  // namespace ditscope
