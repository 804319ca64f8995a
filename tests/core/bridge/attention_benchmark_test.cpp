#include "core/bridge/attention_benchmark.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/block_sparse_attention.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

std::vector<AttentionBenchmarkRow> rows_of(const std::string& name, const std::string& dtype) {
  std::vector<AttentionBenchmarkRow> rows;
  benchmark_attention({name, dtype, 1, 0}, [&](const AttentionBenchmarkRow& row) { rows.push_back(row); });
  return rows;
}

TEST(AttentionBenchmark, HasACaseForEveryGoal) {
  std::vector<std::string> names;
  for (const auto& [name, description] : attention_benchmark_cases()) {
    EXPECT_FALSE(description.empty()) << name;
    names.push_back(name);
  }
  for (const char* name : {"dense", "random_blocks_64", "random_blocks_64_own_dense", "dense_avx2", "refresh", "cogvideox_band",
                           "list_building"})
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
}

TEST(AttentionBenchmark, ARowSaysWhatWasMeasured) {
  const std::vector<AttentionBenchmarkRow> rows = rows_of("list_building", "");
  ASSERT_EQ(rows.size(), 2u);
  for (const AttentionBenchmarkRow& row : rows) {
    EXPECT_EQ(row.name, "list_building");
    EXPECT_EQ(row.threads, 1);
    EXPECT_EQ(row.heads, 8);
    EXPECT_EQ(row.tokens, 4096);
    EXPECT_EQ(row.head_dim, 64);
    EXPECT_DOUBLE_EQ(row.skipped_ratio, 1 - 2.0 / 64);
    EXPECT_DOUBLE_EQ(row.skipped_ratio_blocks, 1 - 2.0 / 64);
    EXPECT_GT(row.ms, 0);
    EXPECT_LE(row.p10_ms, row.ms);
    EXPECT_GE(row.p90_ms, row.ms);
    EXPECT_EQ(row.baseline, "own sparse kernel");
    EXPECT_GT(row.baseline_ms, 0);
    EXPECT_DOUBLE_EQ(row.ratio(), row.baseline_ms / row.ms);
  }
  EXPECT_EQ(rows[0].dtype, "bfloat16");
  EXPECT_EQ(rows[1].dtype, "float32");
  EXPECT_EQ(rows[0].isa, available_instruction_sets().front());
}

TEST(AttentionBenchmark, RunsOneTypeAndRefusesUnknownCases) {
  EXPECT_EQ(rows_of("list_b", "float32").size(), 1u);
  try {
    rows_of("sparse", "");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_NE(std::string(error.what()).find("random_blocks_64"), std::string::npos);
  }
}

}  // namespace
}  // namespace ditscope
