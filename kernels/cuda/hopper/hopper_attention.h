#pragma once
// Block-sparse attention for compute capability 9.0: the tiles, plans and results of tile_attention.h with wgmma and the copy
// engine.
//
// One warp loads: it walks the union of what the two query blocks of a tile visit, a ring of stages ahead of the others. Two
// warpgroups multiply, one query block each; on an entry that its block skips a warpgroup only gives the stage back. Queries and
// probabilities are operands in registers, keys and values in shared memory. The product of probabilities and values of one key
// block runs while the exponentials of the next are computed.
#include <cstdint>

#include "kernels/cuda/hopper/gpu_hopper.h"
#include "kernels/cuda/tile_state.h"
#include "kernels/cuda/work_queue.h"

namespace ditscope::cuda {

/// Two query blocks, 64 queries a warpgroup.
template <int kWidth_>
struct HopperShape {
  static constexpr int kWidth = kWidth_;
  static constexpr int kTileBlocks = 2;
  static constexpr int kRows = kBlockTokens * kTileBlocks;
  static constexpr int kRowTiles = 1;
  static constexpr int kKeyParts = 1;
  static constexpr int kWorkers = 256;
  static constexpr int kThreads = kWorkers + 128;  ///< one warp loads; registers are handed out by warpgroups
  static constexpr int kStages = 4;
  static constexpr int kBoxes = (kWidth + 63) / 64;  ///< a key block is so many boxes of 64 channels
  static constexpr int kBoxBytes = 8192;
  static constexpr int kBlockBytes = kBoxes * kBoxBytes;
  static constexpr int kChunks = kWidth / 8;
  static constexpr bool kExchanged = kChunks % 8 == 0;
  static constexpr int kRowChunks = kExchanged ? kChunks : kChunks | 1;
  // Shared memory: stages of keys and values, results on their way out, a float a query, two items, barriers.
  static constexpr std::size_t kResultsAt = std::size_t{2} * kStages * kBlockBytes;
  static constexpr std::size_t kRowsAt = kResultsAt + std::size_t{16} * kRows * kRowChunks;
  static constexpr std::size_t kItemsAt = kRowsAt + 4 * kRows;
  static constexpr std::size_t kBarriersAt = kItemsAt + 16;
  static constexpr std::size_t kSharedBytes = kBarriersAt + 8 * (2 * kStages + 4);
  static_assert(kWidth % 16 == 0 && kWidth <= 128 && kBarriersAt % 8 == 0);
};

struct HopperParameters {
  Parameters common;
  gpu::TensorMap keys, values;
};

template <typename Element, class Shape, bool kSplit>
class HopperAttention : TileState<Element, Shape, kSplit> {
  using State = TileState<Element, Shape, kSplit>;
  using State::apply_mask, State::exponentials, State::find_tops, State::finish, State::finish_masses, State::finish_split,
      State::follow_tops, State::keep_block_sums, State::keep_skipped, State::read_step, State::restart, State::row_of;
  using State::first_row_, State::head_, State::lane_, State::next_, State::out_, State::p_;
  using typename State::Logits;
  using typename State::Probabilities;
  using typename State::Step;

 public:
  GPU_INLINE HopperAttention(const HopperParameters& parameters, unsigned char* shared)
      : State(parameters.common, shared + Shape::kResultsAt, reinterpret_cast<float*>(shared + Shape::kRowsAt),
              reinterpret_cast<int*>(shared + Shape::kItemsAt)),
        parameters_(parameters),
        shared_(gpu::shared_address(shared)) {}

  GPU_INLINE void run() {
    if (gpu::thread() == 0) {
      for (int s = 0; s < Shape::kStages; ++s) {
        gpu::start_barrier(full(s), 1);
        gpu::start_barrier(empty(s), Shape::kWorkers / 32);
      }
      for (int s = 0; s < 2; ++s) {
        gpu::start_barrier(ready(s), 1);
        gpu::start_barrier(taken(s), Shape::kWorkers / 32);
      }
      gpu::publish_barriers();
    }
    gpu::sync_block();
    if (gpu::thread() >= Shape::kWorkers) {
      gpu::give_registers<24>();
      if (gpu::thread() < Shape::kWorkers + 32) load();
    } else {
      gpu::take_registers<240>();
      multiply();
    }
  }

 private:
  static constexpr int kSteps = Shape::kWidth / 16;

  GPU_INLINE std::uint32_t barrier(int n) const {
    return shared_ + static_cast<std::uint32_t>(Shape::kBarriersAt) + 8u * static_cast<std::uint32_t>(n);
  }
  GPU_INLINE std::uint32_t full(int stage) const { return barrier(stage); }
  GPU_INLINE std::uint32_t empty(int stage) const { return barrier(Shape::kStages + stage); }
  GPU_INLINE std::uint32_t ready(int slot) const { return barrier(2 * Shape::kStages + slot); }
  GPU_INLINE std::uint32_t taken(int slot) const { return barrier(2 * Shape::kStages + 2 + slot); }
  GPU_INLINE std::uint32_t keys_at(int stage) const {
    return shared_ + static_cast<std::uint32_t>(2 * stage * Shape::kBlockBytes);
  }
  GPU_INLINE std::uint32_t values_at(int stage) const { return keys_at(stage) + Shape::kBlockBytes; }

  /// A place in the ring of stages, and how often it came round.
  struct Place {
    int stage = 0, parity = 0;
    GPU_INLINE void advance() {
      if (++stage == Shape::kStages) {
        stage = 0;
        parity ^= 1;
      }
    }
  };

  // ---- the warp that loads ----

  GPU_INLINE void load() {
    Place place;
    int item = gpu::block();
    for (int n = 0;; ++n) {
      const int slot = n % 2;
      if (lane_ == 0) {
        gpu::wait_barrier(taken(slot), n / 2 % 2 ^ 1);
        next_[slot] = item;
        gpu::arrive(ready(slot));
      }
      gpu::sync_warp();
      if (item >= p_.item_count) break;
      const PlanItem work = p_.items[item];
      GPU_NO_UNROLL
      for (int from = work.begin; from < work.end; from += 32) {
        const int count = work.end - from < 32 ? work.end - from : 32;
        const int mine = lane_ < count ? p_.entries[from + lane_].key_block : 0;
        GPU_NO_UNROLL
        for (int i = 0; i < count; ++i) {
          const int key_block = gpu::shuffle(mine, i);
          if (lane_ == 0) load_block(place, key_block, work.head);
          gpu::sync_warp();
          place.advance();
        }
      }
      int next = 0;
      if (lane_ == 0) next = take_item(p_);
      item = gpu::shuffle(next, 0);
    }
    if (lane_ == 0) leave_queue(p_);
  }

  GPU_INLINE void load_block(const Place& place, int key_block, int head) {
    gpu::wait_barrier(empty(place.stage), place.parity ^ 1);
    const std::uint32_t here = full(place.stage);
    gpu::arrive_expecting(here, 2 * Shape::kBlockBytes);
    for (int box = 0; box < Shape::kBoxes; ++box) {
      gpu::copy_box(keys_at(place.stage) + static_cast<std::uint32_t>(box * Shape::kBoxBytes), parameters_.keys, 64 * box,
                    key_block * kBlockTokens, head, here);
    }
    for (int box = 0; box < Shape::kBoxes; ++box) {
      gpu::copy_box(values_at(place.stage) + static_cast<std::uint32_t>(box * Shape::kBoxBytes), parameters_.values, 64 * box,
                    key_block * kBlockTokens, head, here);
    }
  }

  // ---- the warpgroups that multiply ----

  GPU_INLINE void multiply() {
    GPU_NO_UNROLL
    for (int n = 0;; ++n) {
      const int slot = n % 2;
      gpu::wait_barrier(ready(slot), n / 2 % 2);
      const int item = next_[slot];
      gpu::sync_warp();
      if (lane_ == 0) gpu::arrive(taken(slot));
      if (item >= p_.item_count) break;
      attend(item);
    }
  }

  GPU_INLINE void attend(int number) {
    const PlanItem item = p_.items[number];
    first_row_ = item.tile * Shape::kRows;
    head_ = item.head;
    restart();
    if (item.begin < item.end) load_queries();
    GPU_NO_UNROLL
    for (int half = kSplit ? 0 : 1; half < 2; ++half) {
      walk(half == 0 ? item.begin : item.split, half == 0 ? item.split : item.end);
      if (half == 0) keep_skipped();
    }
    if constexpr (kSplit) {
      finish_split();
      finish_masses(p_.items[gpu::opaque(number)]);
    } else {
      finish(p_.items[gpu::opaque(number)]);
    }
  }

  /// The operand of the first product: rows lane/4 and lane/4 + 8 of the warp, straight from global memory.
  GPU_INLINE void load_queries() {
    const std::uint16_t* head = static_cast<const std::uint16_t*>(p_.q) + head_ * p_.q_strides.head;
    const std::uint32_t flip = p_.negative ? 0x80008000u : 0;
    GPU_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int token = first_row_ + row_of(i);
      const std::uint16_t* row = head + token * p_.q_strides.token + lane_ % 4 * 2;
      GPU_UNROLL
      for (int c = 0; c < 2 * kSteps; ++c) {
        const bool there = token < p_.queries && 8 * c < p_.width;
        queries_of_[c / 2][c % 2 * 2 + i] = (there ? *reinterpret_cast<const std::uint32_t*>(row + 8 * c) : 0) ^ flip;
      }
    }
  }

  /// The warp no longer reads a stage.
  GPU_INLINE void give_back(int stage) {
    gpu::sync_warp();
    if (lane_ == 0) gpu::arrive(empty(stage));
  }

  /// Steps over entries that this query block skips, to the first that it keeps. @return false at the end
  GPU_INLINE bool find_present(int& at, int end, Step& step) {
    for (; at < end; ++at, place_.advance()) {
      step = upcoming_;
      if (at + 1 < end) upcoming_ = read_step(at + 1);
      if (step.rows != PlanEntry::kAbsent) {
        gpu::wait_barrier(full(place_.stage), place_.parity);
        return true;
      }
      // A warp that ran ahead could give the same stage back twice: it waits until the stage was filled.
      gpu::wait_barrier(full(place_.stage), place_.parity);
      give_back(place_.stage);
    }
    return false;
  }

  GPU_INLINE void multiply_keys(int stage, Logits& logits) {
    GPU_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      const std::uint32_t at = keys_at(stage) + static_cast<std::uint32_t>(step / 4 * Shape::kBoxBytes + step % 4 * 32);
      gpu::multiply_group<Element, 64, false>(logits[0], queries_of_[step], gpu::matrix_descriptor(at), step > 0);
    }
  }
  GPU_INLINE void multiply_values(int stage, const Probabilities& probabilities) {
    GPU_UNROLL
    for (int step = 0; step < 4; ++step) {  // 16 keys
      GPU_UNROLL
      for (int box = 0; box < Shape::kBoxes; ++box) {
        constexpr int kLast = Shape::kWidth - 64 * (Shape::kBoxes - 1);
        const std::uint64_t b =
            gpu::matrix_descriptor(values_at(stage) + static_cast<std::uint32_t>(box * Shape::kBoxBytes + step * 2048));
        if (box + 1 < Shape::kBoxes)
          gpu::multiply_group<Element, 64, true>(out_[0] + 8 * box, probabilities[0][step], b, 1);
        else
          gpu::multiply_group<Element, kLast, true>(out_[0] + 8 * box, probabilities[0][step], b, 1);
      }
    }
  }
  GPU_INLINE void settle_out() { gpu::settle<Shape::kWidth / 8>(out_[0]); }

  /// Visits entries at .. end-1. The last product of a run of kept entries ends before others are skipped: the stage that it
  /// reads is given back then, which the warp that loads may be waiting for.
  GPU_INLINE void walk(int at, int end) {
    Step step{};
    if (at < end) upcoming_ = read_step(at);
    GPU_NO_UNROLL
    while (find_present(at, end, step)) {
      Logits logits;
      Probabilities probabilities;
      float top[State::kRowsOfThread];
      gpu::begin_products();
      multiply_keys(place_.stage, logits);
      gpu::end_products();
      gpu::wait_products<0>();
      gpu::settle<8>(logits[0]);
      if (step.rows >= 0) apply_mask(step.rows, 0, logits);
      if (find_tops(logits, top)) follow_tops(top);
      exponentials(logits, probabilities);
      keep_block_sums(at);
      int before = place_.stage;
      ++at;
      place_.advance();
      GPU_NO_UNROLL
      for (; at < end && upcoming_.rows != PlanEntry::kAbsent; ++at, place_.advance()) {
        find_present(at, end, step);
        settle_out();
        gpu::begin_products();
        multiply_keys(place_.stage, logits);
        gpu::end_products();
        multiply_values(before, probabilities);
        gpu::end_products();
        gpu::wait_products<1>();  // the logits are here
        gpu::settle<8>(logits[0]);
        if (step.rows >= 0) apply_mask(step.rows, 0, logits);
        const bool grows = find_tops(logits, top);
        gpu::wait_products<0>();
        settle_out();
        give_back(before);
        if (grows) follow_tops(top);
        exponentials(logits, probabilities);
        keep_block_sums(at);
        before = place_.stage;
      }
      settle_out();
      gpu::begin_products();
      multiply_values(before, probabilities);
      gpu::end_products();
      gpu::wait_products<0>();
      settle_out();
      give_back(before);
    }
  }

  const HopperParameters& parameters_;
  const std::uint32_t shared_;
  Place place_;
  Step upcoming_{};  ///< read one entry ahead
  std::uint32_t queries_of_[kSteps][4];
};

}  // namespace ditscope::cuda
