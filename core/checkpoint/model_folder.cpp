#include "core/checkpoint/model_folder.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kExpected =
    "expected a diffusers folder (model_index.json with transformer/, vae/, text_encoder/, tokenizer/, scheduler/)";
constexpr std::array<const char*, 4> kConfigNames = {"config.json", "scheduler_config.json", "tokenizer_config.json",
                                                     "preprocessor_config.json"};

bool is_there(const fs::path& path) {
  std::error_code code;
  return fs::exists(path, code);
}

bool is_folder(const fs::path& path) {
  std::error_code code;
  return fs::is_directory(path, code);
}

/// The first file or folder inside `folder` for which `matches` holds, by name; empty where there is none.
template <typename Matches>
fs::path first_in(const fs::path& folder, Matches matches) {
  std::vector<fs::path> found;
  std::error_code code;
  for (const auto& item : fs::directory_iterator(folder, code)) {
    if (matches(item.path())) found.push_back(item.path());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? fs::path() : found.front();
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

[[noreturn]] void refuse_file(const fs::path& path) {
  const auto ending = path.extension().string();
  if (path.filename() == "model_index.json") {
    throw Error(ErrorKind::InvalidArgument,
                std::string(kExpected) + ", got its model_index.json; give the folder " + path.parent_path().string());
  }
  if (ending == ".safetensors") {
    throw Error(ErrorKind::Unsupported,
                std::string(kExpected) + ", got the single file " + path.string() +
                    " (the form of ComfyUI or of the original release); fetch the model's diffusers version, or "
                    "convert it with diffusers (from_single_file, then save_pretrained)");
  }
  if (ending == ".gguf") {
    throw Error(ErrorKind::Unsupported,
                std::string(kExpected) + ", got the GGUF file " + path.string() + "; fetch the model's diffusers version");
  }
  if (ending == ".bin" || ending == ".pt" || ending == ".pth" || ending == ".ckpt") {
    throw Error(ErrorKind::Unsupported,
                std::string(kExpected) + ", got the PyTorch pickle " + path.string() +
                    ", which can run code when it is read; fetch the model's diffusers version with safetensors");
  }
  throw Error(ErrorKind::InvalidArgument, std::string(kExpected) + ", got the file " + path.string());
}

/// Says what a folder without model_index.json looks like.
[[noreturn]] void refuse_folder(const fs::path& path) {
  const std::string expected = kExpected;
  if (is_there(path / "config.json")) {
    const auto config = load_json(path / "config.json");
    auto what = config.is_object() ? text_of(config, "_class_name") : std::string();
    if (what.empty() && config.is_object()) what = text_of(config, "model_type");
    throw Error(ErrorKind::NotFound, expected + ", got " + path.string() + ", one component alone" +
                                         (what.empty() ? "" : " (" + what + ")") +
                                         "; give the folder above it, which holds the whole pipeline");
  }
  if (is_there(path / "scheduler_config.json") || is_there(path / "tokenizer_config.json")) {
    throw Error(ErrorKind::NotFound, expected + ", got " + path.string() + ", one component alone; give the folder above it");
  }
  const auto inner = first_in(path, [](const fs::path& item) { return is_there(item / "model_index.json"); });
  if (!inner.empty())
    throw Error(ErrorKind::NotFound, expected + ", got " + path.string() + "; give the folder inside it: " + inner.string());
  if (is_folder(path / "snapshots")) {
    const auto snapshot = first_in(path / "snapshots", [](const fs::path& item) { return is_there(item / "model_index.json"); });
    if (!snapshot.empty()) {
      throw Error(ErrorKind::NotFound,
                  expected + ", got a download cache, " + path.string() + "; give the folder inside it: " + snapshot.string());
    }
  }
  const auto weights = first_in(path, [](const fs::path& item) {
    const auto ending = item.extension();
    return ending == ".safetensors" || ending == ".ckpt" || ending == ".pt" || ending == ".pth" || ending == ".bin" ||
           ending == ".gguf";
  });
  if (!weights.empty()) refuse_file(weights);
  if (is_folder(path / "transformer") || is_folder(path / "vae")) {
    throw Error(ErrorKind::NotFound,
                expected + ", but " + path.string() + " has no model_index.json; the download is incomplete: fetch it again");
  }
  throw Error(ErrorKind::NotFound,
              expected + ", but " + path.string() + " has no model_index.json; choose the model's own folder");
}

bool has_weights(const ModelComponent& component) {
  return component.name.starts_with("transformer") || component.name.starts_with("vae") ||
         component.name.starts_with("text_encoder");
}

/// A missing or half-fetched file in a folder of small files.
void check_not_lfs_pointer(const fs::path& file) {
  std::error_code code;
  if (!fs::is_regular_file(file, code) || fs::file_size(file, code) > 1024) return;
  if (is_git_lfs_pointer(read_file(file, 2048))) {
    throw Error(ErrorKind::Corrupt,
                file.string() + " is a git-lfs pointer, not the file itself; run `git lfs pull` in the model's folder");
  }
}

}  // namespace

ModelFolder ModelFolder::open(const fs::path& path) {
  if (!is_there(path)) throw Error(ErrorKind::NotFound, "there is no model at " + path.string() + "; check the path");
  if (!is_folder(path)) refuse_file(path);
  if (!is_there(path / "model_index.json")) refuse_folder(path);
  ModelFolder folder;
  folder.path_ = path;
  folder.read_index();
  for (const auto& [name, component] : folder.components_) folder.check_component(component);
  return folder;
}

void ModelFolder::read_index() {
  const auto file = path_ / "model_index.json";
  const auto index = load_json(file);
  if (!index.is_object()) throw Error(ErrorKind::Corrupt, file.string() + ": expected a JSON object; fetch the file again");
  pipeline_class_ = text_of(index, "_class_name");
  if (pipeline_class_.empty()) {
    throw Error(ErrorKind::Corrupt,
                file.string() + ": expected the pipeline's class as \"_class_name\", got none; fetch the file again");
  }
  for (const auto& [name, value] : index.items()) {
    // Settings such as "_diffusers_version" or "boundary_ratio" stand between the components; absent ones are [null, null].
    if (name.starts_with("_") || !value.is_array() || value.size() != 2 || value[0].is_null() || value[1].is_null()) continue;
    if (!value[0].is_string() || !value[1].is_string()) continue;
    if (name.empty() || fs::path(name).filename() != fs::path(name) || name == ".." || name == "." ||
        name.find('\0') != std::string::npos) {
      throw Error(ErrorKind::Corrupt,
                  file.string() + ": expected component names to be folder names, got " + value.dump().substr(0, 80));
    }
    components_[name] = {name, value[0].get<std::string>(), value[1].get<std::string>()};
  }
}

void ModelFolder::check_component(const ModelComponent& component) const {
  const bool weights = has_weights(component);
  const bool tokenizer = component.name.starts_with("tokenizer");
  if (!weights && !tokenizer && component.name != "scheduler") return;  // others are not read here
  const auto folder = path_ / component.name;
  if (!is_folder(folder)) {
    throw Error(ErrorKind::NotFound, "model_index.json names the component " + component.name + " (" + component.class_name +
                                         "), but " + folder.string() + " is missing; the download is incomplete: fetch it again");
  }
  if (weights) check_not_lfs_pointer(locate_weights(folder));
  if (!tokenizer) {
    config_text(component.name);
    return;
  }
  bool found = false;
  for (const char* name : {"spiece.model", "tokenizer.json", "vocab.json", "vocab.txt"}) {
    found = found || is_there(folder / name);
    check_not_lfs_pointer(folder / name);
  }
  if (!found) {
    throw Error(ErrorKind::NotFound, folder.string() +
                                         ": expected spiece.model or tokenizer.json, got neither; the download is "
                                         "incomplete: fetch it again");
  }
}

const ModelComponent& ModelFolder::component(const std::string& name) const {
  const auto found = components_.find(name);
  if (found != components_.end()) return found->second;
  std::string names;
  for (const auto& [other, value] : components_) names += (names.empty() ? "" : ", ") + other;
  throw Error(ErrorKind::Corrupt, (path_ / "model_index.json").string() + ": expected a component " + name + ", got " +
                                      (names.empty() ? "none" : names) + "; choose another model, or fetch this one again");
}

std::string ModelFolder::config_text(const std::string& name) const {
  const auto where = folder(name);
  for (const char* file : kConfigNames) {
    if (!is_there(where / file)) continue;
    auto text = read_file(where / file);
    check_not_lfs_pointer(where / file);
    if (!parse_json(text, (where / file).string()).is_object()) {
      throw Error(ErrorKind::Corrupt, (where / file).string() + ": expected a JSON object; fetch the file again");
    }
    return text;
  }
  throw Error(ErrorKind::NotFound, where.string() +
                                       ": its config is missing (config.json or scheduler_config.json); the download is "
                                       "incomplete: fetch it again");
}

}  // namespace ditscope
