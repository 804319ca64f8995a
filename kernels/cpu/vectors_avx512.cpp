#include "kernels/cpu/vectors_avx512.h"

namespace ditscope::cpu {
namespace {

struct Avx512 : Avx512Lanes<5> {
  static constexpr const char* kName = "avx512";
};

}  // namespace

const VectorKernels kAvx512Vectors = VectorAlgorithm<Avx512>::kernels();

}  // namespace ditscope::cpu
