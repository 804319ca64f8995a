#include "kernels/cpu/int8.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/block_sparse_attention.h"

namespace ditscope::cpu {

const Int8Kernels& choose_int8() {
#ifdef DITSCOPE_X86
  const std::string widest = available_instruction_sets().front();
  const char* wish = std::getenv("DITSCOPE_ISA");
  const bool without_vnni = wish != nullptr && std::string_view(wish) == "avx512";
  if (widest.starts_with("avx512")) {
    return __builtin_cpu_supports("avx512vnni") && !without_vnni ? kAvx512VnniInt8 : kAvx512Int8;
  }
  if (widest.starts_with("avx2")) return kAvx2Int8;
#endif
  return kPortableInt8;
}

}  // namespace ditscope::cpu
