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

#include "kernels/cuda/tile_state.h"
#include "kernels/cuda/work_queue.h"

namespace ditscope::cuda {

template <typename Element, class Shape, bool kSplit>
class TileAttention : protected TileState<Element, Shape, kSplit> {
  using State = TileState<Element, Shape, kSplit>;

 protected:
  using State::apply_mask, State::exponentials, State::find_tops, State::finish, State::finish_masses, State::finish_split,
      State::follow_tops, State::further, State::keep_block_sums, State::keep_skipped, State::place, State::read_step,
      State::restart;
  using State::first_row_, State::head_, State::lane_, State::next_, State::out_, State::p_, State::queries_, State::warp_row_;
  using State::kKeyParts, State::kKeyTiles, State::kOutTiles, State::kRowBytes, State::kRowTiles;
  using typename State::Logits;
  using typename State::Math;
  using typename State::Probabilities;
  using typename State::Step;

 public:
  GPU_INLINE TileAttention(const Parameters& parameters, unsigned char* shared)
      : State(parameters, shared, reinterpret_cast<float*>(shared + kRowsAt),
              reinterpret_cast<int*>(shared + kRowsAt + Shape::kRowFloatBytes)),
        queries_at_(gpu::shared_address(shared)) {}

  GPU_INLINE void run() {
    work_off_queue(p_, next_, [&](int item) { attend(item); });
  }

 protected:
  static constexpr std::size_t kRowsAt = Shape::kQueryBytes + 2 * Shape::kStages * Shape::kBlockBytes;
  /// Then operands are not loaded far ahead of their products, and addresses are computed anew.
  static constexpr bool kShortOfRegisters = Shape::kWidth > 128;
  /// Groups of copies that were begun after those of the values, when these are waited for.
  static constexpr int kCopiesAfterValues = Shape::kStages == 2 ? 2 : kKeyParts == 1 ? 1 : 0;

  GPU_INLINE void attend(int number) {
    const PlanItem item = p_.items[number];
    first_row_ = item.tile * Shape::kRows;
    head_ = item.head;
    restart();
    if (item.begin < item.end) {
      load_queries();
      if constexpr (Shape::kInt8) read_query_scales();
    }
    Step step{}, following{};
    if (item.begin < item.end) {
      step = read_step(item.begin);
      load_keys(step, 0);
    }
    if (Shape::kStages == 2 && item.begin + 1 < item.end) following = read_step(item.begin + 1);
    gpu::commit_copies();
    if constexpr (Shape::kStages == 2) {
      if (item.begin < item.end) load_values(step, 0);
      gpu::commit_copies();
    }
    // What comes next is asked for while the first loads are under way.
    ask_next(p_, next_);
    if (!Shape::kInt8 && p_.negative && item.begin < item.end) negate_queries();
    int stage = 0;
    GPU_NO_UNROLL
    for (int at = item.begin;; ++at) {
      if (kSplit && at == item.split) keep_skipped();
      if (at == item.end) break;
      const bool more = at + 1 < item.end;
      Step later{};  // steps are read well before the loads that need them
      if constexpr (Shape::kStages == 2) {
        if (at + 2 < item.end) later = read_step(at + 2);
      } else {
        if (more) following = read_step(at + 1);
      }
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
        if (present) multiply_keys(step.key_block, stage, part, logits);
        if (Shape::kStages == 1 && part == kKeyParts - 1) {
          gpu::sync_block();  // the keys are no longer needed
          if (more) load_keys(following, 0);
          gpu::commit_copies();
        }
        if (present) {
          if (step.rows >= 0) apply_mask(step.rows, part, logits);
          float top[State::kRowsOfThread];
          if (find_tops(logits, top)) follow_tops(top);
          exponentials(logits, probabilities);
        }
        if (part == 0) {
          gpu::wait_copies<kCopiesAfterValues>();  // the values are here
          gpu::sync_block();
        }
        if (present) multiply_values(stage, part, probabilities);
      }
      if (present) keep_block_sums(at);
      step = following;
      if constexpr (Shape::kStages == 2) {
        following = later;
        stage ^= 1;
      }
    }
    gpu::wait_copies<0>();
    if constexpr (kSplit) {
      finish_split();
      finish_masses(p_.items[gpu::opaque(number)]);
    } else {
      finish(p_.items[gpu::opaque(number)]);
    }
  }

  // ---- shared memory ----

  /// Copies kCount rows, from token `first` of the head on, zeros beyond `limit` and beyond the width. Rows of bytes are filled
  /// up with zeros to a multiple of 32 where they lie.
  template <int kCount, bool kBytes>
  GPU_INLINE void load_rows(std::uint32_t to, const void* base, const Strides3& strides, int first, int limit) const {
    const int thread = kShortOfRegisters ? gpu::opaque(gpu::thread()) : gpu::thread();
    const int row = thread / Shape::kLoadLanes, chunk = thread % Shape::kLoadLanes;
    constexpr int kChunks = kBytes ? Shape::kKeyChunks : Shape::kChunks, kElementBytes = kBytes ? 1 : 2;
    if (Shape::kLoadLanes != kChunks && chunk >= kChunks) return;
    const unsigned char* source = static_cast<const unsigned char*>(base) +
                                  kElementBytes * (head_ * strides.head + (first + row) * strides.token) + chunk * 16;
    const int left = chunk * (16 / kElementBytes) < p_.width ? limit - first - row : 0;
    to += place(row, chunk);
    GPU_UNROLL_BY(4)
    for (int n = 0; n < kCount / Shape::kLoadRows; ++n) {
      // Four rows at a time change the bit by which chunks are exchanged.
      const std::uint32_t flip = Shape::kExchanged && Shape::kLoadRows % 8 != 0 && n % 2 == 1 ? 64 : 0;
      const bool there = n * Shape::kLoadRows < left;
      gpu::copy_async((to ^ flip) + static_cast<std::uint32_t>(n * Shape::kLoadRows * kRowBytes), source, there ? 16 : 0);
      source += kElementBytes * Shape::kLoadRows * strides.token;
    }
  }
  GPU_INLINE void load_queries() {
    load_rows<Shape::kRows, Shape::kInt8>(queries_at_, p_.q, p_.q_strides, first_row_, p_.queries);
  }
  GPU_INLINE void load_keys(const Step& step, int stage) {
    load_rows<kBlockTokens, Shape::kInt8>(keys_at(stage), p_.k, p_.k_strides, step.key_block * kBlockTokens, p_.keys);
  }
  GPU_INLINE void load_values(const Step& step, int stage) {
    load_rows<kBlockTokens, false>(values_at(stage), p_.v, p_.v_strides, step.key_block * kBlockTokens, p_.keys);
  }
  GPU_INLINE std::uint32_t keys_at(int stage) const {
    return queries_at_ + static_cast<std::uint32_t>(Shape::kQueryBytes + stage * Shape::kBlockBytes);
  }
  GPU_INLINE std::uint32_t values_at(int stage) const {
    return keys_at(stage) + static_cast<std::uint32_t>(Shape::kStages * Shape::kBlockBytes);
  }

  // ---- products ----

  // The addresses of a lane differ by exchanged bits: the first is kept, the others are computed where they are used.
  GPU_INLINE int own_lane() const { return kShortOfRegisters ? gpu::opaque(lane_) : lane_; }
  GPU_INLINE std::uint32_t query_lane() const {
    const int lane = own_lane();
    return gpu::opaque(queries_at_ + place(warp_row_ + lane % 16, lane / 16));
  }
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
      for (int step = 0; step < Shape::kKeySteps; ++step) query_fragment(queries, r, step, kept_queries_[r][step]);
    }
  }

  /// Products q.k. Those of bytes are exact; the scales of their groups make them what the bytes stand for.
  GPU_INLINE void multiply_keys(int key_block, int stage, int part, Logits& logits) {
    if constexpr (Shape::kInt8) {
      int sums[kRowTiles][kKeyTiles][4];
      add_products(stage, part, sums);
      scale_products(key_block, part, sums, logits);
    } else {
      (void)key_block;
      add_products(stage, part, logits);
    }
  }

  static GPU_INLINE void multiply_step(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    Math::multiply(c, a, b0, b1);
  }
  static GPU_INLINE void multiply_step(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    gpu::multiply_bytes(c, a, b0, b1);
  }

  /// The scales of the thread's rows; a negative scale of the logits is theirs.
  GPU_INLINE void read_query_scales() {
    const std::int64_t groups = ((p_.queries - 1) >> p_.query_group_shift) + 1;
    GPU_UNROLL
    for (int i = 0; i < State::kRowsOfThread; ++i) {
      const int token = first_row_ + State::row_of(i);
      const float scale = token < p_.queries ? p_.query_scales[head_ * groups + (token >> p_.query_group_shift)] : 0.0f;
      query_scales_[i] = p_.negative ? -scale : scale;
    }
  }

  GPU_INLINE void scale_products(int key_block, int part, const int (&sums)[kRowTiles][kKeyTiles][4], Logits& logits) const {
    const float* scales = p_.key_scales + head_ * (((static_cast<std::int64_t>(p_.keys) - 1) >> p_.key_group_shift) + 1);
    const int first = key_block * kBlockTokens;
    const bool one = p_.key_group_shift >= 6;  // for all 64 keys
    const float shared = one ? scales[first >> p_.key_group_shift] : 0.0f;
    GPU_UNROLL
    for (int n = 0; n < kKeyTiles; ++n) {
      GPU_UNROLL
      for (int e = 0; e < 2; ++e) {
        const int key = first + (part * kKeyTiles + n) * 8 + lane_ % 4 * 2 + e;
        const float scale = one ? shared : key < p_.keys ? scales[key >> p_.key_group_shift] : 0.0f;
        GPU_UNROLL
        for (int i = 0; i < State::kRowsOfThread; ++i) {
          const int at = i % 2 * 2 + e;
          logits[i / 2][n][at] = static_cast<float>(sums[i / 2][n][at]) * (query_scales_[i] * scale);
        }
      }
    }
  }

  template <class Sums>
  GPU_INLINE void add_products(int stage, int part, Sums& sums) {
    GPU_UNROLL
    for (int r = 0; r < kRowTiles; ++r) {
      GPU_UNROLL
      for (int n = 0; n < kKeyTiles; ++n) {
        GPU_UNROLL
        for (int e = 0; e < 4; ++e) sums[r][n][e] = 0;
      }
    }
    const std::uint32_t queries = query_lane();
    const int lane = own_lane();
    const std::uint32_t keys = gpu::opaque(keys_at(stage) + place(part * 8 * kKeyTiles + lane / 16 * 8 + lane % 8, lane / 8 % 2));
    GPU_UNROLL
    for (int step = 0; step < Shape::kKeySteps; ++step) {
      if (kShortOfRegisters && step % 2 == 0) gpu::keep_order();
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
          multiply_step(sums[r][2 * pair], a[r], b[0], b[1]);
          multiply_step(sums[r][2 * pair + 1], a[r], b[2], b[3]);
        }
      }
    }
  }

  GPU_INLINE void multiply_values(int stage, int part, const Probabilities& probabilities) {
    const int lane = own_lane();
    const std::uint32_t values = gpu::opaque(values_at(stage) + place(part * 8 * kKeyTiles + lane % 16, lane / 16));
    GPU_UNROLL
    for (int step = 0; step < kKeyTiles / 2; ++step) {  // 16 keys
      GPU_UNROLL
      for (int pair = 0; pair < kOutTiles / 2; ++pair) {  // 16 channels
        if (kShortOfRegisters && pair % 4 == 0) gpu::keep_order();
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

  const std::uint32_t queries_at_;
  std::uint32_t kept_queries_[kRowTiles][Shape::kKeepQueries ? Shape::kKeySteps : 1][4];
  float query_scales_[Shape::kInt8 ? State::kRowsOfThread : 1];
};

}  // namespace ditscope::cuda
