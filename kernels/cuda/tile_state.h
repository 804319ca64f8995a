#pragma once
// What a thread holds of a tile, whichever instructions multiply: 16 * kRowTiles queries a warp, accumulators of 8 columns in the
// layout of mma.m16n8k16, which wgmma shares. The running softmax, and in tile_results.h what becomes of the sums.
#include <cstdint>

#include "kernels/cuda/block_logs.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/parameters.h"
#include "kernels/cuda/tile_shape.h"

namespace ditscope::cuda {

/// log2(2^a + 2^b).
GPU_INLINE float log2_sum(float a, float b) {
  const float top = gpu::larger(a, b);
  return top == kNothing ? kNothing : top + gpu::log2(gpu::exp2(a - top) + gpu::exp2(b - top));
}

/// @tparam Shape  besides sizes: kWorkers threads of the block, its first, have rows
template <typename Element_, class Shape, bool kSplit>
class TileState {
 public:
  using Element = Element_;
  using Math = gpu::Arithmetic<Element>;

 protected:
  static constexpr int kRowTiles = Shape::kRowTiles;
  static constexpr int kRowsOfThread = 2 * kRowTiles;
  static constexpr int kOutTiles = Shape::kWidth / 8;  ///< accumulators of 8 channels
  static constexpr int kKeyParts = Shape::kKeyParts;
  static constexpr int kKeyTiles = 8 / kKeyParts;  ///< accumulators of 8 keys
  using Logits = float[kRowTiles][kKeyTiles][4];
  using Probabilities = std::uint32_t[kRowTiles][kKeyTiles / 2][4];

  /// @param queries  shared memory of the tile's rows, also for results on their way out
  GPU_INLINE TileState(const Parameters& parameters, unsigned char* queries, float* rows, int* flags)
      : p_(parameters),
        queries_(queries),
        skipped_log2_(rows),
        next_(flags),
        lane_(gpu::thread() % 32),
        warp_row_(gpu::thread() / 32 * 16 * kRowTiles) {}

  /// One key block, as this warp sees it.
  struct Step {
    int key_block, rows;
  };
  GPU_INLINE Step read_step(int at) const {
    const PlanEntry entry = p_.entries[at];
    return {entry.key_block, Shape::kTileBlocks == 2 && warp_row_ >= kBlockTokens ? entry.rows[1] : entry.rows[0]};
  }

  static constexpr int kRowBytes = 16 * Shape::kRowChunks;
  /// Where a chunk of a row lies. Rows are exchanged by bits, so chunk c ^ d lies at place(row, c) ^ 16 d: addresses of one lane
  /// follow from one register. Blocks begin at multiples of the row's size for this.
  static GPU_INLINE std::uint32_t place(int row, int chunk) {
    return static_cast<std::uint32_t>(row * kRowBytes + 16 * (Shape::kExchanged ? chunk ^ (row & 7) : chunk));
  }
  /// place(row, chunk + more) from place(row, chunk), where no bit of `more` is set in `chunk`.
  static GPU_INLINE std::uint32_t further(std::uint32_t at, int more) {
    return Shape::kExchanged ? at ^ static_cast<std::uint32_t>(16 * more) : at + static_cast<std::uint32_t>(16 * more);
  }

  // ---- softmax ----

  GPU_INLINE void restart() {
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      reference_[i] = kNothing;
      sum_[i] = 0;
      if constexpr (kSplit) block_sum_[i] = 0;
    }
    GPU_UNROLL
    for (int r = 0; r < kRowTiles; ++r) {
      GPU_UNROLL
      for (int n = 0; n < kOutTiles; ++n) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) out_[r][n][e] = 0;
      }
    }
  }

  /// Row i of the thread within the tile, computed anew: registers are short.
  static GPU_INLINE int row_of(int i) {
    const int thread = gpu::opaque(gpu::thread());
    return thread / 32 * 16 * kRowTiles + thread % 32 / 4 + i / 2 * 16 + i % 2 * 8;
  }

  GPU_INLINE void apply_mask(int rows, int part, Logits& logits) const {
    const std::uint64_t* words = p_.row_words + static_cast<std::int64_t>(rows) * kBlockTokens;
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      const std::uint64_t word = words[row_of(i) % kBlockTokens] >> (lane_ % 4 * 2);
      const std::uint32_t low = static_cast<std::uint32_t>(word), high = static_cast<std::uint32_t>(word >> 32);
      GPU_UNROLL
      for (int n = 0; n < kKeyTiles; ++n) {
        GPU_UNROLL
        for (int e = 0; e < 2; ++e) {
          const int tile = part * kKeyTiles + n;
          const bool kept = ((tile < 4 ? low : high) >> (tile % 4 * 8 + e)) & 1u;
          if (!kept) logits[i / 2][n][i % 2 * 2 + e] = kNothing;
        }
      }
    }
  }

  /// The largest logit of each row. @return whether one of the warp's rows outgrows its reference
  GPU_INLINE bool find_tops(const Logits& logits, float (&top)[kRowsOfThread]) const {
    bool grows = false;
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      top[i] = kNothing;
      GPU_UNROLL
      for (int n = 0; n < kKeyTiles; ++n) {
        top[i] = gpu::larger(top[i], gpu::larger(logits[i / 2][n][i % 2 * 2], logits[i / 2][n][i % 2 * 2 + 1]));
      }
      top[i] = gpu::larger(top[i], gpu::shuffle_xor(top[i], 1));
      top[i] = gpu::larger(top[i], gpu::shuffle_xor(top[i], 2));
      grows |= top[i] > reference_[i] + p_.lazy_growth;
    }
    return gpu::any(grows);
  }

  /// Makes the largest logit the reference of the rows that it outgrows.
  GPU_INLINE void follow_tops(const float (&top)[kRowsOfThread]) {
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      if (top[i] > reference_[i] + p_.lazy_growth) {
        const float shrink = gpu::exp2((reference_[i] - top[i]) * p_.scale_log2);
        reference_[i] = top[i];
        sum_[i] *= shrink;
        if constexpr (kSplit) block_sum_[i] *= shrink;
        multiply_row(i, shrink);
      }
    }
  }

  /// Turns logits into probabilities relative to the reference of their row.
  GPU_INLINE void exponentials(const Logits& logits, Probabilities& probabilities) {
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      const float base = reference_[i] == kNothing ? 0.0f : -reference_[i] * p_.scale_log2;
      float added = 0;
      GPU_UNROLL
      for (int n = 0; n < kKeyTiles; ++n) {
        const float a = gpu::exp2(gpu::multiply_add(logits[i / 2][n][i % 2 * 2], p_.scale_log2, base));
        const float b = gpu::exp2(gpu::multiply_add(logits[i / 2][n][i % 2 * 2 + 1], p_.scale_log2, base));
        added += a + b;
        probabilities[i / 2][n / 2][n % 2 * 2 + i % 2] = Math::pack(a, b);
      }
      sum_[i] += added;
      if constexpr (kSplit) block_sum_[i] += added;
    }
  }

  /// After the exponentials of a key block: what it gave each row, if masses of blocks are asked for.
  GPU_INLINE void keep_block_sums(int entry) {
    if constexpr (kSplit) {
      if (!p_.block_logs) return;
      float* const logs = block_logs<Shape::kRows>(p_, entry);
      GPU_UNROLL
      for (int i = 0; i < kRowsOfThread; ++i) {
        float sum = block_sum_[i] + gpu::shuffle_xor(block_sum_[i], 1);
        sum += gpu::shuffle_xor(sum, 2);
        if (first_lane()) logs[row_of(i)] = sum > 0 ? reference_[i] * p_.scale_log2 + gpu::log2(sum) : kNothing;
        block_sum_[i] = 0;
      }
    }
  }

  /// Sums of the whole row. @param[out] log2_mass  log2 of the row's mass @return what makes a softmax of the accumulators
  GPU_INLINE float normaliser(int i, float& log2_mass) {
    float sum = sum_[i] + gpu::shuffle_xor(sum_[i], 1);
    sum += gpu::shuffle_xor(sum, 2);
    log2_mass = sum > 0 ? reference_[i] * p_.scale_log2 + gpu::log2(sum) : kNothing;
    return sum > 0 ? 1 / sum : 0.0f;
  }

  GPU_INLINE void multiply_row(int i, float factor) {
    GPU_UNROLL
    for (int n = 0; n < kOutTiles; ++n) {
      out_[i / 2][n][i % 2 * 2] *= factor;
      out_[i / 2][n][i % 2 * 2 + 1] *= factor;
    }
  }

  // ---- results: kernels/cuda/tile_results.h ----

  static GPU_INLINE void sync_workers() {
    if constexpr (Shape::kWorkers == Shape::kThreads)
      gpu::sync_block();
    else
      gpu::sync_first<Shape::kWorkers>();
  }
  GPU_INLINE bool first_lane() const { return lane_ % 4 == 0; }
  GPU_INLINE void finish(const PlanItem& item);
  GPU_INLINE bool meet_parts(const PlanItem& item, float (&log2_mass)[kRowsOfThread]);
  GPU_INLINE void keep_skipped();
  GPU_INLINE void finish_split();
  GPU_INLINE void finish_masses(const PlanItem& item);
  GPU_INLINE std::uint16_t* row_at(const void* base, const Strides3& strides, int i) const;
  GPU_INLINE void load_pair(const std::uint16_t* row, int n, float& a, float& b) const;
  GPU_INLINE void store_pair(std::uint16_t* row, int n, std::uint32_t pair) const;
  GPU_INLINE std::uint32_t stage_at(int i) const;
  GPU_INLINE void stage_pair(std::uint32_t row, int n, float a, float b);
  GPU_INLINE void store_staged(void* base, const Strides3& strides) const;

  const Parameters& p_;
  unsigned char* queries_;
  float* skipped_log2_;  ///< logarithm of a query's skipped mass
  int* next_;
  const int lane_, warp_row_;
  int first_row_ = 0;
  int head_ = 0;
  float out_[kRowTiles][kOutTiles][4];
  float reference_[kRowsOfThread], sum_[kRowsOfThread];  ///< reference: a product q.k; sum: of this thread's keys
  float block_sum_[kSplit ? kRowsOfThread : 1];          ///< the same of the key block that is visited
};

}  // namespace ditscope::cuda

#include "kernels/cuda/tile_results.h"
