#pragma once
#include <cstdint>

namespace ditscope {

/// Why a method keeps a block; where several reasons hold, the first of this order that it checks. Numbers are those of captures.
enum class KeepReason : std::uint8_t {
  None = 0,        ///< skipped, or the method does not say
  TopK = 1,        ///< among the best of its row
  Cumulative = 2,  ///< needed for a share of the attention
  Neighbour = 3,   ///< touches the query's block in space and time
  Window = 4,      ///< a pattern that follows places alone
  Text = 5,        ///< query or key is text
  Sink = 6,        ///< the first tokens, which every row keeps
  Other = 7,       ///< another rule of the method
};

}  // namespace ditscope
