#pragma once
#include <filesystem>
#include <string>

#include "core/pipeline/request.h"

namespace ditscope::test {

inline const std::filesystem::path kGolden = std::filesystem::path(DITSCOPE_SOURCE_DIR) / "tests/golden";

/// Ten steps of a tiny model with guidance, small enough for a test.
inline Request tiny_request(const std::string& method = "full", const std::string& model = "cogx_5b_dpm_dynamic_cfg") {
  Request request;
  request.model = kGolden / model;
  request.prompt = "a small red cat moves left";
  request.negative_prompt = "dark";
  request.method = parse_method_choice(method);
  request.steps = 10;
  request.frames = 9;
  request.height = 48;
  request.width = 64;
  request.device = "cpu";
  request.dtype = "float32";
  request.threads = 1;
  return request;
}

}  // namespace ditscope::test
