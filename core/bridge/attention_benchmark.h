#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ditscope {

/// One measured case of `ditscope-cli bench attention`. Times are medians of interleaved calls in one process, and include what a
/// call includes: packing, list building, the epilogue.
struct AttentionBenchmarkRow {
  std::string name, dtype, isa;
  int threads = 1;
  std::int64_t heads = 0, tokens = 0, head_dim = 0;
  double skipped_ratio = 0;  ///< pairs
  double skipped_ratio_blocks = 0;
  double ms = 0, p10_ms = 0, p90_ms = 0;
  std::string baseline;  ///< what `baseline_ms` is the time of
  double baseline_ms = 0;
  double ratio() const { return baseline_ms / ms; }
};

struct AttentionBenchmarkOptions {
  std::string only;    ///< the case of that name, or those whose name starts so; empty: all
  std::string dtype;   ///< float32 or bfloat16 alone; empty: both
  int threads = 0;     ///< of both sides; 0: as many as LibTorch uses
  double seconds = 3;  ///< to spend on a row, after warm-up; three repetitions at least
};

/// Names of the cases, in the order in which they run, and what they are.
std::vector<std::pair<std::string, std::string>> attention_benchmark_cases();

/// Runs the cases on random inputs and hands each row to `show` as it is done.
/// @throws Error{NotFound} if no case has that name
void benchmark_attention(const AttentionBenchmarkOptions& options, const std::function<void(const AttentionBenchmarkRow&)>& show);

}  // namespace ditscope
