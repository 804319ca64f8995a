#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/catalog/catalog.h"

namespace ditscope {

/// Everything that decides a run. Saved with each video and in the history, and enough to make the same run again.
/// A zero or empty field means "the model's default"; Generator::complete() fills it in and checks it.
struct Request {
  std::filesystem::path model;  ///< a diffusers folder; empty: the bundled model
  std::string prompt;           ///< UTF-8
  std::string negative_prompt;  ///< UTF-8
  MethodChoice method;
  std::string scheduler;        ///< class name; empty: the model's own
  int steps = 0;
  double guidance_scale = -1;   ///< < 0: the model's default; <= 1 runs without the unconditional branch
  bool dynamic_cfg = false;     ///< CogVideoX's cosine guidance schedule
  std::uint64_t seed = 42;
  int frames = 0;               ///< pixel frames
  int height = 0, width = 0;    ///< px
  int max_sequence_length = 0;  ///< text tokens
  /// "float32", "bfloat16", "float16": everything in it; "mixed": see Precision; "auto" or empty: mixed on a CPU that computes in
  /// bfloat16, float32 on another, the checkpoint's on CUDA
  std::string dtype;
  std::string device;           ///< "cpu" "cuda"; empty: cuda where found
  int threads = 0;              ///< 0: all cores
  bool vae_tiling = false;      ///< decode in tiles: less memory, slightly other pixels. Done anyway where memory runs out

  std::int64_t memory_budget_bytes = 0;  ///< the most that the method may hold between steps; 0: what the machine has free

  std::filesystem::path latents_in;         ///< safetensors with `latents` (B,F,C,Y,X): start from these instead of noise
  bool keep_latents_per_step = false;       ///< RunResult then carries latents after every step
};

/// JSON of a request, the same in history, sidecars and video comments. Unknown keys are ignored when read.
std::string to_json(const Request& request, int indent = -1);
/// @throws Error{Corrupt} where the text is no request
Request request_from_json(const std::string& text);

}  // namespace ditscope
