#include "core/training/component_files.h"

#include <ATen/ATen.h>

#include "core/files/atomic_file.h"
#include "core/checkpoint/safetensors.h"

namespace ditscope {

void write_component(const std::filesystem::path& folder, const std::string& config_json, const std::string& weights_name,
                     const std::map<std::string, at::Tensor>& weights, at::ScalarType dtype) {
  std::filesystem::create_directories(folder);
  TensorMap converted;
  for (const auto& [key, weight] : weights) converted[key] = weight.detach().to(at::kCPU, dtype);
  save_tensors(folder / weights_name, converted, {{"format", "pt"}});
  write_file(folder / "config.json", config_json);
}

std::map<std::string, at::Tensor> component_weights(const std::filesystem::path& model, const char* component, const char* file) {
  if (model.empty()) return {};
  return load_tensors(model / component / file);
}

}  // namespace ditscope
