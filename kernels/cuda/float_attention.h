#pragma once
// Block-sparse attention in float32 by fused multiply-adds: for every GPU, written for correctness. The walk over the plan and
// the split are those of tile_attention.h, with tiles of one query block.
//
// 16 x 16 threads: thread (y,x) has queries 4y .. 4y+3. Of the logits it has keys x, x+16, x+32, x+48; of the output channels
// 4x .. 4x+3 of each slice of 64.
#include <cstdint>

#include "kernels/cuda/tile_attention.h"

namespace ditscope::cuda {

template <class Shape, bool kSplit>
class FloatAttention {
 public:
  GPU_INLINE FloatAttention(const Parameters& parameters, unsigned char* shared)
      : p_(parameters),
        left_(reinterpret_cast<float*>(shared)),
        right_(reinterpret_cast<float*>(shared + Shape::kPlaneBytes)),
        probabilities_(reinterpret_cast<float*>(shared + 2 * Shape::kPlaneBytes)),
        next_(reinterpret_cast<int*>(shared + 3 * Shape::kPlaneBytes)),
        x_(gpu::thread() % 16),
        y_(gpu::thread() / 16) {}

  GPU_INLINE void run() {
    work_off_queue(p_, next_, [&](int item) {
      ask_next(p_, next_);
      attend(p_.items[item]);
    });
  }

 protected:
  static constexpr int kRow = Shape::kRowFloats;
  struct alignas(16) Four {
    float f[4];
  };

  GPU_INLINE void attend(const PlanItem& item) {
    first_row_ = item.tile * kBlockTokens;
    head_ = item.head;
    restart();
    float skipped_log2[4] = {kNothing, kNothing, kNothing, kNothing};
    GPU_NO_UNROLL
    for (int at = item.begin;; ++at) {
      if (kSplit && at == item.split) keep_skipped(skipped_log2);
      if (at == item.end) break;
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
      softmax(logits, at);
      GPU_UNROLL
      for (int slice = 0; slice < Shape::kSlices; ++slice) {
        gpu::sync_block();
        load(right_, p_.v, p_.v_strides, entry.key_block * kBlockTokens, p_.keys, slice);
        gpu::sync_block();
        multiply_values(out_[slice]);
      }
    }
    finish(skipped_log2);
    if constexpr (kSplit) {
      if (p_.block_logs) write_block_masses<1, Shape::kThreads>(p_, item, left_, [] { gpu::sync_block(); });
    }
  }

  GPU_INLINE void load(float* plane, const void* base, const Strides3& strides, int first, int limit, int slice) const {
    const float* source = static_cast<const float*>(base) + head_ * strides.head;
    GPU_NO_UNROLL
    for (int i = gpu::thread(); i < kBlockTokens * 64; i += Shape::kThreads) {
      const int row = i / 64, channel = slice * 64 + i % 64;
      const bool there = first + row < limit && channel < p_.width;
      plane[row * kRow + i % 64] = there ? source[(first + row) * strides.token + channel * strides.channel] : 0.0f;
    }
  }

  static GPU_INLINE Four four(const float* place) { return *reinterpret_cast<const Four*>(place); }

  GPU_INLINE void multiply_keys(float (&logits)[4][4]) const {
    GPU_NO_UNROLL
    for (int c = 0; c < 64; c += 4) {
      Four q[4], k[4];
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        q[i] = four(left_ + (4 * y_ + i) * kRow + c);
        k[i] = four(right_ + (x_ + 16 * i) * kRow + c);
      }
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        GPU_UNROLL
        for (int j = 0; j < 4; ++j) {
          GPU_UNROLL
          for (int e = 0; e < 4; ++e) logits[i][j] = gpu::multiply_add(q[i].f[e], k[j].f[e], logits[i][j]);
        }
      }
    }
  }

  GPU_INLINE void multiply_values(float (&out)[4][4]) const {
    GPU_NO_UNROLL
    for (int key = 0; key < kBlockTokens; key += 4) {
      Four p[4], v[4];
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        p[i] = four(probabilities_ + (4 * y_ + i) * kRow + key);
        v[i] = four(right_ + (key + i) * kRow + 4 * x_);
      }
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        GPU_UNROLL
        for (int j = 0; j < 4; ++j) {
          GPU_UNROLL
          for (int e = 0; e < 4; ++e) out[i][j] = gpu::multiply_add(p[i].f[e], v[e].f[j], out[i][j]);
        }
      }
    }
  }

  GPU_INLINE void apply_mask(int rows, float (&logits)[4][4]) const {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t word = p_.row_words[static_cast<std::int64_t>(rows) * kBlockTokens + 4 * y_ + i] >> x_;
      GPU_UNROLL
      for (int j = 0; j < 4; ++j) {
        // The sign is the scale's: every logit is multiplied by it below.
        if (!(word >> (16 * j) & 1u)) logits[i][j] = p_.negative ? -kNothing : kNothing;
      }
    }
  }

  /// Logits of an entry to probabilities, in shared memory.
  GPU_INLINE void softmax(float (&logits)[4][4], [[maybe_unused]] int entry) {
    const float scale = p_.negative ? -p_.scale_log2 : p_.scale_log2;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      float top = kNothing;
      GPU_UNROLL
      for (int j = 0; j < 4; ++j) {
        logits[i][j] *= scale;
        top = gpu::larger(top, logits[i][j]);
      }
      GPU_UNROLL
      for (int mask = 1; mask < 16; mask *= 2) top = gpu::larger(top, gpu::shuffle_xor(top, mask));
      if (top > reference_[i]) {
        const float shrink = gpu::exp2(reference_[i] - top);
        reference_[i] = top;
        sum_[i] *= shrink;
        GPU_UNROLL
        for (int slice = 0; slice < Shape::kSlices; ++slice) {
          GPU_UNROLL
          for (int j = 0; j < 4; ++j) out_[slice][i][j] *= shrink;
        }
      }
      const float base = reference_[i] == kNothing ? 0.0f : reference_[i];
      float added = 0;
      GPU_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float probability = gpu::exp2(logits[i][j] - base);
        added += probability;
        probabilities_[(4 * y_ + i) * kRow + x_ + 16 * j] = probability;
      }
      sum_[i] += added;
      if constexpr (kSplit) {
        if (p_.block_logs) keep_block_sum(i, added, entry);
      }
    }
  }

  /// What an entry gave row i.
  GPU_INLINE void keep_block_sum(int i, float sum, int entry) const {
    GPU_UNROLL
    for (int mask = 1; mask < 16; mask *= 2) sum += gpu::shuffle_xor(sum, mask);
    if (x_ == 0) block_logs<kBlockTokens>(p_, entry)[4 * y_ + i] = sum > 0 ? reference_[i] + gpu::log2(sum) : kNothing;
  }

  GPU_INLINE void restart() {
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      reference_[i] = kNothing;
      sum_[i] = 0;
      GPU_UNROLL
      for (int slice = 0; slice < Shape::kSlices; ++slice) {
        GPU_UNROLL
        for (int j = 0; j < 4; ++j) out_[slice][i][j] = 0;
      }
    }
  }

  GPU_INLINE float normaliser(int i, float& log2_mass) const {
    float sum = sum_[i];
    GPU_UNROLL
    for (int mask = 1; mask < 16; mask *= 2) sum += gpu::shuffle_xor(sum, mask);
    log2_mass = sum > 0 ? reference_[i] + gpu::log2(sum) : kNothing;
    return sum > 0 ? 1 / sum : 0.0f;
  }

  /// Calls `body` with each of the thread's accumulators of row i and the offset of its element.
  template <class Body>
  GPU_INLINE void each(int i, const Strides3& strides, const Body& body) {
    const std::int64_t token = gpu::opaque(first_row_) + 4 * y_ + i;
    if (token >= p_.queries) return;
    GPU_UNROLL
    for (int slice = 0; slice < Shape::kSlices; ++slice) {
      GPU_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int channel = slice * 64 + 4 * x_ + j;
        if (channel < p_.width)
          body(out_[slice][i][j], head_ * strides.head + token * strides.token + channel * strides.channel, channel);
      }
    }
  }

  GPU_INLINE void keep_skipped(float (&skipped_log2)[4]) {
    float* out = static_cast<float*>(p_.out);
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      const float factor = normaliser(i, skipped_log2[i]);
      each(i, p_.out_strides, [&](float& sum, std::int64_t offset, int) { out[offset] = sum * factor; });
    }
    restart();
  }

  GPU_INLINE void finish(const float (&skipped_log2)[4]) {
    float* out = static_cast<float*>(p_.out);
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      float kept_log2;
      const float factor = normaliser(i, kept_log2), all_log2 = kSplit ? log2_sum(kept_log2, skipped_log2[i]) : kept_log2;
      const std::int64_t token = first_row_ + 4 * y_ + i;
      const bool there = token < p_.queries;
      // Where queries were: nobody reads them any more.
      if (kSplit && p_.block_logs && x_ == 0) left_[4 * y_ + i] = there && all_log2 != kNothing ? all_log2 : -kNothing;
      if (there && x_ == 0) {
        if (p_.log_sum_exp) {
          p_.log_sum_exp[head_ * p_.log_sum_exp_strides.head + token * p_.log_sum_exp_strides.token] = all_log2 * kLn2;
        }
        if (kSplit && p_.log_sum_exp_kept) {
          p_.log_sum_exp_kept[head_ * p_.log_sum_exp_kept_strides.head + token * p_.log_sum_exp_kept_strides.token] =
              kept_log2 * kLn2;
        }
      }
      if constexpr (kSplit) {
        const float rho = kept_log2 == kNothing ? 0.0f : gpu::exp2(kept_log2 - all_log2);
        const float share = skipped_log2[i] == kNothing ? 0.0f : gpu::exp2(skipped_log2[i] - all_log2);
        float* rest = static_cast<float*>(p_.skipped_residual);
        const Strides3& s = p_.skipped_residual_strides;
        each(i, p_.out_strides, [&](float& sum, std::int64_t offset, int channel) {
          const float kept = sum * factor, skipped = out[offset];
          out[offset] = rho * kept + share * skipped;
          if (rest)
            rest[head_ * s.head + token * s.token + channel * s.channel] = share * (p_.unit_rho ? skipped - kept : skipped);
        });
      } else {
        float scale =
            there && p_.row_scale ? p_.row_scale[head_ * p_.row_scale_strides.head + token * p_.row_scale_strides.token] : 1.0f;
        const std::int64_t block = token / kBlockTokens;
        if (there && p_.block_scale) {
          scale *= p_.block_scale[head_ * p_.block_scale_strides.head + block * p_.block_scale_strides.token];
        }
        const Strides3& of_vector = p_.block_vector_strides;
        const float* vector = p_.block_vector ? p_.block_vector + head_ * of_vector.head + block * of_vector.token : nullptr;
        const float* residual = static_cast<const float*>(p_.residual);
        const Strides3& s = p_.residual_strides;
        each(i, p_.out_strides, [&](float& sum, std::int64_t offset, int channel) {
          float added = residual ? residual[head_ * s.head + token * s.token + channel * s.channel] : 0.0f;
          if (vector) added += vector[channel * of_vector.channel];
          out[offset] = gpu::multiply_add(sum * factor, scale, added);
        });
      }
    }
  }

  const Parameters& p_;
  float *left_, *right_, *probabilities_;
  int* next_;
  const int x_, y_;
  int first_row_ = 0;
  std::int64_t head_ = 0;
  float out_[Shape::kSlices][4][4];
  float reference_[4], sum_[4];  ///< reference: log2 units
};

}  // namespace ditscope::cuda
