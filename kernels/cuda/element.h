#pragma once
#include <cstdint>

#include "kernels/block_sparse_attention.h"

namespace ditscope {

/// float16 travels as its 16 bits, in a type of its own.
struct Float16Bits {
  std::uint16_t bits;
};

}  // namespace ditscope
