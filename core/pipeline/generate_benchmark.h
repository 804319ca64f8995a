#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/pipeline/generator.h"

namespace ditscope {

/// One kind of work of one stage of a run, for `ditscope-cli bench generate`.
struct GenerateBenchmarkRow {
  std::string stage;  ///< "text" "denoise" "decode" "encode"
  std::string kind;   ///< "attention" "gemm" "convolution" "elementwise"
  std::string name;
  int layer = -1;     ///< of the transformer, or block of the VAE; -1: outside of them
  std::int64_t calls = 0;
  double seconds = 0;
  double gflop = 0;         ///< 0: not counted
  double peak_gflops = 0;   ///< what a large matrix product in this row's type reached in the same process
  double of_peak() const { return gflop > 0 && seconds > 0 ? gflop / seconds / peak_gflops : 0; }
};

struct GenerateBenchmark {
  RunResult run;
  std::map<std::string, double> stage_seconds;  ///< the run's, and "encode"
  std::vector<GenerateBenchmarkRow> rows;
  std::map<std::string, double> gemm_peak_gflops;  ///< by dtype: the best of products of 2048 x 2048 before and after the run
};

/// Runs a request once to warm up (one step), once watched, then encodes its frames again. On the CPU.
/// @throws as Generator::run(); Error{Unsupported} for the device cuda, whose work a clock of the CPU does not see
GenerateBenchmark benchmark_generate(const Request& request, EventSink& sink, RunControl& control);

}  // namespace ditscope
