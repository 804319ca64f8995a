#pragma once
#include <ATen/core/Generator.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/weight_source.h"

namespace ditscope {

/// How weights are handed out.
struct WeightOptions {
  std::optional<c10::ScalarType> dtype;  ///< floating weights are converted to it; empty: as stored
  c10::Device device = c10::kCPU;
  /// Keys with one of these as a whole dotted part ("wo" in "...DenseReluDense.wo.weight") become float32 whatever `dtype` is.
  std::vector<std::string> float32_parts;
  /// Keys that may be left over: a full key, an ending after a dot, or, where it ends in a dot, a beginning. Legacy buffers are
  /// always among them.
  std::vector<std::string> ignorable;
};

/// The weight in the dtype and on the device that the options give it; itself where it is so already.
at::Tensor converted_weight(const std::string& key, at::Tensor weight, const WeightOptions& options);

/// A strict source: every weight is taken once, in the shape the config implies, and none is left over.
class StrictWeights : public WeightSource {
 public:
  at::Tensor take(const std::string& key, at::IntArrayRef shape) override;
  bool has(const std::string& key) const override;
  /// @throws Error{Corrupt} naming the weights that no module took (the config does not fit the weights)
  void finish() const;
  const std::string& name() const { return name_; }

 protected:
  StrictWeights(std::string name, WeightOptions options) : name_(std::move(name)), options_(std::move(options)) {}
  virtual at::Tensor read(const std::string& key) const = 0;
  void add_key(const std::string& key) { untaken_.insert(key); }

 private:

  std::string name_;
  WeightOptions options_;
  std::set<std::string> untaken_, taken_;
};

/// The weights of one component folder (transformer/, vae/, text_encoder/) or of one .safetensors file, memory-mapped.
///
/// Finds diffusion_pytorch_model.safetensors or model.safetensors, single or sharded (*.safetensors.index.json), also of a
/// variant (`.fp16.`). Without a `variant` the plain files win, then fp16, then bf16.
class Checkpoint : public StrictWeights {
 public:
  /// @throws Error{NotFound} where no weights are found (saying what is there), Error{Corrupt}, Error{Unsupported} (.bin pickles)
  explicit Checkpoint(const std::filesystem::path& folder_or_file, WeightOptions options = {}, const std::string& variant = "");

  /// The dtype that most of the stored bytes have: what "as in the checkpoint" means.
  c10::ScalarType stored_dtype() const;
  std::uint64_t stored_bytes() const;
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }

 protected:
  at::Tensor read(const std::string& key) const override;

 private:
  void add_file(const std::filesystem::path& path);
  void open_index(const std::filesystem::path& index);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*> file_of_;
};

/// Where the weights of a folder lie: one .safetensors file or one .index.json. @throws as Checkpoint
std::filesystem::path locate_weights(const std::filesystem::path& folder, const std::string& variant = "");

/// A source over tensors in memory (a training state, a test); tensors are handed out as they are where nothing converts them.
class MapWeights : public StrictWeights {
 public:
  MapWeights(std::string name, TensorMap tensors, WeightOptions options = {});

 protected:
  at::Tensor read(const std::string& key) const override { return tensors_.at(key); }

 private:
  TensorMap tensors_;
};

/// Fills a float32 CPU tensor in place; called once per key with a generator of that key's own.
using Initializer = std::function<void(const std::string& key, at::Tensor& weight, at::Generator generator)>;

/// Norm weights around 1, biases and tables around 0, matrices at 1/sqrt(fan-in): all random, so that a swap shows.
void initialize_for_tests(const std::string& key, at::Tensor& weight, at::Generator generator);
/// Norm weights 1, biases 0, matrices uniform with variance 2/(fan-in + fan-out), embeddings and tables normal 0.02.
void initialize_for_training(const std::string& key, at::Tensor& weight, at::Generator generator);

/// Seeded random weights. A key's values depend on the seed and the key alone, not on the order of taking.
class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(std::uint64_t seed, WeightOptions options = {}, Initializer initializer = initialize_for_tests);
  at::Tensor take(const std::string& key, at::IntArrayRef shape) override;
  /// True for what was taken already: optional weights are never there.
  bool has(const std::string& key) const override { return taken_.contains(key); }
  /// Everything taken so far, as handed out: a checkpoint of this model.
  const TensorMap& taken() const { return taken_; }

 private:
  std::uint64_t seed_;
  WeightOptions options_;
  Initializer initializer_;
  TensorMap taken_;
};

}  // namespace ditscope
