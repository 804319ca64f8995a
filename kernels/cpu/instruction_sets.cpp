#include <cstdlib>
#include <string_view>

#include "kernels/block_sparse_attention.h"
#include "kernels/cpu/tile.h"

namespace ditscope {
namespace cpu {
namespace {

/// Widest first.
std::vector<const TileKernels*> available_kernels() {
  std::vector<const TileKernels*> all;
#ifdef DITSCOPE_X86
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) all.push_back(&kAvx512Bf16Kernels);
  if (avx512) all.push_back(&kAvx512Kernels);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(&kAvx2Kernels);
#endif
  all.push_back(&kPortableKernels);
  const char* wish = std::getenv("DITSCOPE_ISA");
  if (wish == nullptr) return all;
  for (auto it = all.begin(); it != all.end(); ++it) {
    if (std::string_view((*it)->name) == wish) return {it, all.end()};
  }
  return all;  // a name that this machine does not have lowers nothing
}

}  // namespace

const TileKernels& choose_kernels(bool bfloat16) {
  for (const TileKernels* kernels : available_kernels()) {
    if (bfloat16 || !kernels->pairs) return *kernels;
  }
  return kPortableKernels;
}

}  // namespace cpu

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const cpu::TileKernels* kernels : cpu::available_kernels()) names.emplace_back(kernels->name);
  return names;
}

}  // namespace ditscope
