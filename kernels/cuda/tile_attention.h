#pragma once
// Block-sparse attention with mma.m16n8k16 and cp.async, for every GPU from compute capability 8.0 on.
//
// A block of threads takes tiles off a queue, heaviest first. For each it walks the key blocks of the plan with a running softmax
// (Dao 2023, arXiv:2307.08691, Alg. 1). Logits stay in registers from QK to PV: the accumulator of one product has the layout of
// the operand of the next. The reference of a row, which is subtracted before exponentials, follows its largest logit only when
// that grows by a factor of 2^8, so most key blocks rescale nothing; the result is the same, as the reference cancels.
//
// The split kernel visits the skipped blocks first, stores what they give, starts anew with the kept ones and merges the two by
// their masses: R = (1 - rho) O_skipped, without cancellation.
#include <cstdint>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/parameters.h"
#include "kernels/cuda/tile_shape.h"

namespace ditscope::cuda {

constexpr float kNothing = -__builtin_huge_valf();  ///< the logarithm of no mass

/// log2(2^a + 2^b).
GPU_INLINE float log2_sum(float a, float b) {
  const float top = gpu::larger(a, b);
  return top == kNothing ? kNothing : top + gpu::log2(gpu::exp2(a - top) + gpu::exp2(b - top));
}

template <typename Element_, class Shape, bool kSplit>
class TileAttention {
 public:
  using Element = Element_;
  using Math = gpu::Arithmetic<Element>;

  GPU_INLINE TileAttention(const Parameters& parameters, unsigned char* shared)
      : p_(parameters),
        queries_(shared),
        queries_at_(gpu::shared_address(shared)),
        skipped_log2_(reinterpret_cast<float*>(shared + Shape::kQueryBytes + 2 * Shape::kStages * Shape::kBlockBytes)),
        next_(reinterpret_cast<int*>(skipped_log2_ + Shape::kRows)),
        lane_(gpu::thread() % 32),
        warp_row_(gpu::thread() / 32 * 16 * kRowTiles) {}

  /// Works until the queue is empty; the last block to leave makes the queue ready for the next launch.
  GPU_INLINE void run() {
    for (int item = gpu::block(); item < p_.item_count;) {
      attend(item);
      gpu::sync_block();  // also: shared memory is free again
      item = next_[0];
      gpu::sync_block();
    }
    if (gpu::thread() == 0) {
      gpu::fence();
      if (gpu::atomic_add(p_.counters + 1, 1) == gpu::blocks() - 1) p_.counters[0] = p_.counters[1] = 0;
    }
  }

 private:
  static constexpr int kRowTiles = Shape::kRowTiles;
  static constexpr int kRowsOfThread = 2 * kRowTiles;
  static constexpr int kOutTiles = Shape::kWidth / 8;  ///< accumulators of 8 channels
  static constexpr int kKeyParts = Shape::kKeyParts;
  static_assert(Shape::kStages == 2 || kKeyParts == 2);  // else the wait for values would come after that for keys
  static constexpr int kKeyTiles = 8 / kKeyParts;  ///< accumulators of 8 keys
  using Logits = float[kRowTiles][kKeyTiles][4];
  using Probabilities = std::uint32_t[kRowTiles][kKeyTiles / 2][4];

  /// One key block, as this warp sees it.
  struct Step {
    int key_block, rows;
  };
  GPU_INLINE Step read_step(int at) const {
    const PlanEntry entry = p_.entries[at];
    return {entry.key_block, Shape::kTileBlocks == 2 && warp_row_ >= kBlockTokens ? entry.rows[1] : entry.rows[0]};
  }

  GPU_INLINE void attend(int number) {
    const PlanItem item = p_.items[number];
    first_row_ = item.tile * Shape::kRows;
    head_ = item.head;
    restart();
    if (item.begin < item.end) load_queries();
    Step step{}, following{};  // read one step ahead of the loads that need them
    if (item.begin < item.end) {
      step = read_step(item.begin);
      load_keys(step, 0);
    }
    if (item.begin + 1 < item.end) following = read_step(item.begin + 1);
    gpu::commit_copies();
    if constexpr (Shape::kStages == 2) {
      if (item.begin < item.end) load_values(step, 0);
      gpu::commit_copies();
    }
    // What comes next is asked for while the first loads are under way.
    if (gpu::thread() == 0) next_[0] = gpu::blocks() + gpu::atomic_add(p_.counters, 1);
    if (p_.negative && item.begin < item.end) negate_queries();
    int stage = 0;
    GPU_NO_UNROLL
    for (int at = item.begin;; ++at) {
      if (kSplit && at == item.split) keep_skipped();
      if (at == item.end) break;
      const bool more = at + 1 < item.end;
      Step later{};
      if (at + 2 < item.end) later = read_step(at + 2);
      gpu::wait_copies<Shape::kStages - 1>();  // the keys are here
      gpu::sync_block();
      if constexpr (Shape::kStages == 2) {
        if (more) load_keys(following, stage ^ 1);
        gpu::commit_copies();
        if (more) load_values(following, stage ^ 1);
      } else {
        load_values(step, 0);
      }
      gpu::commit_copies();
      if (Shape::kKeepQueries && at == item.begin) keep_queries();

      const bool present = step.rows != PlanEntry::kAbsent;
      GPU_UNROLL
      for (int part = 0; part < kKeyParts; ++part) {
        Logits logits;
        Probabilities probabilities;
        if (present) multiply_keys(stage, part, logits);
        if (Shape::kStages == 1 && part == kKeyParts - 1) {
          gpu::sync_block();  // the keys are no longer needed
          if (more) load_keys(following, 0);
          gpu::commit_copies();
        }
        if (present) {
          if (step.rows >= 0) apply_mask(step.rows, part, logits);
          softmax(logits, probabilities);
        }
        if (part == 0) {
          gpu::wait_copies<2 * Shape::kStages - 2>();  // the values are here
          gpu::sync_block();
        }
        if (present) multiply_values(stage, part, probabilities);
      }
      step = following;
      following = later;
      if constexpr (Shape::kStages == 2) stage ^= 1;
    }
    gpu::wait_copies<0>();
    if constexpr (kSplit) {
      finish_split();
    } else {
      finish(p_.items[gpu::opaque(number)]);
    }
  }

  // ---- shared memory ----

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

  /// Copies kCount rows, from token `first` of the head on, zeros beyond `limit` and beyond the width.
  template <int kCount>
  GPU_INLINE void load_rows(std::uint32_t to, const void* base, const Strides3& strides, int first, int limit) const {
    const int row = gpu::thread() / Shape::kLoadLanes, chunk = gpu::thread() % Shape::kLoadLanes;
    if (Shape::kLoadLanes != Shape::kChunks && chunk >= Shape::kChunks) return;
    const std::uint16_t* source = static_cast<const std::uint16_t*>(base) + head_ * strides.head + (first + row) * strides.token + chunk * 8;
    const int left = chunk * 8 < p_.width ? limit - first - row : 0;
    to += place(row, chunk);
    GPU_UNROLL_BY(4)
    for (int n = 0; n < kCount / Shape::kLoadRows; ++n) {
      // Four rows at a time change the bit by which chunks are exchanged.
      const std::uint32_t flip = Shape::kExchanged && Shape::kLoadRows % 8 != 0 && n % 2 == 1 ? 64 : 0;
      const bool there = n * Shape::kLoadRows < left;
      gpu::copy_async((to ^ flip) + static_cast<std::uint32_t>(n * Shape::kLoadRows * kRowBytes), source, there ? 16 : 0);
      source += Shape::kLoadRows * strides.token;
    }
  }
  GPU_INLINE void load_queries() { load_rows<Shape::kRows>(queries_at_, p_.q, p_.q_strides, first_row_, p_.queries); }
  GPU_INLINE void load_keys(const Step& step, int stage) {
    load_rows<kBlockTokens>(keys_at(stage), p_.k, p_.k_strides, step.key_block * kBlockTokens, p_.keys);
  }
  GPU_INLINE void load_values(const Step& step, int stage) {
    load_rows<kBlockTokens>(values_at(stage), p_.v, p_.v_strides, step.key_block * kBlockTokens, p_.keys);
  }
  GPU_INLINE std::uint32_t keys_at(int stage) const {
    return queries_at_ + static_cast<std::uint32_t>(Shape::kQueryBytes + stage * Shape::kBlockBytes);
  }
  GPU_INLINE std::uint32_t values_at(int stage) const { return keys_at(stage) + static_cast<std::uint32_t>(Shape::kStages * Shape::kBlockBytes); }

  // ---- products ----

  // The addresses of a lane differ by exchanged bits: the first is kept, the others are computed where they are used.
  GPU_INLINE std::uint32_t query_lane() const { return gpu::opaque(queries_at_ + place(warp_row_ + lane_ % 16, lane_ / 16)); }
  static GPU_INLINE void query_fragment(std::uint32_t lane, int row_tile, int step, std::uint32_t (&a)[4]) {
    gpu::load_matrices(a, further(lane, 2 * step) + static_cast<std::uint32_t>(row_tile * 16 * kRowBytes));
  }

  /// A negative scale is a positive one with negated queries: then the largest product has the largest logit.
  GPU_INLINE void negate_queries() {
    gpu::wait_copies<0>();
    gpu::sync_block();
    std::uint32_t* words = reinterpret_cast<std::uint32_t*>(queries_);
    GPU_NO_UNROLL
    for (int i = gpu::thread(); i < static_cast<int>(Shape::kQueryBytes / 4); i += Shape::kThreads) words[i] ^= 0x80008000u;
  }

  GPU_INLINE void keep_queries() {
    const std::uint32_t queries = query_lane();
    GPU_UNROLL
    for (int r = 0; r < kRowTiles; ++r) {
      GPU_UNROLL
      for (int step = 0; step < Shape::kWidth / 16; ++step) query_fragment(queries, r, step, kept_queries_[r][step]);
    }
  }

  GPU_INLINE void multiply_keys(int stage, int part, Logits& logits) {
    GPU_UNROLL
    for (int r = 0; r < kRowTiles; ++r) {
      GPU_UNROLL
      for (int n = 0; n < kKeyTiles; ++n) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) logits[r][n][e] = 0;
      }
    }
    const std::uint32_t queries = query_lane();
    const std::uint32_t keys = gpu::opaque(keys_at(stage) + place(part * 8 * kKeyTiles + lane_ / 16 * 8 + lane_ % 8, lane_ / 8 % 2));
    GPU_UNROLL
    for (int step = 0; step < Shape::kWidth / 16; ++step) {
      std::uint32_t a[kRowTiles][4];
      GPU_UNROLL
      for (int r = 0; r < kRowTiles; ++r) {
        if constexpr (Shape::kKeepQueries) {
          GPU_UNROLL
          for (int e = 0; e < 4; ++e) a[r][e] = kept_queries_[r][step][e];
        } else {
          query_fragment(queries, r, step, a[r]);
        }
      }
      GPU_UNROLL
      for (int pair = 0; pair < kKeyTiles / 2; ++pair) {  // 16 keys
        std::uint32_t b[4];
        gpu::load_matrices(b, further(keys, 2 * step) + static_cast<std::uint32_t>(pair * 16 * kRowBytes));
        GPU_UNROLL
        for (int r = 0; r < kRowTiles; ++r) {
          Math::multiply(logits[r][2 * pair], a[r], b[0], b[1]);
          Math::multiply(logits[r][2 * pair + 1], a[r], b[2], b[3]);
        }
      }
    }
  }

  GPU_INLINE void multiply_values(int stage, int part, const Probabilities& probabilities) {
    const std::uint32_t values = gpu::opaque(values_at(stage) + place(part * 8 * kKeyTiles + lane_ % 16, lane_ / 16));
    GPU_UNROLL
    for (int step = 0; step < kKeyTiles / 2; ++step) {  // 16 keys
      GPU_UNROLL
      for (int pair = 0; pair < kOutTiles / 2; ++pair) {  // 16 channels
        std::uint32_t b[4];
        gpu::load_matrices_transposed(b, further(values, 2 * pair) + static_cast<std::uint32_t>(step * 16 * kRowBytes));
        GPU_UNROLL
        for (int r = 0; r < kRowTiles; ++r) {
          Math::multiply(out_[r][2 * pair], probabilities[r][step], b[0], b[1]);
          Math::multiply(out_[r][2 * pair + 1], probabilities[r][step], b[2], b[3]);
        }
      }
    }
  }

  // ---- softmax ----

  GPU_INLINE void restart() {
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      reference_[i] = kNothing;
      sum_[i] = 0;
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

  /// Turns logits into probabilities relative to the reference of their row.
  GPU_INLINE void softmax(const Logits& logits, Probabilities& probabilities) {
    float top[kRowsOfThread];
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
    if (gpu::any(grows)) {
      GPU_UNROLL
      for (int i = 0; i < kRowsOfThread; ++i) {
        if (top[i] > reference_[i] + p_.lazy_growth) {
          const float shrink = gpu::exp2((reference_[i] - top[i]) * p_.scale_log2);
          reference_[i] = top[i];
          sum_[i] *= shrink;
          GPU_UNROLL
          for (int n = 0; n < kOutTiles; ++n) {
            out_[i / 2][n][i % 2 * 2] *= shrink;
            out_[i / 2][n][i % 2 * 2 + 1] *= shrink;
          }
        }
      }
    }
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) {
      const float base = reference_[i] == kNothing ? 0.0f : -reference_[i] * p_.scale_log2;
      GPU_UNROLL
      for (int n = 0; n < kKeyTiles; ++n) {
        const float a = gpu::exp2(gpu::multiply_add(logits[i / 2][n][i % 2 * 2], p_.scale_log2, base));
        const float b = gpu::exp2(gpu::multiply_add(logits[i / 2][n][i % 2 * 2 + 1], p_.scale_log2, base));
        sum_[i] += a + b;
        probabilities[i / 2][n / 2][n % 2 * 2 + i % 2] = Math::pack(a, b);
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

  GPU_INLINE bool first_lane() const { return lane_ % 4 == 0; }
  GPU_INLINE void finish(const PlanItem& item);
  GPU_INLINE bool meet_parts(const PlanItem& item, float (&log2_mass)[kRowsOfThread]);
  GPU_INLINE void keep_skipped();
  GPU_INLINE void finish_split();
  GPU_INLINE std::uint16_t* row_at(const void* base, const Strides3& strides, int i) const;
  GPU_INLINE void load_pair(const std::uint16_t* row, int n, float& a, float& b) const;
  GPU_INLINE void store_pair(std::uint16_t* row, int n, std::uint32_t pair) const;
  GPU_INLINE std::uint32_t stage_at(int i) const;
  GPU_INLINE void stage_pair(std::uint32_t row, int n, float a, float b);
  GPU_INLINE void store_staged(void* base, const Strides3& strides) const;


  const Parameters& p_;
  unsigned char* queries_;
  const std::uint32_t queries_at_;
  float* skipped_log2_;  ///< logarithm of a query's skipped mass
  int* next_;
  const int lane_, warp_row_;
  int first_row_ = 0;
  int head_ = 0;
  float out_[kRowTiles][kOutTiles][4];
  float reference_[kRowsOfThread], sum_[kRowsOfThread];  ///< reference: a product q.k; sum: of this thread's keys
  std::uint32_t kept_queries_[kRowTiles][Shape::kKeepQueries ? Shape::kWidth / 16 : 1][4];
};

}  // namespace ditscope::cuda

#include "kernels/cuda/tile_results.h"
