#include "kernels/cpu/vectors.h"

#include <string>

#include "kernels/block_sparse_attention.h"

namespace ditscope::cpu {

const VectorKernels& choose_vectors(bool bfloat16) {
#ifdef DITSCOPE_X86
  const std::string widest = available_instruction_sets().front();
  if (widest == kAvx512Bf16Vectors.name && bfloat16) return kAvx512Bf16Vectors;
  if (widest.starts_with("avx512")) return kAvx512Vectors;
  if (widest.starts_with("avx2")) return kAvx2Vectors;
#endif
  (void)bfloat16;
  return kPortableVectors;
}

}  // namespace ditscope::cpu
