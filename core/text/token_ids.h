#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ditscope {

/// Ids of one prompt, padded to a fixed length. (T)
struct TokenIds {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> mask;  ///< 1 for a token of the prompt (with </s>), 0 for padding
  int used = 0;                    ///< tokens before padding, </s> included
  bool truncated = false;
};

}  // namespace ditscope
