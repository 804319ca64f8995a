#include "kernels/block_sparse_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cpu/tile.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using cpu::PackedShape;
using cpu::Rows;
using cpu::TileKernels;
using cpu::TileState;

constexpr float kLn2 = 0.69314718f, kLog2E = 1.44269504f;
constexpr int kMostWidth = 256;
/// Packed key and value blocks that a thread keeps for the query blocks that
/// follow, at most.
constexpr std::size_t kCacheBytes = std::size_t{16} << 20;
/// A key block visited by fewer query blocks than this is packed anew for each:
/// in memory that never leaves the nearest cache.
constexpr std::int64_t kFewVisits = 6;

/// Memory that grows, is aligned to cache lines and stays with its thread, so
/// that calls do not fault in fresh pages.
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

/// Which token stands at a place; the same number where there is no data.
using Order = HostView<const std::int32_t, 2>;

/// The tokens of a head from a place on; no data of a view without any.
template <typename Element>
Rows rows_of(const HostView<Element, 3>& view, const Order& order, std::int64_t head, std::int64_t place) {
  if (view.data == nullptr) return {};
  const std::int64_t token = order.data ? 0 : place;
  return {const_cast<std::remove_const_t<Element>*>(view.data + head * view.stride[0] + token * view.stride[1]),
          static_cast<std::ptrdiff_t>(view.stride[1]), static_cast<std::ptrdiff_t>(view.stride[2]),
          order.data ? order.data + head * order.stride[0] + place : nullptr};
}

void expect_order(const char* name, const Order& order, std::int64_t heads, std::int64_t tokens) {
  if (order.data == nullptr) return;
  expect_shape(name, order, {heads, order.shape[1]}, true);
  if (order.shape[1] > 1 && order.stride[1] != 1) {
    throw Error(ErrorKind::InvalidArgument, std::string("expected ") + name + " with places side by side, got a stride of " +
                                                std::to_string(order.stride[1]) + "; copy it");
  }
  for (std::int64_t h = 0; h < (order.stride[0] == 0 ? std::min<std::int64_t>(heads, 1) : heads); ++h) {
    const std::int32_t* places = order.data + h * order.stride[0];
    std::int32_t largest = -1;
    for (std::int64_t p = 0; p < order.shape[1]; ++p) largest = std::max(largest, places[p]);
    if (largest >= tokens || tokens == 0) {
      throw Error(ErrorKind::InvalidArgument, std::string("expected ") + name + " below " + std::to_string(tokens) + ", got " +
                                                  std::to_string(largest) + "; make the order for this sequence");
    }
  }
}

/// A key block that a query block visits, on the side of each mask: null bits
/// of a side that takes part are "every pair".
struct Item {
  std::int32_t block;
  bool takes_part[2];
  const std::uint64_t* bits[2];
};

/// One query block and what it visits.
struct Task {
  std::int64_t head = 0, first = 0;  ///< first query
  int block = 0, rows = 0;           ///< rows 0: no task
  std::vector<Item> items;
};

using Masks = const BlockMask* [2];

/// The visits of a query block under up to two masks, blocks ascending.
void list_items(const Masks& masks, std::int64_t head, int query_block, std::vector<Item>& items) {
  items.clear();
  const BlockMask::Visit *next[2] = {nullptr, nullptr}, *end[2] = {nullptr, nullptr};
  for (int s = 0; s < 2 && masks[s] != nullptr; ++s) {
    next[s] = masks[s]->visits_begin(masks[s]->list_of_head(head), query_block);
    end[s] = masks[s]->visits_end(masks[s]->list_of_head(head), query_block);
  }
  while (next[0] != end[0] || next[1] != end[1]) {
    Item item{std::numeric_limits<std::int32_t>::max(), {false, false}, {nullptr, nullptr}};
    for (int s = 0; s < 2; ++s) {
      if (next[s] != end[s]) item.block = std::min(item.block, next[s]->key_block);
    }
    for (int s = 0; s < 2; ++s) {
      if (next[s] == end[s] || next[s]->key_block != item.block) continue;
      item.takes_part[s] = true;
      if (next[s]->bits != BlockMask::kWhole) item.bits[s] = masks[s]->row_bits(next[s]->bits);
      ++next[s];
    }
    items.push_back(item);
  }
}

/// What a finished query block hands to the epilogue.
struct Finished {
  std::int64_t head, first;
  int block, rows;
  const TileState* states;         ///< one a mask
  float (*factors)[kBlockTokens];  ///< two rows to fill for the epilogue
  PackedShape shape;
  const std::vector<Item>& items;
  const float* block_sums;  ///< with masses: per item and side, 64 sums and 64 maxima
};

/// The inputs of a walk over every (head, query block).
template <typename Element>
struct Walk {
  const HostView<const Element, 3>&q, &k, &v;
  const HostView<Element, 3>& out;
  const Order &query_tokens, &key_tokens;
  float scale;
  const Masks& masks;
  bool masses;
  const TileKernels& kernels;
  PackedShape shape;
  std::int64_t cached_blocks;  ///< packed blocks that each thread keeps
};

/// One thread's share of a walk: takes query blocks from a queue and keeps what
/// it packs for those that follow.
template <typename Element>
class Worker {
 public:
  static constexpr bool kBfloat16 = std::is_same_v<Element, Bfloat16Bits>;

  explicit Worker(const Walk<Element>& walk) : walk_(walk), tags_(static_cast<std::size_t>(walk.cached_blocks), -1) {
    static thread_local Buffer buffer, packed;
    const PackedShape& shape = walk.shape;
    const std::size_t outputs = static_cast<std::size_t>(shape.width) * kBlockTokens, square = kBlockTokens * kBlockTokens;
    const std::size_t sums = walk.masses ? std::size_t{4} * kBlockTokens * walk.masks[0]->key_blocks() : 0;
    auto* next = static_cast<float*>(
        buffer.reserve(sizeof(float) * (2 * outputs + 6 * kBlockTokens + 2 * square + sums + shape.key_words())));
    const auto take = [&next](std::size_t floats) { return std::exchange(next, next + floats); };
    queries_ = reinterpret_cast<std::uint32_t*>(take(shape.key_words()));
    for (TileState& state : states_) state = {take(outputs), take(kBlockTokens), take(kBlockTokens), 0};
    factors_ = reinterpret_cast<float(*)[kBlockTokens]>(take(2 * kBlockTokens));
    logits_ = take(square);
    probabilities_ = reinterpret_cast<std::uint32_t*>(take(square));
    block_sums_ = take(sums);
    block_words_ = shape.key_words() + shape.value_words();
    packed_ = static_cast<std::uint32_t*>(packed.reserve(tags_.size() * block_words_ * sizeof(std::uint32_t)));
    keys_ready_ = ready(walk.k);
    values_ready_ = ready(walk.v) && !walk.kernels.pairs;
    for (Task* task : {&now_, &next_}) task->items.reserve(static_cast<std::size_t>(walk.masks[0]->key_blocks()));
  }

  /// @param pull    Task& -> bool: the next query block of the queue, false at
  /// its end
  /// @param finish  called with each Finished
  template <typename Pull, typename Finish>
  void run(const Pull& pull, const Finish& finish) {
    bool more = pull(now_);
    while (more) {
      more = pull(next_);
      attend(more);
      finish(Finished{now_.head, now_.first, now_.block, now_.rows, states_, factors_, walk_.shape, now_.items, block_sums_});
      std::swap(now_, next_);
    }
  }

 private:
  int keys_of(int block) const {
    return static_cast<int>(std::min<std::int64_t>(kBlockTokens, walk_.masks[0]->keys() - std::int64_t{block} * kBlockTokens));
  }
  std::int64_t tag(std::int64_t head, int block) const { return head * walk_.masks[0]->key_blocks() + block; }

  /// Whether rows lie as a visit reads them: words side by side, tokens too, so
  /// that no two of them share a place in the cache.
  bool ready(const HostView<const Element, 3>& view) const {
    constexpr int kElements = sizeof(std::uint32_t) / sizeof(Element);  // a word
    return !walk_.key_tokens.data && kBfloat16 == walk_.kernels.pairs && view.stride[2] == 1 && view.stride[1] == view.shape[2] &&
           view.stride[1] % kElements == 0 && view.stride[0] % kElements == 0 &&
           reinterpret_cast<std::uintptr_t>(view.data) % sizeof(std::uint32_t) == 0;
  }

  /// Whether a visit can read the keys (values) of a block where they lie.
  bool keys_ready(int block) const { return keys_ready_ && (!walk_.kernels.pairs || keys_of(block) % 2 == 0); }
  bool values_ready() const { return values_ready_; }
  const std::uint32_t* words(const HostView<const Element, 3>& view, std::int64_t head, std::int64_t token) const {
    return reinterpret_cast<const std::uint32_t*>(view.data + head * view.stride[0] + token * view.stride[1]);
  }

  /// Gives a visit the keys and values of a block: where they lie, or packed
  /// into the block's slot.
  void fetch(std::int64_t head, int block, cpu::TileVisit& visit) {
    const PackedShape& shape = walk_.shape;
    const std::int64_t token = std::int64_t{block} * kBlockTokens;
    const bool keys_lie_ready = keys_ready(block);
    const std::size_t slot = static_cast<std::size_t>(block % walk_.cached_blocks);
    std::uint32_t* packed = packed_ + slot * block_words_;
    const bool packs = tags_[slot] != tag(head, block);
    visit.keys = keys_lie_ready ? words(walk_.k, head, token) : packed;
    visit.values = values_ready() ? words(walk_.v, head, token) : packed + shape.key_words();
    visit.key_stride = shape.depth;
    visit.value_stride = shape.width;
    visit.key_count = keys_of(block);
    if (!packs) return;
    tags_[slot] = tag(head, block);
    if (!keys_lie_ready)
      walk_.kernels.pack_keys(shape, rows_of(walk_.k, walk_.key_tokens, head, token), kBfloat16, visit.key_count, packed);
    if (!values_ready())
      walk_.kernels.pack_values(shape, rows_of(walk_.v, walk_.key_tokens, head, token), kBfloat16, visit.key_count,
                                packed + shape.key_words());
  }

  /// Names the tokens that are needed after visit i, so that they come near
  /// while this one computes.
  void look_ahead(std::size_t i, bool more, Rows (&ahead)[cpu::TileVisit::kAhead]) const {
    const bool same = i + 1 < now_.items.size();
    const Task& task = same ? now_ : next_;
    if (!same && now_.rows == kBlockTokens) ahead[0] = rows_of(walk_.out, walk_.query_tokens, now_.head, now_.first);
    if (!same && !more) return;
    if (!same && task.rows == kBlockTokens) ahead[1] = rows_of(walk_.q, walk_.query_tokens, task.head, task.first);
    if (task.items.empty()) return;
    const int block = task.items[same ? i + 1 : 0].block;
    if (keys_of(block) < kBlockTokens) return;
    const bool packed = tags_[static_cast<std::size_t>(block % walk_.cached_blocks)] == tag(task.head, block);
    if (!packed || keys_ready(block))
      ahead[2] = rows_of(walk_.k, walk_.key_tokens, task.head, std::int64_t{block} * kBlockTokens);
    if (!packed || values_ready()) ahead[3] = rows_of(walk_.v, walk_.key_tokens, task.head, std::int64_t{block} * kBlockTokens);
  }

  void attend(bool more) {
    for (TileState& state : states_) {
      std::fill_n(state.maximum, kBlockTokens, -std::numeric_limits<float>::infinity());
      std::fill_n(state.sum, kBlockTokens, 0.0f);
      state.written = 0;
    }
    if (walk_.masses) std::fill_n(block_sums_, now_.items.size() * 4 * kBlockTokens, 0.0f);
    walk_.kernels.pack_queries(walk_.shape, rows_of(walk_.q, walk_.query_tokens, now_.head, now_.first), kBfloat16, now_.rows,
                               std::signbit(walk_.scale), queries_);
    for (std::size_t i = 0; i < now_.items.size(); ++i) {
      const Item& item = now_.items[i];
      cpu::TileVisit visit;
      visit.shape = walk_.shape;
      visit.queries = queries_;
      visit.query_count = now_.rows;
      fetch(now_.head, item.block, visit);
      visit.scale = std::fabs(walk_.scale) * kLog2E;
      visit.logits = logits_;
      visit.probabilities = probabilities_;
      int sides = 0;
      for (int s = 0; s < 2; ++s) {
        if (!item.takes_part[s]) continue;
        float* sums = walk_.masses ? block_sums_ + (2 * i + s) * 2 * kBlockTokens : nullptr;
        visit.sides[sides++] = {&states_[s], item.bits[s], sums, sums ? sums + kBlockTokens : nullptr};
      }
      look_ahead(i, more, visit.ahead);
      walk_.kernels.attend(visit);
    }
  }

  const Walk<Element>& walk_;
  std::vector<std::int64_t> tags_;  ///< which block each slot of packed_ holds
  std::size_t block_words_ = 0;
  std::uint32_t *queries_ = nullptr, *probabilities_ = nullptr, *packed_ = nullptr;
  TileState states_[2];
  float (*factors_)[kBlockTokens] = nullptr;
  float *logits_ = nullptr, *block_sums_ = nullptr;
  bool keys_ready_ = false, values_ready_ = false;
  Task now_, next_;
};

/// How many packed blocks a thread keeps: all of a head where many query blocks
/// share them, one where few do.
std::int64_t blocks_to_cache(const Masks& masks, const PackedShape& shape) {
  const std::int64_t key_blocks = std::max(masks[0]->key_blocks(), 1);
  std::int64_t visits = 0;
  for (int s = 0; s < 2 && masks[s] != nullptr; ++s) {
    visits = std::max(visits,
                      masks[s]->visits_end(masks[s]->lists() - 1, masks[s]->query_blocks() - 1) - masks[s]->visits_begin(0, 0));
  }
  if (visits < kFewVisits * key_blocks * masks[0]->lists()) return 1;
  const std::size_t bytes = (shape.key_words() + shape.value_words()) * sizeof(std::uint32_t);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(kCacheBytes / bytes), 1, key_blocks);
}

/// Walks every (head, query block), head by head and heaviest first, and hands
/// each to `finish`. Threads share one queue and nothing else; whatever they do
/// is decided by the query block alone.
template <typename Element, typename Finish>
void walk(const HostView<const Element, 3>& q, const HostView<const Element, 3>& k, const HostView<const Element, 3>& v,
          const HostView<Element, 3>& out, const Order& query_tokens, const Order& key_tokens, float scale, const Masks& masks,
          bool masses, const TileKernels& kernels, const Workers& workers, const Finish& finish) {
  const std::int64_t heads = q.shape[0], queries = masks[0]->queries();
  const int width = static_cast<int>(q.shape[2]), query_blocks = masks[0]->query_blocks();
  const PackedShape shape{width, kernels.pairs ? (width + 1) / 2 : width, kernels.pairs ? kBlockTokens / 2 : kBlockTokens};
  const Walk<Element> shared{q,     k,     v,      out,     query_tokens, key_tokens,
                             scale, masks, masses, kernels, shape,        blocks_to_cache(masks, shape)};
  const std::int64_t tasks = heads * query_blocks;
  const int threads = workers.run ? std::max(workers.count, 1) : 1;
  // Neighbours see the same keys: a thread takes some at once, where there are
  // enough for all.
  const std::int64_t share = std::clamp<std::int64_t>(tasks / (std::int64_t{threads} * 32), 1, 4);
  std::atomic<std::int64_t> queue{0};
  const auto work = [&] {
    Worker<Element> worker(shared);
    std::int64_t next = 0, end = 0;
    const auto pull = [&](Task& task) {
      if (next == end) {
        next = queue.fetch_add(share, std::memory_order_relaxed);
        end = std::min(next + share, tasks);
        if (next >= tasks) {
          next = end = tasks;
          return false;
        }
      }
      task.head = next / query_blocks;
      task.block = masks[0]->heaviest_first(masks[0]->list_of_head(task.head))[next % query_blocks];
      task.first = std::int64_t{task.block} * kBlockTokens;
      task.rows = static_cast<int>(std::min<std::int64_t>(kBlockTokens, queries - task.first));
      list_items(masks, task.head, task.block, task.items);
      ++next;
      return true;
    };
    worker.run(pull, finish);
  };
  if (threads > 1)
    workers.run(work);
  else
    work();
}

/// A row of keys whose sum is 0 saw nothing.
float log_sum_exp_of(float maximum, float sum) {
  return sum == 0 ? -std::numeric_limits<float>::infinity() : (maximum + std::log2(sum)) * kLn2;
}

void write(const HostView<float, 2>& view, std::int64_t head, std::int64_t token, float value) {
  if (view.data) view.data[head * view.stride[0] + token * view.stride[1]] = value;
}

/// The row of the mass map that belongs to a query block.
void write_masses(const HostView<float, 3>& map, const Finished& done, const float* total, const TileKernels& kernels) {
  float* row = map.data + done.head * map.stride[0] + done.block * map.stride[1];
  for (std::int64_t n = 0; n < map.shape[2]; ++n) row[n * map.stride[2]] = 0;
  for (std::size_t i = 0; i < done.items.size(); ++i) {
    float mass = 0;
    for (int s = 0; s < 2; ++s) {
      const float* sums = done.block_sums + (2 * i + s) * 2 * kBlockTokens;
      if (done.items[i].takes_part[s]) mass += kernels.mass(sums, sums + kBlockTokens, total, done.rows);
    }
    row[done.items[i].block * map.stride[2]] = mass / static_cast<float>(done.rows);
  }
}

float read(const HostView<const float, 2>& view, std::int64_t head, std::int64_t index) {
  return view.data ? view.data[head * view.stride[0] + index * view.stride[1]] : 1.0f;
}

}  // namespace

template <typename Element>
void block_sparse_attention(const AttentionArguments<Element>& a, const Workers& workers) {
  constexpr bool kBfloat16 = std::is_same_v<Element, Bfloat16Bits>;
  expect_inputs(a);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  const std::int64_t query_places = a.query_tokens.data ? a.query_tokens.shape[1] : queries;
  const std::int64_t key_places = a.key_tokens.data ? a.key_tokens.shape[1] : keys;
  const std::int64_t blocks = (query_places + kBlockTokens - 1) / kBlockTokens;
  expect_order("query_tokens", a.query_tokens, heads, queries);
  expect_order("key_tokens", a.key_tokens, heads, keys);
  expect_shape("row_scale", a.row_scale, {heads, queries}, false);
  expect_shape("block_scale", a.block_scale, {heads, blocks}, false);
  expect_shape("block_vector", a.block_vector, {heads, blocks, width}, false);
  expect_shape("residual", a.residual, {heads, queries, width}, false);
  expect_mask("a mask", a.mask, heads, query_places, key_places);
  if (heads == 0 || query_places == 0) return;

  const TileKernels& kernels = cpu::choose_kernels(kBfloat16);
  const BlockMask every = a.mask ? BlockMask() : BlockMask::dense(query_places, key_places);
  const auto finish = [&](const Finished& done) {
    const TileState& state = done.states[0];
    const float block_scale = read(a.block_scale, done.head, done.block);
    const Rows target = rows_of(a.out, a.query_tokens, done.head, done.first);
    for (int r = 0; r < done.rows; ++r) {
      const float sum = state.sum[r];
      const std::int64_t token = target.tokens ? target.token(r) : done.first + r;
      // a NaN sum stays visible
      done.factors[0][r] = sum == 0 ? 0.0f : read(a.row_scale, done.head, token) * block_scale / sum;
      if (target.written(r)) write(a.log_sum_exp, done.head, token, log_sum_exp_of(state.maximum[r], sum));
    }
    float vector[kMostWidth];
    if (a.block_vector.data) {
      const float* from = a.block_vector.data + done.head * a.block_vector.stride[0] + done.block * a.block_vector.stride[1];
      for (std::int64_t c = 0; c < width; ++c) vector[c] = from[c * a.block_vector.stride[2]];
    }
    kernels.finish({done.shape,
                    done.rows,
                    {&state, nullptr},
                    {done.factors[0], nullptr},
                    a.block_vector.data ? vector : nullptr,
                    rows_of(a.residual, a.query_tokens, done.head, done.first),
                    target,
                    kBfloat16});
  };
  walk<Element>(a.q, a.k, a.v, a.out, a.query_tokens, a.key_tokens, a.scale, {a.mask ? a.mask : &every, nullptr}, false, kernels,
                workers, finish);
}

template <typename Element>
void split_attention(const SplitArguments<Element>& a, const Workers& workers) {
  constexpr bool kBfloat16 = std::is_same_v<Element, Bfloat16Bits>;
  expect_inputs(a);
  const std::int64_t heads = a.q.shape[0], queries = a.q.shape[1], keys = a.k.shape[1], width = a.q.shape[2];
  const auto blocks = [](std::int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; };
  expect_shape("log_sum_exp_kept", a.log_sum_exp_kept, {heads, queries}, false);
  expect_shape("residual", a.residual, {heads, queries, width}, false);
  expect_shape("block_mass", a.block_mass, {heads, blocks(queries), blocks(keys)}, false);
  if (a.kept == nullptr || a.skipped == nullptr) {
    throw Error(ErrorKind::InvalidArgument, "expected the mask and its complement, got none; pass both");
  }
  expect_mask("a mask", a.kept, heads, queries, keys);
  expect_mask("a complement", a.skipped, heads, queries, keys);
  if (heads == 0 || queries == 0) return;

  const TileKernels& kernels = cpu::choose_kernels(kBfloat16);
  const auto finish = [&](const Finished& done) {
    const TileState &kept = done.states[0], &skipped = done.states[1];
    float from_kept[kBlockTokens], total[kBlockTokens];
    for (int r = 0; r < done.rows; ++r) {
      const float kept_sum = kept.sum[r], skipped_sum = skipped.sum[r];
      const float maximum = std::max(kept.maximum[r], skipped.maximum[r]);
      // Both sums on one scale; a side without keys weighs nothing.
      const float kept_weight = kept_sum == 0 ? 0.0f : std::exp2(kept.maximum[r] - maximum);
      const float skipped_weight = skipped_sum == 0 ? 0.0f : std::exp2(skipped.maximum[r] - maximum);
      const float sum = kept_sum * kept_weight + skipped_sum * skipped_weight;
      done.factors[0][r] = sum == 0 ? 0.0f : kept_weight / sum;
      done.factors[1][r] = sum == 0 ? 0.0f : skipped_weight / sum;
      from_kept[r] = a.unit_rho && kept_sum != 0 ? done.factors[0][r] - 1 / kept_sum : 0.0f;
      total[r] = sum == 0 ? 0.0f : maximum + std::log2(sum);
      write(a.log_sum_exp, done.head, done.first + r, log_sum_exp_of(maximum, sum));
      write(a.log_sum_exp_kept, done.head, done.first + r, log_sum_exp_of(kept.maximum[r], kept_sum));
    }
    TileKernels::Finish target{done.shape,
                               done.rows,
                               {&kept, &skipped},
                               {done.factors[0], done.factors[1]},
                               nullptr,
                               {},
                               rows_of(a.out, {}, done.head, done.first),
                               kBfloat16};
    kernels.finish(target);
    if (a.residual.data) {
      target.factors[0] = from_kept;
      target.target = rows_of(a.residual, {}, done.head, done.first);
      kernels.finish(target);
    }
    if (a.block_mass.data) write_masses(a.block_mass, done, total, kernels);
  };
  walk<Element>(a.q, a.k, a.v, a.out, {}, {}, a.scale, {a.kept, a.skipped}, a.block_mass.data != nullptr, kernels, workers,
                finish);
}

template void block_sparse_attention(const AttentionArguments<float>&, const Workers&);
template void block_sparse_attention(const AttentionArguments<Bfloat16Bits>&, const Workers&);
template void split_attention(const SplitArguments<float>&, const Workers&);
template void split_attention(const SplitArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
