#pragma once
// The attention that query blocks pay to key blocks, given every query's log-sum-exp: the logits of the attention kernels, and
// sums of exponentials where those have a softmax. A query block of a head is one block's of threads: each mass has one writer.
#include <cstdint>

#include "kernels/cuda/float_attention.h"
#include "kernels/cuda/tile_attention.h"

namespace ditscope::cuda {

constexpr float kMostLog2 = 80;  ///< a pair counts at most 2^80

/// A query's log-sum-exp in log2; +inf, which counts nothing, for one that is not there or saw nothing.
GPU_INLINE float mass_reference(const MassParameters& m, int head, int token) {
  if (token >= m.common.queries) return -kNothing;
  const float lse = m.log_sum_exp[head * m.log_sum_exp_strides.head + token * m.log_sum_exp_strides.token];
  return lse == kNothing ? -kNothing : lse * kLog2E;
}
GPU_INLINE float mass_of(float log2_probability) {
  return gpu::exp2(log2_probability < kMostLog2 ? log2_probability : kMostLog2);
}

/// The row of masses of a query block; null for one that is not there.
GPU_INLINE float* mass_row(const MassParameters& m, int head, int block) {
  return block < m.query_blocks ? m.mass + head * m.mass_strides.head + block * m.mass_strides.token : nullptr;
}
GPU_INLINE void clear_masses(const MassParameters& m, float* row, int threads) {
  GPU_NO_UNROLL
  for (int n = gpu::thread(); row && n < m.key_blocks; n += threads) row[n * m.mass_strides.channel] = 0;
}

template <typename Element, class Shape>
class TileMass : TileAttention<Element, Shape, false> {
  using Base = TileAttention<Element, Shape, false>;
  using Base::apply_mask, Base::keep_queries, Base::load_keys, Base::load_queries, Base::multiply_keys, Base::negate_queries,
      Base::read_step;
  using State = TileState<Element, Shape, false>;
  using Base::first_row_, Base::head_, Base::lane_, Base::next_, Base::p_;
  using Base::kKeyParts, Base::kKeyTiles;
  using State::row_of;
  static constexpr int kRowsOfThread = State::kRowsOfThread;
  using typename Base::Logits;
  using typename Base::Step;

 public:
  GPU_INLINE TileMass(const MassParameters& parameters, unsigned char* shared)
      : Base(parameters.common, shared), m_(parameters), sums_(State::skipped_log2_) {}

  GPU_INLINE void run() {
    work_off_queue(p_, next_, [&](int item) { add_up(p_.items[item]); });
  }

 private:
  static constexpr int kWarpsOfBlock = Shape::kWarps / Shape::kTileBlocks;
  static_assert(2 * Shape::kWarps <= Shape::kRows);

  GPU_INLINE void add_up(const PlanItem& item) {
    first_row_ = item.tile * Shape::kRows;
    head_ = item.head;
    GPU_UNROLL
    for (int b = 0; b < Shape::kTileBlocks; ++b) clear_masses(m_, row(item, b), Shape::kThreads);
    Step step{};
    if (item.begin < item.end) {
      load_queries();
      step = read_step(item.begin);
      load_keys(step, 0);
    }
    gpu::commit_copies();
    ask_next(p_, next_);
    if (p_.negative && item.begin < item.end) negate_queries();
    float reference[kRowsOfThread];
    GPU_UNROLL
    for (int i = 0; i < kRowsOfThread; ++i) reference[i] = mass_reference(m_, head_, first_row_ + row_of(i));
    int stage = 0, before = -1;
    GPU_NO_UNROLL
    for (int at = item.begin; at < item.end; ++at) {
      Step following{};
      if (at + 1 < item.end) following = read_step(at + 1);
      gpu::wait_copies<0>();  // the keys are here
      gpu::sync_block();
      if (at + 1 < item.end) load_keys(following, stage ^ 1);
      gpu::commit_copies();
      if (Shape::kKeepQueries && at == item.begin) keep_queries();
      write(item, before, stage ^ 1);
      float sum = 0;
      if (step.rows != PlanEntry::kAbsent) {
        GPU_UNROLL
        for (int part = 0; part < kKeyParts; ++part) {
          Logits logits;
          multiply_keys(step.key_block, stage, part, logits);
          if (step.rows >= 0) apply_mask(step.rows, part, logits);
          GPU_UNROLL
          for (int i = 0; i < kRowsOfThread; ++i) {
            GPU_UNROLL
            for (int n = 0; n < kKeyTiles; ++n) {
              GPU_UNROLL
              for (int e = 0; e < 2; ++e)
                sum += mass_of(gpu::multiply_add(logits[i / 2][n][i % 2 * 2 + e], p_.scale_log2, -reference[i]));
            }
          }
        }
      }
      sum = sum_of_warp(sum);
      if (lane_ == 0) sums_[stage * Shape::kWarps + gpu::thread() / 32] = sum;
      before = step.key_block;
      step = following;
      stage ^= 1;
    }
    gpu::sync_block();
    write(item, before, stage ^ 1);
  }

  GPU_INLINE float* row(const PlanItem& item, int b) const { return mass_row(m_, head_, item.tile * Shape::kTileBlocks + b); }

  /// The sums that warps left at a stage, to the masses of a key block; none for a number below 0.
  GPU_INLINE void write(const PlanItem& item, int key_block, int stage) const {
    const int b = gpu::thread();
    if (key_block < 0 || b >= Shape::kTileBlocks) return;
    float sum = 0;
    GPU_UNROLL
    for (int w = 0; w < kWarpsOfBlock; ++w) sum += sums_[stage * Shape::kWarps + b * kWarpsOfBlock + w];
    if (float* to = row(item, b)) to[key_block * m_.mass_strides.channel] = sum;
  }

  const MassParameters& m_;
  float* sums_;  ///< (2 stages, warps)
};

template <class Shape>
class FloatMass : FloatAttention<Shape, false> {
  using Base = FloatAttention<Shape, false>;
  using Base::apply_mask, Base::load, Base::multiply_keys;
  using Base::first_row_, Base::head_, Base::left_, Base::next_, Base::p_, Base::probabilities_, Base::right_, Base::y_;

 public:
  GPU_INLINE FloatMass(const MassParameters& parameters, unsigned char* shared)
      : Base(parameters.common, shared), m_(parameters) {}

  GPU_INLINE void run() {
    work_off_queue(p_, next_, [&](int item) {
      ask_next(p_, next_);
      add_up(p_.items[item]);
    });
  }

 private:
  GPU_INLINE void add_up(const PlanItem& item) {
    first_row_ = item.tile * kBlockTokens;
    head_ = item.head;
    float* const masses = mass_row(m_, item.head, item.tile);
    clear_masses(m_, masses, Shape::kThreads);
    float reference[4];
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) reference[i] = mass_reference(m_, item.head, first_row_ + 4 * y_ + i);
    const float scale = p_.negative ? -p_.scale_log2 : p_.scale_log2;
    GPU_NO_UNROLL
    for (int at = item.begin; at < item.end; ++at) {
      const PlanEntry entry = p_.entries[at];
      if (entry.rows[0] == PlanEntry::kAbsent) continue;
      float logits[4][4] = {};
      GPU_NO_UNROLL
      for (int slice = 0; slice < Shape::kSlices; ++slice) {
        gpu::sync_block();
        load(left_, p_.q, p_.q_strides, first_row_, p_.queries, slice);
        load(right_, p_.k, p_.k_strides, entry.key_block * kBlockTokens, p_.keys, slice);
        gpu::sync_block();
        multiply_keys(logits);
      }
      if (entry.rows[0] >= 0) apply_mask(entry.rows[0], logits);
      float sum = 0;
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        GPU_UNROLL
        for (int j = 0; j < 4; ++j) sum += mass_of(gpu::multiply_add(logits[i][j], scale, -reference[i]));
      }
      sum = sum_of_warp(sum);
      gpu::sync_block();
      if (gpu::thread() % 32 == 0) probabilities_[gpu::thread() / 32] = sum;
      gpu::sync_block();
      if (gpu::thread() == 0 && masses) {
        float all = 0;
        for (int w = 0; w < Shape::kThreads / 32; ++w) all += probabilities_[w];
        masses[entry.key_block * m_.mass_strides.channel] = all;
      }
    }
  }

  const MassParameters& m_;
};

}  // namespace ditscope::cuda
