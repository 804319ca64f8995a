#include "core/checkpoint/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

/// Buffers that older files store and newer code computes.
const std::vector<std::string> kLegacyKeys = {"pos_embed.pos_embed", "patch_embed.pos_embedding", "position_ids"};

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

bool has_part(const std::string& key, const std::string& part) {
  for (std::size_t at = key.find(part); at != std::string::npos; at = key.find(part, at + 1)) {
    const auto end = at + part.size();
    if ((at == 0 || key[at - 1] == '.') && (end == key.size() || key[end] == '.')) return true;
  }
  return false;
}

bool is_named_by(const std::string& key, const std::string& name) {
  if (name.ends_with(".")) return key.starts_with(name);
  return key == name || (key.size() > name.size() && key.ends_with(name) && key[key.size() - name.size() - 1] == '.');
}

std::string listed(const std::vector<std::string>& keys, std::size_t most = 6) {
  std::string text;
  for (std::size_t i = 0; i < std::min(keys.size(), most); ++i) text += (i ? ", " : "") + keys[i];
  if (keys.size() > most) text += ", and " + std::to_string(keys.size() - most) + " more";
  return text;
}

/// The untaken key that looks most like the missing one: same ending, then longest common beginning.
std::string nearest_key(const std::set<std::string>& keys, const std::string& wanted) {
  std::string best;
  std::size_t best_score = 3;
  for (const auto& key : keys) {
    const auto head = std::mismatch(key.begin(), key.end(), wanted.begin(), wanted.end()).first - key.begin();
    const auto tail = std::mismatch(key.rbegin(), key.rend(), wanted.rbegin(), wanted.rend()).first - key.rbegin();
    if (const auto score = static_cast<std::size_t>(head + tail); score > best_score) {
      best = key;
      best_score = score;
    }
  }
  return best;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& item : fs::directory_iterator(folder, code)) names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

at::Tensor converted_weight(const std::string& key, at::Tensor weight, const WeightOptions& options) {
  auto dtype = weight.scalar_type();
  if (options.dtype && at::isFloatingType(dtype)) {
    const bool keep = std::any_of(options.float32_parts.begin(), options.float32_parts.end(),
                                  [&](const auto& part) { return has_part(key, part); });
    dtype = keep ? at::kFloat : *options.dtype;
  }
  return weight.to(options.device, dtype);
}

at::Tensor StrictWeights::take(const std::string& key, at::IntArrayRef shape) {
  if (!untaken_.contains(key)) {
    if (taken_.contains(key)) throw Error(ErrorKind::InvalidArgument, name_ + ": the weight " + key + " was taken twice");
    const auto near = nearest_key(untaken_, key);
    throw Error(ErrorKind::Corrupt, name_ + ": the weight " + key + " of shape " + shape_text(shape) + " is missing" +
                                        (near.empty() ? std::string() : " (nearest of those left: " + near + ")") +
                                        "; the weights do not belong to this config, or the download is incomplete");
  }
  auto weight = read(key);
  if (weight.sizes() != shape) {
    throw Error(ErrorKind::Corrupt, name_ + ": expected the weight " + key + " to have shape " + shape_text(shape) + ", got " +
                                        shape_text(weight.sizes()) + "; the weights do not belong to this config");
  }
  untaken_.erase(key);
  taken_.insert(key);
  return converted_weight(key, std::move(weight), options_);
}

bool StrictWeights::has(const std::string& key) const {
  return untaken_.contains(key) || taken_.contains(key);
}

void StrictWeights::finish() const {
  const auto matches = [](const std::vector<std::string>& names, const std::string& key) {
    return std::any_of(names.begin(), names.end(), [&](const auto& name) { return is_named_by(key, name); });
  };
  std::vector<std::string> extra;
  for (const auto& key : untaken_) {
    if (!matches(kLegacyKeys, key) && !matches(options_.ignorable, key)) extra.push_back(key);
  }
  if (extra.empty()) return;
  throw Error(ErrorKind::Corrupt, name_ + ": " + std::to_string(extra.size()) +
                                      " weights have no place in the model of this config: " + listed(extra) +
                                      "; the weights belong to another config or class");
}

Checkpoint::Checkpoint(const fs::path& folder_or_file, WeightOptions options, const std::string& variant)
    : StrictWeights(folder_or_file.string(), std::move(options)) {
  std::error_code code;
  const auto path = fs::is_directory(folder_or_file, code) ? locate_weights(folder_or_file, variant) : folder_or_file;
  if (path.extension() == ".json") {
    open_index(path);
  } else {
    add_file(path);
  }
}

void Checkpoint::add_file(const fs::path& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  for (const auto& [key, entry] : files_.back()->entries()) {
    if (!file_of_.emplace(key, files_.back().get()).second) {
      throw Error(ErrorKind::Corrupt, name() + ": the weight " + key + " is in two shards, " +
                                          file_of_[key]->path().filename().string() + " and " + path.filename().string() +
                                          "; remove files of another download");
    }
    add_key(key);
  }
}

void Checkpoint::open_index(const fs::path& index) {
  const auto document = load_json(index);
  if (!document.is_object() || !document.contains("weight_map") || !document["weight_map"].is_object()) {
    throw Error(ErrorKind::Corrupt, index.string() + ": expected an object with a \"weight_map\"; fetch the file again");
  }
  std::set<std::string> shards;
  for (const auto& [key, file] : document["weight_map"].items()) {
    const auto shard = file.is_string() ? file.get<std::string>() : std::string();
    if (shard.empty() || shard.find('\0') != std::string::npos || fs::path(shard).filename() != fs::path(shard) ||
        !shard.ends_with(".safetensors")) {
      throw Error(ErrorKind::Corrupt, index.string() + ": expected the name of a .safetensors file beside it for " +
                                          key.substr(0, 200) + ", got " + file.dump().substr(0, 80));
    }
    shards.insert(shard);
  }
  for (const auto& shard : shards) {
    const auto path = index.parent_path() / shard;
    std::error_code code;
    if (!fs::exists(path, code)) {
      throw Error(ErrorKind::NotFound,
                  index.string() + " names " + shard + ", which is missing; the download is incomplete: fetch it again");
    }
    add_file(path);
  }
  for (const auto& [key, file] : document["weight_map"].items()) {
    const auto found = file_of_.find(key);
    if (found == file_of_.end() || found->second->path().filename() != file.get<std::string>()) {
      throw Error(ErrorKind::Corrupt, index.string() + ": expected the weight " + key + " in " + file.get<std::string>() +
                                          ", but it is not there; fetch both files again");
    }
  }
}

at::Tensor Checkpoint::read(const std::string& key) const {
  return file_of_.at(key)->tensor(key);
}

c10::ScalarType Checkpoint::stored_dtype() const {
  std::map<c10::ScalarType, std::uint64_t> bytes;
  for (const auto& file : files_) {
    for (const auto& [key, entry] : file->entries()) {
      if (at::isFloatingType(entry.dtype)) bytes[entry.dtype] += entry.size_bytes;
    }
  }
  if (bytes.empty()) return at::kFloat;
  return std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
}

std::uint64_t Checkpoint::stored_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& file : files_) {
    for (const auto& [key, entry] : file->entries()) sum += entry.size_bytes;
  }
  return sum;
}

fs::path locate_weights(const fs::path& folder, const std::string& variant) {
  std::error_code code;
  if (!fs::is_directory(folder, code)) {
    throw Error(ErrorKind::NotFound, "there is no folder " + folder.string() + "; the model is incomplete: fetch it again");
  }
  const std::vector<std::string> variants = variant.empty() ? std::vector<std::string>{"", "fp16", "bf16"} : std::vector{variant};
  for (const auto& wanted : variants) {
    const auto infix = wanted.empty() ? std::string() : "." + wanted;
    for (const std::string stem : {"diffusion_pytorch_model", "model"}) {
      for (const auto& name : {stem + infix + ".safetensors", stem + ".safetensors.index" + infix + ".json"}) {
        if (fs::exists(folder / name, code)) return folder / name;
      }
    }
  }
  const auto names = names_in(folder);
  for (const auto& name : names) {
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".ckpt") || name.ends_with(".bin.index.json")) {
      throw Error(ErrorKind::Unsupported,
                  folder.string() + ": expected .safetensors weights, got the PyTorch pickle " + name +
                      ", which can run code when it is read; fetch the safetensors files of the model, or convert it with "
                      "save_pretrained(..., safe_serialization=True)");
    }
  }
  throw Error(ErrorKind::NotFound, folder.string() + ": expected diffusion_pytorch_model.safetensors or model.safetensors" +
                                       (variant.empty() ? std::string() : " of variant " + variant) + " (or its index), got " +
                                       (names.empty() ? "an empty folder" : listed(names)) +
                                       "; the download is incomplete: fetch it again");
}

MapWeights::MapWeights(std::string name, TensorMap tensors, WeightOptions options)
    : StrictWeights(std::move(name), std::move(options)), tensors_(std::move(tensors)) {
  for (const auto& [key, tensor] : tensors_) add_key(key);
}

}  // namespace ditscope
