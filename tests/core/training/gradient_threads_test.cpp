#include "core/training/gradient_threads.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace ditscope {
namespace {

struct Replicas {
  TrainableWeights original{1, at::kCPU};
  std::vector<std::vector<at::Tensor>> leaves;

  explicit Replicas(int count) {
    original.take("a.weight", {4, 3});
    original.take("b.weight", {2, 4});
    leaves.push_back(original.tensors());
    while (static_cast<int>(leaves.size()) < count) {
      TrainableWeights replica = original.replica();
      replica.take("a.weight", {4, 3});
      replica.take("b.weight", {2, 4});
      leaves.push_back(replica.tensors());
    }
  }
};

/// Loss of piece i: the sum of a small network on inputs that only i decides.
at::Tensor loss_of(const std::vector<at::Tensor>& leaves, int piece) {
  const auto input = at::arange(6, at::kFloat).reshape({2, 3}) * 0.1 + piece;
  return at::linear(at::linear(input, leaves[0]).tanh(), leaves[1]).square().mean();
}

TEST(GradientThreads, GiveTheMeanGradientOfAllPiecesForAnyNumberOfThreads) {
  constexpr int kPieces = 5;
  Replicas reference(1);
  at::Tensor total;
  for (int i = 0; i < kPieces; ++i) total = total.defined() ? total + loss_of(reference.leaves[0], i) : loss_of(reference.leaves[0], i);
  (total / kPieces).backward();
  for (const int count : {1, 2, 3, 8}) {
    Replicas replicas(count);
    GradientThreads threads(replicas.leaves);
    for (int repeat = 0; repeat < 2; ++repeat) {  // nothing is left over from one step to the next
      const double loss = threads.run(kPieces, [&](int replica, int piece) {
        const auto part = loss_of(replicas.leaves[static_cast<std::size_t>(replica)], piece);
        part.backward();
        return part.item<double>();
      });
      EXPECT_NEAR(loss, total.item<double>() / kPieces, 1e-6);
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_TRUE(at::allclose(replicas.leaves[0][i].grad(), reference.leaves[0][i].grad(), 1e-4, 1e-6)) << count << " threads";
        replicas.leaves[0][i].mutable_grad().reset();
      }
    }
  }
}

TEST(GradientThreads, ReplicasSeeAChangeOfTheWeights) {
  Replicas replicas(2);
  c10::NoGradGuard no_grad;
  replicas.leaves[0][0].fill_(7);
  EXPECT_EQ(replicas.leaves[1][0].sum().item<double>(), 7 * 12);
}

TEST(GradientThreads, PassOnWhatAPieceThrows) {
  Replicas replicas(2);
  GradientThreads threads(replicas.leaves);
  EXPECT_THROW(threads.run(4, [](int, int piece) -> double { return piece == 2 ? throw std::runtime_error("out of memory") : 0.0; }),
               std::runtime_error);
}

}  // namespace
}  // namespace ditscope
