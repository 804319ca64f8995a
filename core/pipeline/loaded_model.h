#pragma once
#include <ATen/core/Tensor.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/pipeline/events.h"
#include "core/pipeline/model_configs.h"
#include "core/pipeline/preview.h"
#include "core/pipeline/run_control.h"
#include "core/text/t5_encoder.h"
#include "core/text/tokenizer.h"

namespace ditscope {

class CaptureWriter;

/// Who watches a run: where its progress goes, what can stop it, and which stage it is in, for messages.
struct Watch {
  EventSink& sink;
  RunControl& control;
  std::string stage = "";    ///< "VAE decode"
  double load_seconds = 0;   ///< spent loading, which is not counted as running
  double pause_seconds = 0;  ///< spent paused, likewise
  double shadow_seconds = 0; ///< spent on shadow passes of a capture, likewise
  CaptureWriter* capture = nullptr;  ///< where the run is recorded; null: nowhere
  bool decoding = false;     ///< "stop and decode" asks for no more than what is being done

  /// Waits while paused. @throws Error{Cancelled} when the run is to stop
  void check();
};

/// What a run computes in.
struct Precision {
  c10::ScalarType dtype = c10::ScalarType::Float;     ///< noise, latents, text encoder, the ends of the transformer, pixels
  c10::ScalarType products = c10::ScalarType::Float;  ///< the transformer's large matrices and its attention
  c10::ScalarType decoder = c10::ScalarType::Float;   ///< the VAE
  bool operator==(const Precision&) const = default;

  /// By the name a completed Request gives it. "mixed" draws the noise of float32 and so makes its video, to within a few grey levels:
  /// large products and the VAE in bfloat16, all that adds up from layer to layer and step to step in float32.
  static Precision of(const std::string& name);
};

/// The parts of a model folder, each loaded when it is first needed.
class LoadedModel {
 public:
  LoadedModel(ModelConfigs configs, Precision precision, c10::Device device);

  const ModelConfigs& configs() const { return configs_; }
  c10::ScalarType dtype() const { return precision_.dtype; }
  const Precision& precision() const { return precision_; }
  c10::Device device() const { return device_; }

  const Tokenizer& tokenizer();
  /// Every padding token is attended to, as CogVideoX does it. Recent prompts are remembered.
  at::Tensor embed(const TokenIds& tokens, Watch& watch);  // (1,T,C)
  /// Call when the prompts of a run are read: drops a text encoder that takes a large share of the memory.
  void finish_text();
  const CogVideoXTransformer& transformer(Watch& watch);
  const CogVideoXVae& vae(Watch& watch);
  const LatentToRgb& latent_to_rgb(Watch& watch);

  /// Measured at the last decode, for the estimate of the time that is left; 0 before the first.
  double decode_seconds_per_pixel = 0;

 private:
  const T5Encoder& text_encoder(Watch& watch);

  ModelConfigs configs_;
  Precision precision_;
  c10::Device device_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<T5Encoder> text_encoder_;
  std::unique_ptr<CogVideoXTransformer> transformer_;
  std::unique_ptr<CogVideoXVae> vae_;
  std::optional<LatentToRgb> latent_to_rgb_;
  std::deque<std::pair<std::vector<std::int64_t>, at::Tensor>> embeddings_;
};

}  // namespace ditscope
