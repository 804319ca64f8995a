#pragma once
#include "kernels/block_sparse_attention.h"

namespace ditscope {

/// The threads of LibTorch's own pool (OpenMP), so that the process has one pool: at::get_num_threads() of them, one inside a
/// parallel region.
Workers torch_workers(int threads);

}  // namespace ditscope
