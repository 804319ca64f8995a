#pragma once
#include <cstddef>

#include "kernels/block_mask.h"

namespace ditscope::cuda {

/// How a block of threads divides a tile of 64 * kTileBlocks queries, and what it keeps in shared memory. With kInt8_ queries and
/// keys are bytes, which take the first half of the rows of 16-bit ones; values are as ever.
template <int kWidth_, int kTileBlocks_, bool kInt8_ = false>
struct TileShape {
  static constexpr int kWidth = kWidth_;  ///< channels, rounded up to what there is a kernel for
  static constexpr bool kInt8 = kInt8_;
  static constexpr int kKeySteps = kInt8 ? (kWidth + 31) / 32 : kWidth / 16;  ///< products along the channels of a key
  static constexpr int kTileBlocks = kTileBlocks_;
  static constexpr int kRows = kBlockTokens * kTileBlocks;
  /// A warp has 16 * kRowTiles queries: 32 halve what it reads from shared memory per product, where registers allow it.
  static constexpr int kRowTiles = kWidth < 128 ? 2 : 1;
  static constexpr int kWarps = kRows / (16 * kRowTiles);
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kWorkers = kThreads;
  /// Two: the next keys and values arrive while these are multiplied. One, where shared memory is short: keys arrive during PV,
  /// values during QK.
  static constexpr int kStages = kWidth < 128 ? 2 : 1;
  /// Logits of 64 / kKeyParts keys are in registers at once.
  static constexpr int kKeyParts = kWidth <= 128 ? 1 : 4;
  static constexpr bool kKeepQueries = kWidth <= 64;  ///< in registers
  /// Rows of 16-byte chunks. Eight rows that a matrix load reads lie in different banks: by an odd stride, or where the number of
  /// chunks is a multiple of eight by exchanging chunks with the row's number.
  static constexpr int kChunks = kWidth / 8;
  static constexpr int kKeyChunks = kInt8 ? 2 * kKeySteps : kChunks;  ///< of a query or key
  static constexpr bool kExchanged = kChunks % 8 == 0;
  static constexpr int kRowChunks = kExchanged ? kChunks : kChunks | 1;
  static constexpr std::size_t kQueryBytes = std::size_t{16} * kRows * kRowChunks;
  static constexpr std::size_t kBlockBytes = std::size_t{16} * kBlockTokens * kRowChunks;
  static constexpr std::size_t kRowFloatBytes = std::size_t{4} * kRows;  ///< one float32 a query
  static constexpr std::size_t kSharedBytes = kQueryBytes + 2 * kStages * kBlockBytes + kRowFloatBytes + 16;
  /// Lanes that load one row; where a row has 10 or 12 chunks, some of 16 lanes rest.
  static constexpr int kLoadLanes = kChunks <= 4 ? 4 : kChunks <= 8 ? 8 : kChunks <= 16 ? 16 : 32;
  static constexpr int kLoadRows = kThreads / kLoadLanes;  ///< rows loaded at once
  static_assert(kWidth % 16 == 0 && kBlockTokens % kLoadRows == 0 && kLoadRows % 4 == 0);
};

/// The float32 kernel: 64 queries by 256 threads, channels in slices of 64.
template <int kWidth_>
struct FloatTileShape {
  static constexpr int kWidth = kWidth_;
  static constexpr int kThreads = 256;
  static constexpr int kSlices = kWidth / 64;
  static constexpr int kRowFloats = 68;  ///< rows of 17 times 16 bytes: consecutive rows begin in different banks
  static constexpr std::size_t kPlaneBytes = std::size_t{4} * kBlockTokens * kRowFloats;
  static constexpr std::size_t kSharedBytes = 3 * kPlaneBytes + 16;
};

}  // namespace ditscope::cuda
