// Reads the sources and holds them to docs/design.md. The CMake targets keep most of this already; a header that is only
// included by nobody yet, or a path that slips in through a shared include folder, shows here.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace ditscope {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kFloors = {"kernels", "core", "views", "app"};  // each sees itself and those before
constexpr int kLongestFile_lines = 700;

struct Include {
  std::string path;  ///< what stands between the quotes or brackets
  bool quoted = false;
  int line = 0;
};

struct Source {
  fs::path path;       ///< from the source root
  std::string folder;  ///< its first part
  std::vector<Include> includes;
  int lines = 0;
};

/// The path of an #include line; empty for any other line.
std::string included_path(const std::string& line, bool& quoted) {
  std::size_t at = line.find_first_not_of(" \t");
  if (at == std::string::npos || line[at] != '#') return "";
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string::npos || line.compare(at, 7, "include") != 0) return "";
  const std::size_t open = line.find_first_of("\"<", at + 7);
  if (open == std::string::npos) return "";
  quoted = line[open] == '"';
  const std::size_t close = line.find(quoted ? '"' : '>', open + 1);
  return close == std::string::npos ? "" : line.substr(open + 1, close - open - 1);
}

Source read_source(const fs::path& file, const fs::path& root) {
  Source source;
  source.path = fs::relative(file, root);
  source.folder = source.path.begin()->string();
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    ++source.lines;
    bool quoted = false;
    if (std::string path = included_path(line, quoted); !path.empty()) source.includes.push_back({path, quoted, source.lines});
  }
  return source;
}

const std::vector<Source>& sources() {
  static const std::vector<Source> all = [] {
    std::vector<Source> found;
    const fs::path root = DITSCOPE_SOURCE_DIR;
    for (const std::string_view folder : {"kernels", "core", "views", "app", "tests", "tools", "cmake", "shaders"}) {
      if (!fs::exists(root / folder)) continue;
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const std::string ending = entry.path().extension().string();
        const std::array<std::string_view, 7> endings = {".h", ".cpp", ".cu", ".cuh", ".vert", ".frag", ".py"};
        if (entry.is_regular_file() && std::find(endings.begin(), endings.end(), ending) != endings.end()) {
          found.push_back(read_source(entry.path(), root));
        }
      }
    }
    return found;
  }();
  return all;
}

/// 0..3 for a folder of the house, -1 for others.
int floor_of(const std::string& folder) {
  const auto found = std::find(kFloors.begin(), kFloors.end(), folder);
  return found == kFloors.end() ? -1 : static_cast<int>(found - kFloors.begin());
}

bool starts_with_any(const std::string& text, const std::vector<std::string_view>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](std::string_view b) { return text.starts_with(b); });
}

bool is_torch(const Include& include) { return starts_with_any(include.path, {"torch/", "ATen/", "c10/"}); }

bool is_qt(const Include& include) {
  return starts_with_any(include.path, {"Qt"}) || (include.path.size() > 1 && include.path[0] == 'Q' && std::isupper(include.path[1]));
}

bool is_gl(const Include& include) { return starts_with_any(include.path, {"GL/", "EGL/", "GLES", "imgui", "glad"}); }

std::string place(const Source& source, const Include& include) {
  return source.path.string() + ":" + std::to_string(include.line) + " includes " + include.path;
}

TEST(House, TheSourcesAreFound) {
  EXPECT_GT(sources().size(), 100u);
  const auto includes = std::count_if(sources().begin(), sources().end(), [](const Source& s) { return !s.includes.empty(); });
  EXPECT_GT(includes, 100);
}

TEST(House, AnIncludeLineIsRead) {
  bool quoted = false;
  EXPECT_EQ(included_path("#include \"core/media/frames.h\"", quoted), "core/media/frames.h");
  EXPECT_TRUE(quoted);
  EXPECT_EQ(included_path("  # include <ATen/ATen.h>  // x", quoted), "ATen/ATen.h");
  EXPECT_FALSE(quoted);
  EXPECT_EQ(included_path("// #include <ATen/ATen.h>", quoted), "");
}

TEST(House, ArrowsPointFromAppToViewsToCoreToKernelsOnly) {
  for (const Source& source : sources()) {
    const int own = floor_of(source.folder);
    if (own < 0) continue;
    for (const Include& include : source.includes) {
      const std::string target = fs::path(include.path).begin()->string();
      EXPECT_LE(floor_of(target), own) << place(source, include);
      EXPECT_NE(target, "tests") << place(source, include);
    }
  }
}

TEST(House, OwnHeadersAreNamedFromTheRootAndExist) {
  for (const Source& source : sources()) {
    for (const Include& include : source.includes) {
      if (!include.quoted || source.folder == "shaders") continue;
      const bool generated = include.path.ends_with(".moc") || include.path.starts_with("moc_");
      EXPECT_TRUE(generated || fs::exists(fs::path(DITSCOPE_SOURCE_DIR) / include.path)) << place(source, include);
    }
  }
}

TEST(House, KernelsSeeTheStandardLibraryAndCudaOnly) {
  for (const Source& source : sources()) {
    if (source.folder != "kernels") continue;
    for (const Include& include : source.includes) {
      EXPECT_FALSE(is_torch(include) || is_qt(include) || is_gl(include)) << place(source, include);
      EXPECT_FALSE(starts_with_any(include.path, {"nlohmann", "spdlog", "sqlite3", "lib", "sentencepiece", "CLI/"})) << place(source, include);
    }
  }
}

TEST(House, TorchStaysInTheRoomsThatComputeWithIt) {
  const std::vector<std::string_view> rooms = {"core/checkpoint", "core/text",     "core/attention", "core/models", "core/vae",
                                               "core/schedulers", "core/pipeline", "core/training",  "core/bridge", "core/capture_run", "core/step_cache", "tests/"};
  for (const Source& source : sources()) {
    for (const Include& include : source.includes) {
      if (!is_torch(include)) continue;
      EXPECT_TRUE(starts_with_any(source.path.string(), rooms)) << place(source, include);
    }
  }
}

/// Whether a header of ours includes torch, itself or through others of ours.
bool reaches_torch(const std::string& header, std::vector<std::string>& seen) {
  if (std::find(seen.begin(), seen.end(), header) != seen.end()) return false;
  seen.push_back(header);
  for (const Source& source : sources()) {
    if (source.path.string() != header) continue;
    for (const Include& include : source.includes) {
      if (is_torch(include) || (include.quoted && reaches_torch(include.path, seen))) return true;
    }
  }
  return false;
}

TEST(House, WhatTheWindowAndTheCommandLineIncludeNeverReachesTorch) {
  for (const Source& source : sources()) {
    if (source.folder != "views" && source.folder != "app") continue;
    for (const Include& include : source.includes) {
      std::vector<std::string> seen;
      EXPECT_FALSE(include.quoted && reaches_torch(include.path, seen)) << place(source, include);
    }
  }
}

TEST(House, QtStaysInTheWindowAndTheOpenGlViews) {
  for (const Source& source : sources()) {
    const std::string path = source.path.string();
    const bool may = starts_with_any(path, {"views/", "app/gui/", "tests/views/", "tests/app/"}) && !path.starts_with("views/state/");
    for (const Include& include : source.includes) {
      EXPECT_TRUE(may || !(is_qt(include) || is_gl(include))) << place(source, include);
    }
  }
}

TEST(House, NoFileIsLongerThanSevenHundredLines) {
  for (const Source& source : sources()) EXPECT_LE(source.lines, kLongestFile_lines) << source.path;
}

}  // namespace
}  // namespace ditscope
