#include "kernels/k_means.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/clones.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

using cpu::blocks_of;
using cpu::tokens_in;

constexpr int kLanes = 16;
constexpr int kMostWidth = 256;

/// The best score of each of 64 tokens so far, in lanes of every 16th cluster.
struct Best {
  float score[kBlockTokens][kLanes];
  std::int32_t cluster[kBlockTokens][kLanes];
};

/// products (64 tokens, 64 clusters) -> the clusters with the largest x.c - |c|^2 / 2, which are the nearest.
DITSCOPE_VECTOR_CLONES void keep_best(const float* products, const float* half_squares, int rows, std::int32_t first,
                                      Best& best) {
  for (int r = 0; r < rows; ++r) {
    float* score = best.score[r];
    std::int32_t* cluster = best.cluster[r];
    for (int j = 0; j < kBlockTokens; j += kLanes)
      for (int i = 0; i < kLanes; ++i) {
        const float candidate = products[r * kBlockTokens + j + i] - half_squares[j + i];
        cluster[i] = candidate > score[i] ? first + j + i : cluster[i];
        score[i] = candidate > score[i] ? candidate : score[i];
      }
  }
}

std::int32_t best_cluster(const Best& best, int row) {
  int lane = 0;
  for (int i = 1; i < kLanes; ++i) {
    const float a = best.score[row][i], b = best.score[row][lane];
    if (a > b || (a == b && best.cluster[row][i] < best.cluster[row][lane])) lane = i;
  }
  return best.cluster[row][lane];
}

DITSCOPE_VECTOR_CLONES void add_row(float* sum, const float* row, int width) {
  for (int c = 0; c < width; ++c) sum[c] += row[c];
}

template <typename Element>
const float* float_row(const HostView<const Element, 3>& x, std::int64_t head, std::int64_t token, float* buffer) {
  const Element* from = x.data + head * x.stride[0] + token * x.stride[1];
  if constexpr (std::is_same_v<Element, float>) {
    if (x.stride[2] == 1) return from;
  }
  cpu::read_row(from, static_cast<std::ptrdiff_t>(x.stride[2]), static_cast<int>(x.shape[2]), buffer);
  return buffer;
}

/// splitmix64: a stream of its own for each head.
class Random {
 public:
  Random(std::uint64_t seed, std::int64_t head) : state_(seed + 0x9e3779b97f4a7c15u * static_cast<std::uint64_t>(head + 1)) {}
  std::int64_t below(std::int64_t bound) {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::int64_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(bound));
  }

 private:
  std::uint64_t state_;
};

/// What the iterations of all heads share.
template <typename Element>
class Clustering {
 public:
  Clustering(const KMeansArguments<Element>& a, const Workers& workers)
      : a_(a),
        workers_(workers),
        kernels_(cpu::choose_vectors(false)),
        heads_(a.x.shape[0]),
        tokens_(a.x.shape[1]),
        clusters_(a.centroids.shape[1]),
        tiles_(blocks_of(clusters_)),
        width_(static_cast<int>(a.x.shape[2])),
        packed_(static_cast<std::size_t>(heads_ * tiles_ * width_ * kBlockTokens)),
        half_squares_(static_cast<std::size_t>(heads_ * tiles_ * kBlockTokens)),
        order_(static_cast<std::size_t>(heads_ * tokens_)),
        begins_(static_cast<std::size_t>(heads_ * (clusters_ + 1))),
        moved_(static_cast<std::size_t>(heads_ * clusters_)) {}

  std::vector<int> run() {
    std::vector<int> iterations(static_cast<std::size_t>(heads_), 0);
    if (!a_.warm_start) draw_centroids();
    std::vector<std::int64_t> active(static_cast<std::size_t>(heads_));
    std::iota(active.begin(), active.end(), 0);
    for (int i = 0; i < a_.most_iterations && !active.empty(); ++i) {
      const auto count = static_cast<std::int64_t>(active.size()), token_tiles = blocks_of(tokens_);
      cpu::parallel_for(workers_, count * tiles_, [&](std::int64_t n) { pack(active[n / tiles_], n % tiles_); });
      cpu::parallel_for(workers_, count * token_tiles, [&](std::int64_t n) { assign(active[n / token_tiles], n % token_tiles); });
      cpu::parallel_for(workers_, count, [&](std::int64_t n) { sort(active[n]); });
      cpu::parallel_for(workers_, count * clusters_, [&](std::int64_t n) { update(active[n / clusters_], n % clusters_); });
      for (const std::int64_t head : active) ++iterations[static_cast<std::size_t>(head)];
      std::erase_if(active, [&](std::int64_t head) {
        const float* moved = moved_.data() + head * clusters_;
        return std::sqrt(*std::max_element(moved, moved + clusters_)) < a_.tolerance;
      });
    }
    for (std::int64_t head = 0; head < heads_; ++head) write(head);
    return iterations;
  }

 private:
  float* centroid(std::int64_t head, std::int64_t cluster) const {
    return a_.centroids.data + head * a_.centroids.stride[0] + cluster * a_.centroids.stride[1];
  }
  std::int32_t& label(std::int64_t head, std::int64_t token) const {
    return a_.labels.data[head * a_.labels.stride[0] + token * a_.labels.stride[1]];
  }

  void draw_centroids() {
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(tokens_));
    float buffer[kMostWidth];
    for (std::int64_t head = 0; head < heads_; ++head) {
      std::iota(numbers.begin(), numbers.end(), 0);
      Random random(a_.seed, head);
      for (std::int64_t k = 0; k < clusters_; ++k) {
        std::swap(numbers[static_cast<std::size_t>(k)], numbers[static_cast<std::size_t>(k + random.below(tokens_ - k))]);
        const float* row = float_row(a_.x, head, numbers[static_cast<std::size_t>(k)], buffer);
        for (int c = 0; c < width_; ++c) centroid(head, k)[c * a_.centroids.stride[2]] = row[c];
      }
    }
  }

  void pack(std::int64_t head, std::int64_t tile) {
    const int count = tokens_in(tile, clusters_);
    const HostView<const float, 3> view{a_.centroids.data, a_.centroids.shape, a_.centroids.stride};
    kernels_.pack_columns(cpu::rows_of(view, head, tile * kBlockTokens), width_, count,
                          packed_.data() + (head * tiles_ + tile) * width_ * kBlockTokens);
    float* half_squares = half_squares_.data() + (head * tiles_ + tile) * kBlockTokens;
    std::fill_n(half_squares, kBlockTokens, std::numeric_limits<float>::infinity());
    for (int j = 0; j < count; ++j) {
      const float* from = centroid(head, tile * kBlockTokens + j);
      float sum = 0;
      for (int c = 0; c < width_; ++c) sum += from[c * a_.centroids.stride[2]] * from[c * a_.centroids.stride[2]];
      half_squares[j] = sum / 2;
    }
  }

  void assign(std::int64_t head, std::int64_t token_tile) {
    static thread_local Best best;
    for (auto& row : best.score) std::fill_n(row, kLanes, -std::numeric_limits<float>::infinity());
    for (auto& row : best.cluster) std::fill_n(row, kLanes, 0);
    const int rows = tokens_in(token_tile, tokens_);
    cpu::AttentionTile tile(kernels_, width_);
    tile.load_queries(cpu::rows_of(a_.x, head, token_tile * kBlockTokens), rows, 1);
    for (std::int64_t n = 0; n < tiles_; ++n) {
      tile.multiply(packed_.data() + (head * tiles_ + n) * width_ * kBlockTokens);
      keep_best(tile.logits, half_squares_.data() + (head * tiles_ + n) * kBlockTokens, rows,
                static_cast<std::int32_t>(n * kBlockTokens), best);
    }
    for (int r = 0; r < rows; ++r) label(head, token_tile * kBlockTokens + r) = best_cluster(best, r);
  }

  /// Counting sort of a head's tokens by label: order_ and where each cluster begins in it.
  void sort(std::int64_t head) {
    std::int64_t* begins = begins_.data() + head * (clusters_ + 1);
    std::fill_n(begins, clusters_ + 1, std::int64_t{0});
    for (std::int64_t t = 0; t < tokens_; ++t) ++begins[label(head, t) + 1];
    std::partial_sum(begins, begins + clusters_ + 1, begins);
    std::vector<std::int64_t> next(begins, begins + clusters_);
    for (std::int64_t t = 0; t < tokens_; ++t)
      order_[static_cast<std::size_t>(head * tokens_ + next[label(head, t)]++)] = static_cast<std::int32_t>(t);
  }

  /// Sums in the order of the tokens, whoever does it.
  void update(std::int64_t head, std::int64_t cluster) {
    const std::int64_t* begins = begins_.data() + head * (clusters_ + 1) + cluster;
    float& moved = moved_[static_cast<std::size_t>(head * clusters_ + cluster)];
    moved = 0;
    if (begins[0] == begins[1]) return;
    float sum[kMostWidth] = {}, buffer[kMostWidth];
    for (std::int64_t i = begins[0]; i < begins[1]; ++i)
      add_row(sum, float_row(a_.x, head, order_[static_cast<std::size_t>(head * tokens_ + i)], buffer), width_);
    const float share = 1 / static_cast<float>(begins[1] - begins[0]);
    for (int c = 0; c < width_; ++c) {
      float& to = centroid(head, cluster)[c * a_.centroids.stride[2]];
      const float value = sum[c] * share;
      moved += (value - to) * (value - to);
      to = value;
    }
  }

  void write(std::int64_t head) const {
    for (std::int64_t k = 0; k < clusters_ && a_.counts.data; ++k) {
      const std::int64_t* begins = begins_.data() + head * (clusters_ + 1) + k;
      a_.counts.data[head * a_.counts.stride[0] + k * a_.counts.stride[1]] = static_cast<std::int32_t>(begins[1] - begins[0]);
    }
    for (std::int64_t t = 0; t < tokens_ && a_.order.data; ++t)
      a_.order.data[head * a_.order.stride[0] + t * a_.order.stride[1]] = order_[static_cast<std::size_t>(head * tokens_ + t)];
  }

  const KMeansArguments<Element>& a_;
  const Workers& workers_;
  const cpu::VectorKernels& kernels_;
  std::int64_t heads_, tokens_, clusters_, tiles_;
  int width_;
  std::vector<std::uint32_t> packed_;  // (H, tiles, D, 64)
  std::vector<float> half_squares_;    // (H, tiles, 64), +inf beyond the last cluster
  std::vector<std::int32_t> order_;    // (H,T)
  std::vector<std::int64_t> begins_;   // (H, K+1)
  std::vector<float> moved_;           // (H,K) squared
};

}  // namespace

template <typename Element>
std::vector<int> k_means(const KMeansArguments<Element>& a, const Workers& workers) {
  const std::int64_t heads = a.x.shape[0], tokens = a.x.shape[1], width = a.x.shape[2], clusters = a.centroids.shape[1];
  expect_head_width(width);
  expect_view("x", a.x, {heads, tokens, width}, true);
  expect(clusters >= 1 && clusters <= tokens, "expected 1 to " + std::to_string(tokens) + " clusters, got " +
                                                  std::to_string(clusters) + "; ask for no more clusters than tokens");
  expect_view("centroids", a.centroids, {heads, clusters, width}, true);
  expect_view("labels", a.labels, {heads, tokens}, true);
  expect_view("counts", a.counts, {heads, clusters}, false);
  expect_view("order", a.order, {heads, tokens}, false);
  expect(a.most_iterations >= 1 && a.tolerance >= 0, "expected 1 or more iterations and a tolerance of 0 or more, got " +
                                                         std::to_string(a.most_iterations) + " and " +
                                                         std::to_string(a.tolerance) + "; check the parameters");
  return Clustering<Element>(a, workers).run();
}

template std::vector<int> k_means(const KMeansArguments<float>&, const Workers&);
template std::vector<int> k_means(const KMeansArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
