#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/training/trainable_weights.h"

namespace ditscope {

/// Runs the pieces of a batch side by side, each forwards and backwards on one thread. On a CPU this beats threads inside every
/// operation: small tensors leave those waiting for each other, here they meet once a step.
///
/// A piece is taken by whichever thread is free, so a thread on a busy core does fewer.
class GradientThreads {
 public:
  /// Computes the loss of piece `piece` with replica `replica` of the model, calls backward(), returns the loss.
  using Piece = std::function<double(int replica, int piece)>;

  /// @param replicas  for each thread the leaves that its replica of the model works on: the first are the weights themselves,
  ///                  the others share their storage and have gradients of their own
  explicit GradientThreads(std::vector<std::vector<at::Tensor>> replicas);

  /// @return mean loss. Afterwards the gradients of the first replica are the means over all pieces.
  /// @throws what a piece threw, after all threads have ended
  double run(int pieces, const Piece& piece);
  int replicas() const { return static_cast<int>(replicas_.size()); }

 private:
  std::vector<std::vector<at::Tensor>> replicas_;
};

/// How many replicas to train with: options.threads on a CPU (0: one a core), one on a GPU.
int replica_count(int threads, at::Device device);

}  // namespace ditscope
