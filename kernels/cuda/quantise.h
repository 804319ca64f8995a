#pragma once
// Tokens to int8 with a scale a group, and the mean of keys over tokens that smoothing takes away. Blocks of threads step through
// tasks: no task writes what another reads.
#include <cstdint>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/parameters.h"

namespace ditscope::cuda {

constexpr int kQuantiseThreads = 128;
/// Keys whose sum one task makes.
constexpr int kSumTokens = 256;

struct QuantiseParameters {
  const void* x;  ///< (H,T,D)
  Strides3 strides;
  int heads, tokens, width;
  int group_tokens, row_bytes;
  float* sums;              ///< (H, ceil(T/256), D): sums over tokens
  float* mean;              ///< (H,D)
  const float* subtracted;  ///< (H,D), taken from every token before it is rounded; null: nothing
  const float* dotted;      ///< (H,D); null: no bias
  float bias_scale, *bias;  ///< bias (H,T): bias_scale times the dot product of a token and its head's `dotted`
  signed char* values;      ///< (H,T,row_bytes), zeros beyond the width
  float* scales;            ///< (H, groups)
};

/// sums[h,piece] = sum over the tokens of a piece of x.
template <typename Element>
class KeySums {
 public:
  /// @param shared  kQuantiseThreads floats
  GPU_INLINE KeySums(const QuantiseParameters& parameters, unsigned char* shared)
      : p_(parameters), shared_(reinterpret_cast<float*>(shared)) {}

  GPU_INLINE void run() {
    constexpr int kChannels = 32, kLanes = kQuantiseThreads / kChannels;
    const int pieces = (p_.tokens + kSumTokens - 1) / kSumTokens, own = gpu::thread() % kChannels,
              lane = gpu::thread() / kChannels;
    GPU_NO_UNROLL
    for (int task = gpu::block(); task < p_.heads * pieces; task += gpu::blocks()) {
      const int head = task / pieces, first = task % pieces * kSumTokens;
      const int last = first + kSumTokens < p_.tokens ? first + kSumTokens : p_.tokens;
      const std::uint16_t* base = static_cast<const std::uint16_t*>(p_.x) + head * p_.strides.head;
      GPU_NO_UNROLL
      for (int c = 0; c < p_.width; c += kChannels) {
        const int channel = c + own;
        float sum = 0;
        for (int t = first + lane; t < last && channel < p_.width; t += kLanes)
          sum += gpu::Arithmetic<Element>::widen(base[t * p_.strides.token + channel]);
        shared_[gpu::thread()] = sum;
        gpu::sync_block();
        if (lane == 0 && channel < p_.width) {
          for (int other = 1; other < kLanes; ++other) sum += shared_[other * kChannels + own];
          p_.sums[static_cast<std::int64_t>(task) * p_.width + channel] = sum;
        }
        gpu::sync_block();
      }
    }
  }

 private:
  const QuantiseParameters& p_;
  float* shared_;
};

/// mean[h] = the sums of a head over its tokens.
class KeyMean {
 public:
  GPU_INLINE KeyMean(const QuantiseParameters& parameters, unsigned char*) : p_(parameters) {}

  GPU_INLINE void run() {
    const int pieces = (p_.tokens + kSumTokens - 1) / kSumTokens;
    GPU_NO_UNROLL
    for (int head = gpu::block(); head < p_.heads; head += gpu::blocks()) {
      GPU_NO_UNROLL
      for (int c = gpu::thread(); c < p_.width; c += kQuantiseThreads) {
        float sum = 0;
        for (int piece = 0; piece < pieces; ++piece)
          sum += p_.sums[(static_cast<std::int64_t>(head) * pieces + piece) * p_.width + c];
        p_.mean[static_cast<std::int64_t>(head) * p_.width + c] = sum / static_cast<float>(p_.tokens);
      }
    }
  }

 private:
  const QuantiseParameters& p_;
};

/// values and scales, and the bias of every token where it is asked for. A task is a group, a warp has every fourth token of it.
template <typename Element>
class Quantise {
 public:
  /// @param shared  a float a warp
  GPU_INLINE Quantise(const QuantiseParameters& parameters, unsigned char* shared)
      : p_(parameters), shared_(reinterpret_cast<float*>(shared)), lane_(gpu::thread() % 32), warp_(gpu::thread() / 32) {}

  GPU_INLINE void run() {
    const int groups = (p_.tokens + p_.group_tokens - 1) / p_.group_tokens;
    GPU_NO_UNROLL
    for (int task = gpu::block(); task < p_.heads * groups; task += gpu::blocks()) {
      const int head = task / groups, first = task % groups * p_.group_tokens;
      const int last = first + p_.group_tokens < p_.tokens ? first + p_.group_tokens : p_.tokens;
      const float largest = largest_of(head, first, last);
      if (gpu::thread() == 0) p_.scales[task] = largest / 127.0f;
      const float factor = largest == 0 ? 0.0f : 127.0f / largest;
      GPU_NO_UNROLL
      for (int t = first + warp_; t < last; t += kWarps) {
        signed char* row = p_.values + (static_cast<std::int64_t>(head) * p_.tokens + t) * p_.row_bytes;
        for (int c = lane_; c < p_.row_bytes; c += 32) row[c] = c < p_.width ? rounded(value(head, t, c) * factor) : 0;
      }
    }
  }

 private:
  static constexpr int kWarps = kQuantiseThreads / 32;

  GPU_INLINE float raw(int head, int t, int c) const {
    return gpu::Arithmetic<Element>::widen(
        static_cast<const std::uint16_t*>(p_.x)[head * p_.strides.head + t * p_.strides.token + c]);
  }
  GPU_INLINE float value(int head, int t, int c) const {
    return raw(head, t, c) - (p_.subtracted ? p_.subtracted[static_cast<std::int64_t>(head) * p_.width + c] : 0.0f);
  }
  /// To nearest, ties to even.
  static GPU_INLINE signed char rounded(float value) {
    const float bounded = value > 127.0f ? 127.0f : value < -127.0f ? -127.0f : value;
    return static_cast<signed char>(static_cast<int>(bounded + 12582912.0f - 12582912.0f));
  }

  GPU_INLINE float largest_of(int head, int first, int last) {
    float largest = 0;
    GPU_NO_UNROLL
    for (int t = first + warp_; t < last; t += kWarps) {
      float dot = 0;
      for (int c = lane_; c < p_.width; c += 32) {
        const float x = value(head, t, c);
        largest = gpu::larger(largest, gpu::larger(x, -x));
        if (p_.dotted) dot = gpu::multiply_add(raw(head, t, c), p_.dotted[static_cast<std::int64_t>(head) * p_.width + c], dot);
      }
      if (!p_.dotted) continue;
      GPU_UNROLL
      for (int mask = 1; mask < 32; mask *= 2) dot += gpu::shuffle_xor(dot, mask);
      if (lane_ == 0) p_.bias[static_cast<std::int64_t>(head) * p_.tokens + t] = p_.bias_scale * dot;
    }
    GPU_UNROLL
    for (int mask = 1; mask < 32; mask *= 2) largest = gpu::larger(largest, gpu::shuffle_xor(largest, mask));
    gpu::sync_block();  // the last task's are read
    if (lane_ == 0) shared_[warp_] = largest;
    gpu::sync_block();
    for (int w = 0; w < kWarps; ++w) largest = gpu::larger(largest, shared_[w]);
    return largest;
  }

  const QuantiseParameters& p_;
  float* shared_;
  const int lane_, warp_;
};

}  // namespace ditscope::cuda
