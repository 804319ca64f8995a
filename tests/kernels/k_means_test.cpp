#include "kernels/k_means.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/error.h"
#include "kernels/reference/k_means.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

/// Tokens around `clusters` far centres, and room for the results.
template <typename Element>
struct Case {
  int heads, tokens, clusters, width;
  test::Array<Element> x;
  std::vector<float> centroids;
  std::vector<std::int32_t> labels, counts, order;

  Case(int h, int t, int k, int d, std::uint32_t seed, float spread, bool token_major = false)
      : heads(h),
        tokens(t),
        clusters(k),
        width(d),
        x(h, t, d, token_major, token_major ? 2 : 1),
        centroids(static_cast<std::size_t>(h * k * d), 777.0f),
        labels(static_cast<std::size_t>(h * t), -7),
        counts(static_cast<std::size_t>(h * k), -7),
        order(static_cast<std::size_t>(h * t), -7) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> centres(static_cast<std::size_t>(h * k * d));
    for (float& value : centres) value = normal(random) * spread;
    for (int head = 0; head < h; ++head)
      for (int token = 0; token < t; ++token)
        for (int c = 0; c < d; ++c)
          x.at(head, token, c) =
              test::from_float<Element>(normal(random) + centres[static_cast<std::size_t>((head * k + token % k) * d + c)]);
  }
  KMeansArguments<Element> arguments() {
    KMeansArguments<Element> a;
    a.x = x.const_view();
    a.centroids = {centroids.data(), {heads, clusters, width}, {clusters * width, width, 1}};
    a.labels = {labels.data(), {heads, tokens}, {tokens, 1}};
    a.counts = {counts.data(), {heads, clusters}, {clusters, 1}};
    a.order = {order.data(), {heads, tokens}, {tokens, 1}};
    return a;
  }
  std::vector<double> tokens_of(int head) {
    const std::vector<double> all = x.doubles();
    return {all.begin() + head * tokens * width, all.begin() + (head + 1) * tokens * width};
  }
  std::vector<double> centroids_of(int head) const {
    return {centroids.begin() + head * clusters * width, centroids.begin() + (head + 1) * clusters * width};
  }
};

class KMeans : public ::testing::TestWithParam<std::string> {
 protected:
  test::ScopedVariable choice_{"DITSCOPE_ISA", GetParam()};

  /// From centroids near the true ones every assignment is clear, so float and float64 agree on all labels.
  template <typename Element>
  void check_against_oracle(int heads, int tokens, int clusters, int width, std::uint32_t seed) {
    Case<Element> c(heads, tokens, clusters, width, seed, 30, seed % 2 == 1);
    for (int h = 0; h < heads; ++h)
      for (int k = 0; k < clusters; ++k)
        for (int d = 0; d < width; ++d)
          c.centroids[static_cast<std::size_t>((h * clusters + k) * width + d)] = test::to_float(c.x.at(h, k, d));
    std::vector<std::vector<double>> expected;
    for (int h = 0; h < heads; ++h) expected.push_back(c.centroids_of(h));
    KMeansArguments<Element> a = c.arguments();
    a.warm_start = true;
    a.most_iterations = 2;
    a.tolerance = 0;
    EXPECT_EQ(k_means(a), std::vector<int>(static_cast<std::size_t>(heads), 2));
    for (int h = 0; h < heads; ++h) {
      const std::vector<std::int32_t> labels =
          reference::k_means(c.tokens_of(h), expected[static_cast<std::size_t>(h)], width, 2);
      int differ = 0;
      for (int t = 0; t < tokens; ++t)
        differ += labels[static_cast<std::size_t>(t)] != c.labels[static_cast<std::size_t>(h * tokens + t)];
      ASSERT_EQ(differ, 0) << clusters << " clusters of width " << width;
      const std::vector<double> got = c.centroids_of(h);
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[static_cast<std::size_t>(h)][i], 2e-4);
    }
  }
};

TEST_P(KMeans, AgreesWithTheOracleFromGivenCentroids) {
  check_against_oracle<float>(2, 150, 5, 8, 1);
  check_against_oracle<float>(1, 1, 1, 64, 2);
  check_against_oracle<float>(3, 333, 65, 72, 3);
  check_against_oracle<float>(1, 200, 130, 88, 4);
  check_against_oracle<float>(2, 90, 7, 256, 5);
  check_against_oracle<Bfloat16Bits>(2, 150, 5, 32, 6);
  check_against_oracle<Bfloat16Bits>(1, 129, 70, 128, 7);
}

TEST_P(KMeans, AssignsEveryTokenToANearestCentroidAndAveragesThem) {
  Case<float> c(2, 500, 40, 24, 9, 0);  // one cloud: no clear clusters
  KMeansArguments<float> a = c.arguments();
  a.most_iterations = 3;
  k_means(a);
  const std::vector<float> before = c.centroids;
  a.warm_start = true;
  a.most_iterations = 1;
  k_means(a);
  for (int h = 0; h < 2; ++h) {
    const std::vector<double> tokens = c.tokens_of(h);
    std::vector<double> sums(40 * 24, 0.0);
    std::vector<int> counts(40, 0);
    for (int t = 0; t < 500; ++t) {
      const auto distance = [&](int k) {
        double sum = 0;
        for (int d = 0; d < 24; ++d) {
          const double difference =
              tokens[static_cast<std::size_t>(t * 24 + d)] - before[static_cast<std::size_t>((h * 40 + k) * 24 + d)];
          sum += difference * difference;
        }
        return sum;
      };
      const int label = c.labels[static_cast<std::size_t>(h * 500 + t)];
      double nearest = distance(0);
      for (int k = 1; k < 40; ++k) nearest = std::min(nearest, distance(k));
      ASSERT_LE(distance(label), nearest + 1e-4);
      ++counts[static_cast<std::size_t>(label)];
      for (int d = 0; d < 24; ++d) sums[static_cast<std::size_t>(label * 24 + d)] += tokens[static_cast<std::size_t>(t * 24 + d)];
    }
    for (int k = 0; k < 40; ++k) {
      ASSERT_EQ(c.counts[static_cast<std::size_t>(h * 40 + k)], counts[static_cast<std::size_t>(k)]);
      for (int d = 0; d < 24; ++d) {
        const std::size_t at = static_cast<std::size_t>((h * 40 + k) * 24 + d);
        const double mean = counts[static_cast<std::size_t>(k)]
                                ? sums[static_cast<std::size_t>(k * 24 + d)] / counts[static_cast<std::size_t>(k)]
                                : double{before[at]};
        ASSERT_NEAR(c.centroids[at], mean, 1e-5);
      }
    }
    for (int p = 1; p < 500; ++p) {
      const int token = c.order[static_cast<std::size_t>(h * 500 + p)], last = c.order[static_cast<std::size_t>(h * 500 + p - 1)];
      const int label = c.labels[static_cast<std::size_t>(h * 500 + token)],
                label_before = c.labels[static_cast<std::size_t>(h * 500 + last)];
      ASSERT_TRUE(label_before < label || (label_before == label && last < token)) << "order is by label, then by token";
    }
  }
}

TEST_P(KMeans, CostFallsWithEveryIterationAndStopsWhenNothingMoves) {
  Case<float> c(1, 400, 12, 16, 3, 2);
  KMeansArguments<float> a = c.arguments();
  a.seed = 5;
  a.most_iterations = 1;
  double before = INFINITY;
  for (int i = 0; i < 6; ++i) {
    k_means(a);
    const double cost = reference::k_means_cost(c.tokens_of(0), c.centroids_of(0), 16);
    EXPECT_LE(cost, before * (1 + 1e-6));
    before = cost;
    a.warm_start = true;
  }
  a.most_iterations = 1000;
  const int more = k_means(a)[0];
  EXPECT_LT(more, 1000);
  EXPECT_EQ(k_means(a)[0], 1) << "a second run finds nothing to move";
}

TEST_P(KMeans, GivesTheSameBitsForEveryNumberOfThreads) {
  Case<float> one(3, 300, 20, 72, 8, 1), four = one;
  k_means(one.arguments());
  k_means(four.arguments(), test::threads(4));
  EXPECT_EQ(one.centroids, four.centroids);
  EXPECT_EQ(one.labels, four.labels);
  EXPECT_EQ(one.order, four.order);
}

INSTANTIATE_TEST_SUITE_P(Machine, KMeans, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

TEST(KMeans, RandomStartsAreDifferentTokensThatDependOnTheSeed) {
  Case<float> a(2, 30, 30, 4, 1, 1), b = a, c = a;
  for (auto* one : {&a, &b, &c}) {
    KMeansArguments<float> arguments = one->arguments();
    arguments.seed = one == &c ? 6 : 5;
    arguments.most_iterations = 1;
    k_means(arguments);
  }
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_NE(a.labels, c.labels);
  for (int h = 0; h < 2; ++h)  // as many clusters as tokens: each token is its own, so no token was drawn twice
    EXPECT_EQ(std::set<int>(a.labels.begin() + h * 30, a.labels.begin() + (h + 1) * 30).size(), 30u);
}

TEST(KMeans, AnEmptyClusterKeepsItsCentroid) {
  Case<float> c(1, 20, 3, 4, 1, 1);
  std::fill(c.centroids.begin(), c.centroids.end(), 0.0f);
  std::fill(c.centroids.begin() + 4, c.centroids.begin() + 8, 1e6f);
  KMeansArguments<float> a = c.arguments();
  a.warm_start = true;
  a.most_iterations = 1;
  k_means(a);
  EXPECT_EQ(c.counts[1], 0);
  EXPECT_EQ(c.centroids[4], 1e6f);
  EXPECT_EQ(c.counts[2], 0) << "of two equal centroids the first is nearest";
  EXPECT_EQ(c.counts[0], 20);
}

TEST(KMeans, RefusesMoreClustersThanTokens) {
  Case<float> c(1, 20, 21, 4, 1, 1);
  try {
    k_means(c.arguments());
    FAIL() << "expected a refusal";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("expected 1 to 20 clusters, got 21"), std::string::npos);
  }
}

}  // namespace
}  // namespace ditscope
