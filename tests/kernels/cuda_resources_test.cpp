// Reads what ptxas reported of every kernel (cmake/CudaKernels.cmake): no spills, and registers and shared memory within what the
// GPUs have. Where this build has no CUDA kernels there is nothing to read.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "kernels/cuda/hopper/hopper_attention.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tile_shape.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

struct Resources {
  std::string kernel;  ///< mangled
  int architecture = 0, stack = -1, spill_stores = -1, spill_loads = -1, registers = -1;
};

/// ptxas reports a kernel in lines of its own: its name, stack and spills, registers.
std::vector<Resources> read_report(std::istream& stream) {
  static const std::regex name("Compiling entry function '([^']+)' for 'sm_([0-9]+)a?'");
  static const std::regex spills("([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
  static const std::regex registers("Used ([0-9]+) registers");
  std::vector<Resources> all;
  std::smatch match;
  for (std::string line; std::getline(stream, line);) {
    if (std::regex_search(line, match, name)) {
      all.push_back({match[1], std::stoi(match[2]), -1, -1, -1, -1});
    } else if (!all.empty() && std::regex_search(line, match, spills)) {
      all.back().stack = std::stoi(match[1]);
      all.back().spill_stores = std::stoi(match[2]);
      all.back().spill_loads = std::stoi(match[3]);
    } else if (!all.empty() && std::regex_search(line, match, registers)) {
      all.back().registers = std::stoi(match[1]);
    }
  }
  return all;
}

/// Threads of a block, and its dynamic shared memory in bytes, of each portable kernel.
template <int kWidth>
void add_tiles(std::vector<std::pair<int, std::size_t>>& all) {
  all.push_back({cuda::TileShape<kWidth, 1>::kThreads, cuda::TileShape<kWidth, 1>::kSharedBytes});
  if constexpr (kWidth <= cuda::kWidestPair)
    all.push_back({cuda::TileShape<kWidth, 2>::kThreads, cuda::TileShape<kWidth, 2>::kSharedBytes});
}
std::vector<std::pair<int, std::size_t>> portable_shapes() {
  std::vector<std::pair<int, std::size_t>> all;
  add_tiles<32>(all);
  add_tiles<64>(all);
  add_tiles<80>(all);
  add_tiles<96>(all);
  add_tiles<128>(all);
  add_tiles<256>(all);
  all.push_back({cuda::FloatTileShape<64>::kThreads, cuda::FloatTileShape<64>::kSharedBytes});
  return all;
}

template <int... kWidths>
std::vector<std::pair<int, std::size_t>> hopper_shapes() {
  return {{cuda::HopperShape<kWidths>::kThreads, cuda::HopperShape<kWidths>::kSharedBytes}...};
}

constexpr std::size_t kSmallestSharedLimit = 99 * 1024;  ///< of compute capabilities 8.6, 8.9 and 12.0; 8.0 has 163 KiB, 9.0 227

TEST(CudaResources, SharedMemoryOfEveryPortableKernelFitsTheSmallestGpu) {
  for (const auto& [threads, bytes] : portable_shapes()) EXPECT_LE(bytes, kSmallestSharedLimit) << threads << " threads";
}

TEST(CudaResources, SharedMemoryOfEveryHopperKernelFits) {
  for (const auto& [threads, bytes] : hopper_shapes<64, 80, 96, 128>())
    EXPECT_LE(bytes, std::size_t{227} * 1024) << threads << " threads";
}

TEST(CudaResources, AReportIsRead) {
  std::istringstream report(
      "ptxas info    : Compiling entry function '_Z1kv' for 'sm_80'\nptxas info    : Function properties for _Z1kv\n"
      "    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\nptxas info    : Used 40 registers, used 1 "
      "barriers\n");
  const std::vector<Resources> all = read_report(report);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].kernel, "_Z1kv");
  EXPECT_EQ(all[0].architecture, 80);
  EXPECT_EQ(all[0].stack, 8);
  EXPECT_EQ(all[0].spill_stores, 4);
  EXPECT_EQ(all[0].spill_loads, 12);
  EXPECT_EQ(all[0].registers, 40);
}

/// What a program prints.
std::string output_of(const std::string& command) {
  std::string all;
  FILE* pipe = popen(command.c_str(), "r");
  char part[4096];
  while (pipe && std::fgets(part, sizeof part, pipe)) all += part;
  if (pipe) pclose(pipe);
  return all;
}

TEST(CudaResources, HopperKernelsMultiplyByWarpgroupsAndLoadWithTheCopyEngine) {
  const fs::path folder = fs::path(DITSCOPE_BINARY_DIR) / "kernels" / "cuda";
  if (!fs::exists(folder / "hopper_Bfloat16Bits_128.o")) GTEST_SKIP() << "this build has no kernels for compute capability 9.0";
  for (const char* element : {"Bfloat16Bits", "Float16Bits"}) {
    for (const int width : {64, 80, 96, 128}) {
      const fs::path object = folder / (std::string("hopper_") + element + "_" + std::to_string(width) + ".o");
      std::ifstream stream(object.string() + ".resources.txt");
      const std::string report{std::istreambuf_iterator<char>(stream), {}};
      EXPECT_EQ(report.find("(C75"), std::string::npos) << "ptxas serialised products or ignored registers:\n" << report;
      const std::string code = output_of("cuobjdump -sass '" + object.string() + "' 2>/dev/null");
      if (code.empty()) GTEST_SKIP() << "cuobjdump is not in PATH";
      EXPECT_NE(code.find("HGMMA.64x64x16.F32"), std::string::npos) << object;
      EXPECT_NE(code.find("UTMALDG.3D"), std::string::npos) << object;
      EXPECT_EQ(code.find("STL"), std::string::npos) << object << ": registers are spilled";
    }
  }
}

TEST(CudaResources, NoKernelSpillsOnAnyArchitecture) {
  const fs::path folder = fs::path(DITSCOPE_BINARY_DIR) / "kernels" / "cuda";
  std::map<int, std::set<std::string>> kernels;  // by architecture
  for (const auto& entry : fs::exists(folder) ? fs::directory_iterator(folder) : fs::directory_iterator()) {
    if (!entry.path().string().ends_with(".resources.txt")) continue;
    std::ifstream stream(entry.path());
    for (const Resources& r : read_report(stream)) {
      kernels[r.architecture].insert(r.kernel);
      const std::string what = r.kernel + " for sm_" + std::to_string(r.architecture);
      // nvcc 13.0 keeps two or three registers of the widest tile in memory on sm_100 alone.
      const int most_bytes = r.architecture == 100 && r.kernel.find("TileShapeILi256E") != std::string::npos ? 16 : 0;
      EXPECT_LE(r.spill_stores, most_bytes) << what;
      EXPECT_LE(r.spill_loads, most_bytes) << what;
      EXPECT_LE(r.stack, most_bytes) << what;
      EXPECT_GT(r.registers, 0) << what;
      EXPECT_LE(r.registers, 255) << what;
    }
  }
  if (kernels.empty()) GTEST_SKIP() << "this build has no CUDA kernels (DITSCOPE_CUDA_KERNELS, nvcc)";
  // Block masses in three types of three widths; int8 attention in two types, two widths, tiles of one and two query blocks.
  // Two types, five widths with tiles of one and of two query blocks and one with tiles of one; three widths of float32; each
  // plain and split.
  for (const auto& [architecture, names] : kernels) {
    std::size_t portable = 0, hopper = 0;
    for (const std::string& name : names) hopper += name.find("16hopper_attention") != std::string::npos;
    EXPECT_EQ(hopper, architecture == 90 ? 2u * 2 * 4 : 0u) << "kernels with wgmma for sm_" << architecture;
    for (const std::string& name : names)
      portable += name.find("14tile_attention") != std::string::npos || name.find("15float_attention") != std::string::npos;
    EXPECT_EQ(portable, 2u * (2 * (5 * 2 + 1) + 3)) << "kernels for sm_" << architecture;
    std::size_t masses = 0, int8 = 0;
    for (const std::string& name : names) {
      masses += name.find("10block_mass") != std::string::npos;
      int8 += name.find("14int8_attention") != std::string::npos;
    }
    EXPECT_EQ(masses, 3u * 3) << "kernels of block masses for sm_" << architecture;
    EXPECT_EQ(int8, 2u * 2 * 2) << "int8 kernels for sm_" << architecture;
  }
}

}  // namespace
}  // namespace ditscope
