#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace ditscope {

/// Writes one component of a diffusers folder: config.json and its weights in `dtype`, each whole or not at all.
void write_component(const std::filesystem::path& folder, const std::string& config_json, const std::string& weights_name,
                     const std::map<std::string, at::Tensor>& weights, at::ScalarType dtype);

/// The weights of one component of a diffusers folder, to train on from; none where `model` is empty.
std::map<std::string, at::Tensor> component_weights(const std::filesystem::path& model, const char* component, const char* file);

}  // namespace ditscope
