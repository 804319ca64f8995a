#include <cstdlib>
#include <vector>

#include "core/pipeline/generator.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr const char* kName = "solids-256";

/// Where folders of bundled models may lie, most specific first.
std::vector<std::filesystem::path> places() {
  namespace fs = std::filesystem;
  std::vector<fs::path> found;
  if (const char* chosen = std::getenv("DITSCOPE_MODELS"); chosen && *chosen) found.emplace_back(chosen);
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) found.push_back(program.parent_path().parent_path() / "share" / "ditscope" / "models");
  found.emplace_back(fs::path(DITSCOPE_SOURCE_DIR) / "resources" / "models");
  return found;
}

}  // namespace

std::filesystem::path Generator::bundled_model() {
  std::string tried;
  for (const auto& place : places()) {
    std::error_code failed;
    if (std::filesystem::exists(place / kName / "model_index.json", failed)) return (place / kName).lexically_normal();
    tried += "\n  " + (place / kName).string();
  }
  throw Error(ErrorKind::NotFound, "The bundled model is in none of these places:" + tried +
                                       "\nReinstall it, set DITSCOPE_MODELS, or choose a model folder.");
}

}  // namespace ditscope
