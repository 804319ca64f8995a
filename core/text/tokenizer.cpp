#include "core/text/tokenizer.h"

#include <algorithm>

#include "kernels/error.h"

namespace ditscope {

TokenIds Tokenizer::encode(std::string_view text, int max_length) const {
  if (max_length < 1) {
    throw Error(ErrorKind::InvalidArgument, "expected room for at least 1 token, got " + std::to_string(max_length));
  }
  const auto found = pieces(text);
  const auto room = static_cast<std::size_t>(max_length) - 1;
  TokenIds out;
  out.truncated = found.size() > room;
  for (std::size_t i = 0; i < std::min(found.size(), room); ++i) out.ids.push_back(found[i].id);
  out.ids.push_back(eos_id());
  out.used = static_cast<int>(out.ids.size());
  out.mask.assign(out.ids.size(), 1);
  out.ids.resize(static_cast<std::size_t>(max_length), pad_id());
  out.mask.resize(static_cast<std::size_t>(max_length), 0);
  return out;
}

}  // namespace ditscope
