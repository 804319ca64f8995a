#pragma once
// Included by tile_state.h: what becomes of a tile's accumulators.

namespace ditscope::cuda {

/// Row i of the thread in a tensor, at the channels of its lane; null beyond the last query.
template <typename Element, class Shape, bool kSplit>
GPU_INLINE std::uint16_t* TileState<Element, Shape, kSplit>::row_at(const void* base, const Strides3& strides, int i) const {
  const int token = gpu::opaque(first_row_) + row_of(i);
  if (!base || token >= p_.queries) return nullptr;
  const std::uint16_t* first = static_cast<const std::uint16_t*>(base) + head_ * strides.head + token * strides.token;
  return const_cast<std::uint16_t*>(first) + lane_ % 4 * 2;
}

/// Channels 8n + 2(lane%4) and the next; 0 where there are none.
template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::load_pair(const std::uint16_t* row, int n, float& a, float& b) const {
  const std::uint32_t pair = row && 8 * n < p_.width ? *reinterpret_cast<const std::uint32_t*>(row + 8 * n) : 0;
  a = Math::widen(static_cast<std::uint16_t>(pair));
  b = Math::widen(static_cast<std::uint16_t>(pair >> 16));
}

template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::store_pair(std::uint16_t* row, int n, std::uint32_t pair) const {
  if (row && 8 * n < p_.width) *reinterpret_cast<std::uint32_t*>(row + 8 * n) = pair;
}

/// Where the warp's own queries were, the place of row i of the thread for store_staged().
template <typename Element, class Shape, bool kSplit>
GPU_INLINE std::uint32_t TileState<Element, Shape, kSplit>::stage_at(int i) const {
  return place(row_of(i), 0);
}
template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::stage_pair(std::uint32_t row, int n, float a, float b) {
  *reinterpret_cast<std::uint32_t*>(queries_ + further(row, n) + lane_ % 4 * 4) = Math::pack(a, b);
}

/// Writes the warp's rows, 16 bytes a lane side by side.
template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::store_staged(void* base, const Strides3& strides) const {
  struct alignas(16) Chunk {
    std::uint32_t words[4];
  };
  gpu::sync_warp();
  std::uint16_t* target = static_cast<std::uint16_t*>(base) + head_ * strides.head;
  GPU_NO_UNROLL
  for (int i = lane_; i < 16 * kRowTiles * Shape::kChunks; i += 32) {
    const int row = warp_row_ + i / Shape::kChunks, chunk = i % Shape::kChunks;
    const int token = first_row_ + row;
    if (token >= p_.queries || chunk * 8 >= p_.width) continue;
    *reinterpret_cast<Chunk*>(target + token * strides.token + chunk * 8) =
        *reinterpret_cast<const Chunk*>(queries_ + place(row, chunk));
  }
  gpu::sync_warp();
}

/// out = row_scale * block_scale * O + block_vector + residual, and the logarithm of the mass.
template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::finish(const PlanItem& item) {
  float log2_mass[kRowsOfThread];
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) multiply_row(i, normaliser(i, log2_mass[i]));
  if (item.parts > 1 && !meet_parts(item, log2_mass)) return;
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    const std::int64_t token = first_row_ + row_of(i);
    const bool there = token < p_.queries;
    if (there && first_lane() && p_.log_sum_exp) {
      const float bias = p_.row_bias ? p_.row_bias[static_cast<std::int64_t>(head_) * p_.queries + token] : 0.0f;
      p_.log_sum_exp[head_ * p_.log_sum_exp_strides.head + token * p_.log_sum_exp_strides.token] = log2_mass[i] * kLn2 + bias;
    }
    float scale = 1;
    if (there && p_.row_scale) scale = p_.row_scale[head_ * p_.row_scale_strides.head + token * p_.row_scale_strides.token];
    if (there && p_.block_scale) {
      scale *= p_.block_scale[head_ * p_.block_scale_strides.head + token / kBlockTokens * p_.block_scale_strides.token];
    }
    const float* vector = there && p_.block_vector ? p_.block_vector + head_ * p_.block_vector_strides.head +
                                                         token / kBlockTokens * p_.block_vector_strides.token
                                                   : nullptr;
    const std::uint16_t* residual = row_at(p_.residual, p_.residual_strides, i);
    const std::uint32_t staged = stage_at(i);
    GPU_UNROLL
    for (int n = 0; n < kOutTiles; ++n) {
      if (n % 4 == 0) gpu::keep_order();
      float a, b;
      load_pair(residual, n, a, b);
      if (vector && 8 * n < p_.width) {
        const std::int64_t channel = 8 * n + lane_ % 4 * 2;
        a += vector[channel * p_.block_vector_strides.channel];
        b += vector[(channel + 1) * p_.block_vector_strides.channel];
      }
      a = gpu::multiply_add(out_[i / 2][n][i % 2 * 2], scale, a);
      b = gpu::multiply_add(out_[i / 2][n][i % 2 * 2 + 1], scale, b);
      stage_pair(staged, n, a, b);
    }
  }
  store_staged(p_.out, p_.out_strides);
}

/// Stores the part and counts it. @return true in the block that came last: its accumulators are those of the whole tile then,
/// added up in the order of the parts whoever came when
template <typename Element, class Shape, bool kSplit>
GPU_INLINE bool TileState<Element, Shape, kSplit>::meet_parts(const PlanItem& item, float (&log2_mass)[kRowsOfThread]) {
  constexpr int kRowFloats = Shape::kWidth + 1;
  const auto part_row = [&](int part, int i) {
    return p_.parts + (static_cast<std::int64_t>(item.slot + part) * Shape::kRows + row_of(i)) * kRowFloats;
  };
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    float* mine = part_row(item.part, i);
    GPU_UNROLL
    for (int n = 0; n < kOutTiles; ++n) {
      mine[8 * n + lane_ % 4 * 2] = out_[i / 2][n][i % 2 * 2];
      mine[8 * n + lane_ % 4 * 2 + 1] = out_[i / 2][n][i % 2 * 2 + 1];
    }
    if (first_lane()) mine[Shape::kWidth] = log2_mass[i];
  }
  gpu::fence();
  sync_workers();
  int* const came = next_ + 2;
  if (gpu::thread() == 0) {
    *came = gpu::atomic_add(p_.tickets + item.slot, 1);
    if (*came == item.parts - 1) p_.tickets[item.slot] = 0;
    gpu::fence();
  }
  sync_workers();
  if (*came != item.parts - 1) return false;
  gpu::fence();
  restart();
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    float all = kNothing;
    GPU_NO_UNROLL
    for (int part = 0; part < item.parts; ++part) all = log2_sum(all, gpu::load_fresh(part_row(part, i) + Shape::kWidth));
    log2_mass[i] = all;
    GPU_NO_UNROLL
    for (int part = 0; part < item.parts; ++part) {
      const float* row = part_row(part, i);
      const float mass = gpu::load_fresh(row + Shape::kWidth), weight = mass == kNothing ? 0.0f : gpu::exp2(mass - all);
      GPU_UNROLL
      for (int n = 0; n < kOutTiles; ++n) {
        if (n % 4 == 0) gpu::keep_order();
        float* out = &out_[i / 2][n][i % 2 * 2];
        out[0] = gpu::multiply_add(weight, gpu::load_fresh(row + 8 * n + lane_ % 4 * 2), out[0]);
        out[1] = gpu::multiply_add(weight, gpu::load_fresh(row + 8 * n + lane_ % 4 * 2 + 1), out[1]);
      }
    }
  }
  return true;
}

/// Stores the softmax over the skipped keys where the results will be, rounded, and what the rounding left where the residual
/// will be; then starts anew.
template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::keep_skipped() {
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    float log2_mass;
    const float factor = normaliser(i, log2_mass);
    if (first_lane()) skipped_log2_[row_of(i)] = log2_mass;
    const bool any = log2_mass != kNothing;
    std::uint16_t* out = any ? row_at(p_.out, p_.out_strides, i) : nullptr;
    std::uint16_t* residual = any ? row_at(p_.skipped_residual, p_.skipped_residual_strides, i) : nullptr;
    GPU_UNROLL
    for (int n = 0; n < kOutTiles; ++n) {
      if (n % 4 == 0) gpu::keep_order();
      const float a = out_[i / 2][n][i % 2 * 2] * factor, b = out_[i / 2][n][i % 2 * 2 + 1] * factor;
      const std::uint32_t high = Math::pack(a, b);
      const float a_left = a - Math::widen(static_cast<std::uint16_t>(high));
      const float b_left = b - Math::widen(static_cast<std::uint16_t>(high >> 16));
      store_pair(out, n, high);
      store_pair(residual, n, Math::pack(a_left, b_left));
    }
  }
  restart();
}

template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::finish_split() {
  gpu::sync_warp();
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    float kept_log2;
    const float factor = normaliser(i, kept_log2), skipped_log2 = skipped_log2_[row_of(i)];
    const float all_log2 = log2_sum(kept_log2, skipped_log2);
    const std::int64_t token = first_row_ + row_of(i);
    if (token < p_.queries && first_lane()) {
      if (p_.log_sum_exp) {
        p_.log_sum_exp[head_ * p_.log_sum_exp_strides.head + token * p_.log_sum_exp_strides.token] = all_log2 * kLn2;
      }
      if (p_.log_sum_exp_kept) {
        p_.log_sum_exp_kept[head_ * p_.log_sum_exp_kept_strides.head + token * p_.log_sum_exp_kept_strides.token] =
            kept_log2 * kLn2;
      }
    }
    const float rho = kept_log2 == kNothing ? 0.0f : gpu::exp2(kept_log2 - all_log2);
    const float share = skipped_log2 == kNothing ? 0.0f : gpu::exp2(skipped_log2 - all_log2);
    const bool skipped = skipped_log2 != kNothing;
    const std::uint32_t staged = stage_at(i);
    const std::uint16_t* rounded = skipped ? row_at(p_.out, p_.out_strides, i) : nullptr;
    const std::uint16_t* left = skipped ? row_at(p_.skipped_residual, p_.skipped_residual_strides, i) : nullptr;
    GPU_UNROLL
    for (int n = 0; n < kOutTiles; ++n) {
      if (n % 4 == 0) gpu::keep_order();
      float skipped_a, skipped_b, left_a, left_b;
      load_pair(rounded, n, skipped_a, skipped_b);
      load_pair(left, n, left_a, left_b);
      skipped_a += left_a;
      skipped_b += left_b;
      float* out = &out_[i / 2][n][i % 2 * 2];
      const float kept_a = out[0] * factor, kept_b = out[1] * factor;
      stage_pair(staged, n, rho * kept_a + share * skipped_a, rho * kept_b + share * skipped_b);
      // The residual waits in the accumulators.
      out[0] = share * (p_.unit_rho ? skipped_a - kept_a : skipped_a);
      out[1] = share * (p_.unit_rho ? skipped_b - kept_b : skipped_b);
    }
  }
  store_staged(p_.out, p_.out_strides);
  if (!p_.skipped_residual) return;
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    const std::uint32_t staged = stage_at(i);
    GPU_UNROLL
    for (int n = 0; n < kOutTiles; ++n) stage_pair(staged, n, out_[i / 2][n][i % 2 * 2], out_[i / 2][n][i % 2 * 2 + 1]);
  }
  store_staged(p_.skipped_residual, p_.skipped_residual_strides);
}

/// Masses of blocks, if they are asked for; after finish_split().
template <typename Element, class Shape, bool kSplit>
GPU_INLINE void TileState<Element, Shape, kSplit>::finish_masses(const PlanItem& item) {
  if (!p_.block_logs) return;
  gpu::sync_warp();
  GPU_UNROLL
  for (int i = 0; i < kRowsOfThread; ++i) {
    float kept_log2;
    normaliser(i, kept_log2);
    if (!first_lane()) continue;
    const float all = log2_sum(kept_log2, skipped_log2_[row_of(i)]);
    skipped_log2_[row_of(i)] = all == kNothing || first_row_ + row_of(i) >= p_.queries ? -kNothing : all;
  }
  write_block_masses<Shape::kTileBlocks, Shape::kWorkers>(p_, item, skipped_log2_, [] { sync_workers(); });
}

}  // namespace ditscope::cuda
