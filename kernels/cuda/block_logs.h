#pragma once
// Block masses as a by-product of attention. While a tile is walked, every row leaves log2 of what each visited key block gave it,
// 4 bytes a row and block; when the log-sum-exp is known, the logs of a block become its mass.
#include <cstdint>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/parameters.h"

namespace ditscope::cuda {

constexpr float kNothing = -__builtin_huge_valf();  ///< the logarithm of no mass

GPU_INLINE float sum_of_warp(float value) {
  GPU_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) value += gpu::shuffle_xor(value, mask);
  return value;
}

/// The logs of an entry, one a row of the tile. The entries of an item follow one another, so their numbers differ modulo the most
/// that one has.
template <int kRows>
GPU_INLINE float* block_logs(const Parameters& p, int entry) {
  const std::int64_t slot = static_cast<std::int64_t>(gpu::block()) * p.most_entries + entry % p.most_entries;
  return p.block_logs + slot * kRows;
}

/// Writes the row of masses of each query block of a tile; 0 for key blocks that are skipped. By the first kWorkers threads of the
/// block, all of whose logs were stored before.
/// @param all_log2  shared memory: log2 of the mass of each row of the tile, +inf for rows that count nothing
/// @param sync      meets the kWorkers threads
template <int kTileBlocks, int kWorkers, class Sync>
GPU_INLINE void write_block_masses(const Parameters& p, const PlanItem& item, const float* all_log2, const Sync& sync) {
  constexpr int kRows = kTileBlocks * kBlockTokens, kWarps = kWorkers / 32;
  const int lane = gpu::thread() % 32, key_blocks = (p.keys + kBlockTokens - 1) / kBlockTokens;
  const auto row_of_masses = [&](int b) -> float* {
    const int block = item.tile * kTileBlocks + b;
    return block * kBlockTokens < p.queries ? p.block_mass + item.head * p.block_mass_strides.head +
                                                  block * p.block_mass_strides.token
                                            : nullptr;
  };
  GPU_UNROLL
  for (int b = 0; b < kTileBlocks; ++b) {
    float* const masses = row_of_masses(b);
    GPU_NO_UNROLL
    for (int n = gpu::thread(); masses && n < key_blocks; n += kWorkers) masses[n * p.block_mass_strides.channel] = 0;
  }
  // A key block that the mask cuts through stands among both kinds of entries: one kind after the other.
  GPU_NO_UNROLL
  for (int half = 0; half < 2; ++half) {
    sync();
    const int end = half == 0 ? item.split : item.end;
    GPU_NO_UNROLL
    for (int at = (half == 0 ? item.begin : item.split) + gpu::thread() / 32; at < end; at += kWarps) {
      const PlanEntry entry = p.entries[at];
      const float* logs = block_logs<kRows>(p, at);
      GPU_UNROLL
      for (int b = 0; b < kTileBlocks; ++b) {
        float* const masses = row_of_masses(b);
        if (!masses || entry.rows[b] == PlanEntry::kAbsent) continue;
        float sum = 0;
        GPU_UNROLL
        for (int row = b * kBlockTokens + lane; row < (b + 1) * kBlockTokens; row += 32)
          sum += gpu::exp2(gpu::load_fresh(logs + row) - all_log2[row]);
        sum = sum_of_warp(sum);
        if (lane != 0) continue;
        const int left = p.queries - (item.tile * kTileBlocks + b) * kBlockTokens;
        if (p.mean_mass) sum /= static_cast<float>(left < kBlockTokens ? left : kBlockTokens);
        masses[entry.key_block * p.block_mass_strides.channel] += sum;
      }
    }
  }
  sync();  // all have read: the next item may write
}

}  // namespace ditscope::cuda
