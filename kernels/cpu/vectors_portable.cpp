#include "kernels/cpu/vectors_kernel.h"

namespace ditscope::cpu {
namespace {

/// SSE2 on any x86-64, NEON on ARM, plain code elsewhere.
struct Portable : Lanes<4> {
  static constexpr const char* kName = "portable";
  static constexpr int kRows = 4, kVectors = 2;
};

}  // namespace

const VectorKernels kPortableVectors = VectorAlgorithm<Portable>::kernels();

}  // namespace ditscope::cpu
