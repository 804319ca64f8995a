#include "kernels/block_sparse_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <type_traits>

#include "kernels/cpu/tile.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using cpu::PackedShape;
using cpu::Rows;
using cpu::TileState;

constexpr float kLn2 = 0.69314718f, kLog2E = 1.44269504f;
constexpr int kSumLanes = 16;
constexpr int kMostWidth = 256;
/// Heads whose packed keys and values are held at once: one is attended to while the next is packed, in memory that stays warm.
constexpr int kPackedHeads = 2;

/// Memory that grows, is aligned to cache lines and stays with its thread, so that calls do not fault in fresh pages.
class Buffer {
 public:
  void* reserve(std::size_t bytes) {
    if (bytes > bytes_) {
      data_.reset();
      bytes_ = 0;
      data_.reset(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
      if (!data_) throw std::bad_alloc();
      bytes_ = bytes;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> data_;
  std::size_t bytes_ = 0;
};

/// What one thread needs for a query block: packed queries, two running states, rows for the epilogue.
struct Scratch {
  std::uint32_t* queries;
  TileState states[2];
  float* row;  // (256)

  explicit Scratch(const PackedShape& shape) {
    static thread_local Buffer buffer;
    const std::size_t queries_words = static_cast<std::size_t>(kBlockTokens) * shape.depth;
    const std::size_t output_floats = static_cast<std::size_t>(kBlockTokens) * shape.padded_width;
    const std::size_t state_floats = output_floats + kBlockTokens + kBlockTokens * kSumLanes;
    auto* next = static_cast<float*>(buffer.reserve(sizeof(float) * (queries_words + 2 * state_floats + kMostWidth)));
    for (TileState& state : states) {
      state.output = next;
      state.partial_sum = next + output_floats;
      state.maximum = state.partial_sum + kBlockTokens * kSumLanes;
      next += state_floats;
    }
    row = next;
    queries = reinterpret_cast<std::uint32_t*>(next + kMostWidth);
  }
};

float sum_of(const TileState& state, int row) {
  const float* lanes = state.partial_sum + row * kSumLanes;
  return std::accumulate(lanes, lanes + kSumLanes, 0.0f);
}

/// Counts finished pieces of work; a thread can wait for the last one.
class Countdown {
 public:
  void done(std::int64_t target) {
    if (count_.fetch_add(1, std::memory_order_acq_rel) + 1 == target) count_.notify_all();
  }
  void wait(std::int64_t target) const {
    for (std::int64_t now = count_.load(std::memory_order_acquire); now < target; now = count_.load(std::memory_order_acquire)) {
      count_.wait(now, std::memory_order_acquire);
    }
  }

 private:
  std::atomic<std::int64_t> count_{0};
};

std::string shape_text(const std::int64_t* shape, int rank) {
  std::string text = "(";
  for (int i = 0; i < rank; ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + ")";
}

template <typename T, int kRank>
void expect_shape(const char* name, const HostView<T, kRank>& view, const std::array<std::int64_t, kRank>& shape, bool required) {
  if (view.data == nullptr) {
    if (!required || std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
    throw Error(ErrorKind::InvalidArgument,
                std::string("expected ") + name + " of " + shape_text(shape.data(), kRank) + ", got no data; give it memory");
  }
  if (view.shape != shape) {
    throw Error(ErrorKind::InvalidArgument, std::string("expected ") + name + " of " + shape_text(shape.data(), kRank) +
                                                ", got " + shape_text(view.shape.data(), kRank) + "; make them agree");
  }
}

void expect_mask(const char* name, const BlockMask* mask, std::int64_t heads, std::int64_t queries, std::int64_t keys) {
  if (mask == nullptr || (mask->queries() == queries && mask->keys() == keys && (mask->heads() == 0 || mask->heads() == heads)))
    return;
  throw Error(ErrorKind::InvalidArgument, std::string("expected ") + name + " of " + std::to_string(queries) + " x " +
                                              std::to_string(keys) + " tokens for " + std::to_string(heads) + " heads, got " +
                                              std::to_string(mask->queries()) + " x " + std::to_string(mask->keys()) + " for " +
                                              (mask->heads() == 0 ? "any" : std::to_string(mask->heads())) +
                                              "; make the mask for this call");
}

template <typename Arguments>
void expect_inputs(const Arguments& a) {
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  if (width < 1 || width > kMostWidth) {
    throw Error(ErrorKind::InvalidArgument,
                "expected a head width of 1 to 256, got " + std::to_string(width) + "; split the heads");
  }
  if (!std::isfinite(a.scale)) throw Error(ErrorKind::InvalidArgument, "expected a finite scale, got another; check the caller");
  expect_shape<const std::remove_pointer_t<decltype(a.out.data)>, 3>("q", a.q, {heads, queries, width}, true);
  expect_shape<const std::remove_pointer_t<decltype(a.out.data)>, 3>("k", a.k, {heads, keys, width}, true);
  expect_shape<const std::remove_pointer_t<decltype(a.out.data)>, 3>("v", a.v, {heads, keys, width}, true);
  expect_shape("out", a.out, {heads, queries, width}, true);
  expect_shape("log_sum_exp", a.log_sum_exp, {heads, queries}, false);
}

template <typename Element>
Rows rows_of(const HostView<const Element, 3>& view, std::int64_t head, std::int64_t token) {
  return {view.data + head * view.stride[0] + token * view.stride[1], static_cast<std::ptrdiff_t>(view.stride[1]),
          static_cast<std::ptrdiff_t>(view.stride[2])};
}

template <typename Element>
Element* row_of(const HostView<Element, 3>& view, std::int64_t head, std::int64_t token) {
  return view.data + head * view.stride[0] + token * view.stride[1];
}

/// Query blocks of a head in the order of their cost, heaviest first, so that no thread ends long after the others.
std::vector<int> heaviest_first(const BlockMask* const (&masks)[2], std::int64_t head) {
  const int query_blocks = masks[0]->query_blocks();
  std::vector<std::int64_t> visits(static_cast<std::size_t>(query_blocks), 0);
  for (const BlockMask* mask : masks) {
    if (mask == nullptr) continue;
    const int list = mask->list_of_head(head);
    for (int block = 0; block < query_blocks; ++block)
      visits[block] += mask->visits_end(list, block) - mask->visits_begin(list, block);
  }
  std::vector<int> order(static_cast<std::size_t>(query_blocks));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return visits[a] > visits[b]; });
  return order;
}

/// Walks every (head, query block) and hands its running states to `finish(head, first query, rows, shape, scratch)`.
///
/// One queue of tasks serves all threads without a barrier: for each head first its blocks to pack, then its query blocks. A task
/// waits only for tasks before it in the queue, which other threads have already begun, so the queue always moves on.
template <typename Element, typename Finish>
void walk(const HostView<const Element, 3>& q, const HostView<const Element, 3>& k, const HostView<const Element, 3>& v,
          float scale, const BlockMask* const (&masks)[2], const cpu::TileKernels& kernels, const Workers& workers,
          const Finish& finish) {
  constexpr bool kBfloat16 = std::is_same_v<Element, Bfloat16Bits>;
  const std::int64_t heads = q.shape[0], queries = q.shape[1], keys = k.shape[1];
  const int width = static_cast<int>(q.shape[2]), query_blocks = masks[0]->query_blocks(), key_blocks = masks[0]->key_blocks();
  const PackedShape shape{width, kernels.pairs ? (width + 1) / 2 : width, (width + 15) / 16 * 16,
                          kernels.pairs ? kBlockTokens / 2 : kBlockTokens};
  const std::size_t key_words = shape.key_words() * key_blocks, head_words = key_words + shape.value_words() * key_blocks;
  static thread_local Buffer packed_buffer;
  auto* packed = static_cast<std::uint32_t*>(packed_buffer.reserve(head_words * kPackedHeads * sizeof(std::uint32_t) + 64));

  const bool same_for_all = masks[0]->heads() == 0 && (masks[1] == nullptr || masks[1]->heads() == 0);
  std::vector<std::vector<int>> orders;
  for (std::int64_t head = 0; head < (same_for_all ? 1 : heads); ++head) orders.push_back(heaviest_first(masks, head));
  std::vector<Countdown> blocks_packed(static_cast<std::size_t>(heads)), blocks_attended(static_cast<std::size_t>(heads));

  const auto pack = [&](std::int64_t head, int block) {
    if (head >= kPackedHeads) blocks_attended[head - kPackedHeads].wait(query_blocks);  // whose memory this head takes over
    const std::int64_t token = std::int64_t{block} * kBlockTokens;
    const int tokens = static_cast<int>(std::min<std::int64_t>(kBlockTokens, keys - token));
    std::uint32_t* words = packed + head % kPackedHeads * head_words;
    kernels.pack_keys(shape, rows_of(k, head, token), kBfloat16, tokens, words + block * shape.key_words());
    kernels.pack_values(shape, rows_of(v, head, token), kBfloat16, tokens, words + key_words + block * shape.value_words());
    blocks_packed[head].done(key_blocks);
  };
  const auto attend = [&](std::int64_t head, int block, const Scratch& scratch) {
    const std::int64_t first = std::int64_t{block} * kBlockTokens;
    const int rows = static_cast<int>(std::min<std::int64_t>(kBlockTokens, queries - first));
    kernels.pack_queries(shape, rows_of(q, head, first), kBfloat16, rows, std::signbit(scale), scratch.queries);
    blocks_packed[head].wait(key_blocks);
    const std::uint32_t* words = packed + head % kPackedHeads * head_words;
    for (int which = 0; which < 2; ++which) {
      const BlockMask* mask = masks[which];
      if (mask == nullptr) continue;
      const int list = mask->list_of_head(head);
      kernels.attend({shape, scratch.queries, words, words + key_words, rows, std::fabs(scale) * kLog2E, mask,
                      mask->visits_begin(list, block), mask->visits_end(list, block), scratch.states[which]});
    }
    finish(head, first, rows, shape, scratch);
    blocks_attended[head].done(query_blocks);
  };

  const std::int64_t tasks_of_head = std::int64_t{key_blocks} + query_blocks, tasks = heads * tasks_of_head;
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    const Scratch scratch(shape);  // the one thing that can fail, before any task is taken
    for (std::int64_t task = next++; task < tasks; task = next++) {
      const std::int64_t head = task / tasks_of_head, i = task % tasks_of_head;
      if (i < key_blocks)
        pack(head, static_cast<int>(i));
      else
        attend(head, orders[same_for_all ? 0 : head][i - key_blocks], scratch);
    }
  };
  if (workers.run && workers.count > 1)
    workers.run(work);
  else
    work();
}

template <typename Element>
void read_row(const HostView<const Element, 3>& view, std::int64_t head, std::int64_t token, float* row) {
  const Element* from = row_of(view, head, token);
  for (std::int64_t c = 0; c < view.shape[2]; ++c) {
    if constexpr (std::is_same_v<Element, float>) {
      row[c] = from[c * view.stride[2]];
    } else {
      const std::uint32_t bits = std::uint32_t{from[c * view.stride[2]]} << 16;
      std::memcpy(row + c, &bits, sizeof bits);
    }
  }
}

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// The reference maximum and the sum of one row as a natural logarithm.
float log_sum_exp_of(float maximum, float sum) {
  return sum > 0 ? (maximum + std::log2(sum)) * kLn2 : kMinusInfinity;
}

}  // namespace

template <typename Element>
void block_sparse_attention(const AttentionArguments<Element>& a, const Workers& workers) {
  constexpr bool kBfloat16 = std::is_same_v<Element, Bfloat16Bits>;
  expect_inputs(a);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  expect_shape("row_scale", a.row_scale, {heads, queries}, false);
  expect_shape("residual", a.residual, {heads, queries, width}, false);
  expect_mask("a mask", a.mask, heads, queries, keys);
  if (heads == 0 || queries == 0) return;

  const BlockMask every = a.mask ? BlockMask() : BlockMask::dense(queries, keys);
  const cpu::TileKernels& kernels = cpu::choose_kernels(kBfloat16);
  const auto finish = [&](std::int64_t head, std::int64_t first, int rows, const PackedShape& shape, const Scratch& scratch) {
    const TileState& state = scratch.states[0];
    for (int r = 0; r < rows; ++r) {
      const float sum = sum_of(state, r);
      const float row_scale =
          a.row_scale.data ? a.row_scale.data[head * a.row_scale.stride[0] + (first + r) * a.row_scale.stride[1]] : 1.0f;
      if (a.residual.data) read_row(a.residual, head, first + r, scratch.row);
      const float factor = sum == 0 ? 0.0f : row_scale / sum;  // a NaN sum stays visible
      kernels.combine(shape.width, factor, state.output + r * shape.padded_width, 1.0f, a.residual.data ? scratch.row : nullptr,
                      kBfloat16, row_of(a.out, head, first + r), a.out.stride[2]);
      if (a.log_sum_exp.data) {
        a.log_sum_exp.data[head * a.log_sum_exp.stride[0] + (first + r) * a.log_sum_exp.stride[1]] =
            log_sum_exp_of(state.maximum[r], sum);
      }
    }
  };
  walk<Element>(a.q, a.k, a.v, a.scale, {a.mask ? a.mask : &every, nullptr}, kernels, workers, finish);
}

template <typename Element>
void split_attention(const SplitArguments<Element>& a, const Workers& workers) {
  constexpr bool kBfloat16 = std::is_same_v<Element, Bfloat16Bits>;
  expect_inputs(a);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  expect_shape("log_sum_exp_kept", a.log_sum_exp_kept, {heads, queries}, false);
  expect_shape("residual", a.residual, {heads, queries, width}, false);
  if (a.kept == nullptr || a.skipped == nullptr) {
    throw Error(ErrorKind::InvalidArgument, "expected the mask and its complement, got none; pass both");
  }
  expect_mask("a mask", a.kept, heads, queries, keys);
  expect_mask("a complement", a.skipped, heads, queries, keys);
  if (heads == 0 || queries == 0) return;

  const cpu::TileKernels& kernels = cpu::choose_kernels(kBfloat16);
  const auto finish = [&](std::int64_t head, std::int64_t first, int rows, const PackedShape& shape, const Scratch& scratch) {
    const TileState &kept = scratch.states[0], &skipped = scratch.states[1];
    for (int r = 0; r < rows; ++r) {
      const float kept_sum = sum_of(kept, r), skipped_sum = sum_of(skipped, r);
      const float maximum = std::max(kept.maximum[r], skipped.maximum[r]);
      // Both sums on one scale; a side without keys weighs nothing.
      const float kept_weight = kept_sum == 0 ? 0.0f : std::exp2(kept.maximum[r] - maximum);
      const float skipped_weight = skipped_sum == 0 ? 0.0f : std::exp2(skipped.maximum[r] - maximum);
      const float sum = kept_sum * kept_weight + skipped_sum * skipped_weight;
      const float a_kept = sum == 0 ? 0.0f : kept_weight / sum, a_skipped = sum == 0 ? 0.0f : skipped_weight / sum;
      const float *kept_row = kept.output + r * shape.padded_width, *skipped_row = skipped.output + r * shape.padded_width;
      kernels.combine(shape.width, a_kept, kept_row, a_skipped, skipped_row, kBfloat16, row_of(a.out, head, first + r),
                      a.out.stride[2]);
      if (a.residual.data) {
        const float from_kept = a.unit_rho && kept_sum != 0 ? a_kept - 1 / kept_sum : 0.0f;
        kernels.combine(shape.width, a_skipped, skipped_row, from_kept, kept_row, kBfloat16, row_of(a.residual, head, first + r),
                        a.residual.stride[2]);
      }
      if (a.log_sum_exp.data) {
        a.log_sum_exp.data[head * a.log_sum_exp.stride[0] + (first + r) * a.log_sum_exp.stride[1]] = log_sum_exp_of(maximum, sum);
      }
      if (a.log_sum_exp_kept.data) {
        a.log_sum_exp_kept.data[head * a.log_sum_exp_kept.stride[0] + (first + r) * a.log_sum_exp_kept.stride[1]] =
            log_sum_exp_of(kept.maximum[r], kept_sum);
      }
    }
  };
  walk<Element>(a.q, a.k, a.v, a.scale, {a.kept, a.skipped}, kernels, workers, finish);
}

template void block_sparse_attention(const AttentionArguments<float>&, const Workers&);
template void block_sparse_attention(const AttentionArguments<Bfloat16Bits>&, const Workers&);
template void split_attention(const SplitArguments<float>&, const Workers&);
template void split_attention(const SplitArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
