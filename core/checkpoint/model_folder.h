#pragma once
#include <filesystem>
#include <map>
#include <string>

namespace ditscope {

/// One entry of model_index.json that is not null.
struct ModelComponent {
  std::string name;        ///< "transformer", also its folder's name
  std::string library;     ///< "diffusers", "transformers"
  std::string class_name;  ///< "CogVideoXTransformer3DModel"
};

/// A diffusers pipeline folder. Opening it checks that it is one and that each component's files are there, and says what a
/// folder or file is that is none (a ComfyUI single file, a transformer alone, pickles, git-lfs pointers).
class ModelFolder {
 public:
  /// @throws Error{NotFound} for missing paths and files, Error{Unsupported} for other kinds of checkpoint, Error{Corrupt}
  static ModelFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// `_class_name` of model_index.json, for example "CogVideoXPipeline".
  const std::string& pipeline_class() const { return pipeline_class_; }
  const std::map<std::string, ModelComponent>& components() const { return components_; }

  bool has(const std::string& name) const { return components_.contains(name); }
  /// @throws Error{Corrupt} naming what the pipeline has instead
  const ModelComponent& component(const std::string& name) const;
  std::filesystem::path folder(const std::string& name) const { return path_ / component(name).name; }

  /// The component's config as JSON text, already checked to be a JSON object: config.json, scheduler_config.json,
  /// tokenizer_config.json or preprocessor_config.json.
  std::string config_text(const std::string& name) const;

 private:
  void read_index();
  void check_component(const ModelComponent& component) const;

  std::filesystem::path path_;
  std::string pipeline_class_;
  std::map<std::string, ModelComponent> components_;
};

}  // namespace ditscope
