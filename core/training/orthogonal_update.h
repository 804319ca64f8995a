#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace ditscope {

/// Whether the optimiser turns this weight's update into an orthogonal matrix: products and convolutions inside the network.
/// Embeddings, gains, biases and the first and last projections keep AdamW, as the method's author advises.
bool takes_orthogonal_update(const std::string& key, const at::Tensor& weight);

/// The nearest (semi-)orthogonal matrix of each update, times 0.2 sqrt(max(rows, columns)), so that its entries are as large as
/// AdamW's and both share one learning rate. A convolution (out, in, ...) counts as a matrix (out, in * ...).
///
/// Newton-Schulz iteration of the fifth degree, in bfloat16; updates of one shape are computed together.
/// @see Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025, arXiv:2502.16982, eq. 4
std::vector<at::Tensor> orthogonal_updates(const std::vector<at::Tensor>& updates);

}  // namespace ditscope
