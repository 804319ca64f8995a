// Reads what ptxas reported of every kernel: no spills, and registers and shared memory within what the GPUs have. The report of
// all compute capabilities lies beside this file (tests/gpu/resources.sh makes it); that of a build with nvcc in its folder
// (cmake/CudaKernels.cmake).
#include <cxxabi.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
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
  std::string kernel;  ///< as a programmer would write it
  int architecture = 0, stack = -1, spill_stores = -1, spill_loads = -1, registers = -1;
};

std::string readable(const std::string& mangled) {
  char* text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr);
  std::string name = text ? text : mangled;
  std::free(text);
  static const std::regex qualified("^void |ditscope::(cuda::)?|\\([^()]*\\)$"), bfloat16("unsigned short");
  return std::regex_replace(std::regex_replace(name, qualified, ""), bfloat16, "Bfloat16Bits");
}

/// ptxas reports a kernel in lines of its own: its name, stack and spills, registers.
std::vector<Resources> read_report(std::istream& stream) {
  static const std::regex name("Compiling entry function '([^']+)' for 'sm_([0-9]+)a?'");
  static const std::regex spills("([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
  static const std::regex registers("Used ([0-9]+) registers");
  std::vector<Resources> all;
  std::smatch match;
  for (std::string line; std::getline(stream, line);) {
    if (std::regex_search(line, match, name)) {
      all.push_back({readable(match[1]), std::stoi(match[2]), -1, -1, -1, -1});
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

/// A line a kernel, a column a compute capability; see tests/gpu/resources.sh for the cells.
std::vector<Resources> read_table(std::istream& stream) {
  std::vector<Resources> all;
  std::vector<int> architectures;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream cells(line);
    std::string kernel, cell;
    std::getline(cells, kernel, '\t');
    for (std::size_t column = 0; std::getline(cells, cell, '\t'); ++column) {
      if (kernel == "kernel") {
        architectures.push_back(std::stoi(cell.substr(3)));
      } else if (cell != "-") {
        Resources r{kernel, architectures.at(column), 0, 0, 0, 0};
        std::sscanf(cell.c_str(), "%d %d,%d,%d", &r.registers, &r.stack, &r.spill_stores, &r.spill_loads);
        all.push_back(r);
      }
    }
  }
  return all;
}

/// The kernels that a build has for a compute capability.
std::set<std::string> every_kernel(int architecture) {
  std::set<std::string> all{"quantise<KeyMean>"};
  const auto add_both = [&](const std::string& name) {  // plain and split
    all.insert(name + ", false>");
    all.insert(name + ", true>");
  };
  for (const char* width : {"64", "128", "256"}) {
    const std::string shape = std::string("FloatTileShape<") + width + ">";
    add_both("float_attention<" + shape);
    all.insert("block_mass<FloatMass<" + shape + " >, 256>");
  }
  for (const std::string element : {"Bfloat16Bits", "Float16Bits"}) {
    const auto tile = [](int width, int blocks, bool int8) {
      return "TileShape<" + std::to_string(width) + ", " + std::to_string(blocks) + (int8 ? ", true>" : ", false>");
    };
    for (const int width : cuda::kWidths) {
      for (int blocks = 1; blocks <= tile_blocks_for<Bfloat16Bits>(width, 2); ++blocks)
        add_both("tile_attention<" + element + ", " + tile(width, blocks, false));
    }
    const auto add_mass = [&](int width, int blocks, int threads) {
      all.insert("block_mass<TileMass<" + element + ", " + tile(width, blocks, false) + " >, " + std::to_string(threads) + ">");
    };
    add_mass(64, 2, cuda::TileShape<64, 2>::kThreads);
    add_mass(128, 2, cuda::TileShape<128, 2>::kThreads);
    add_mass(256, 1, cuda::TileShape<256, 1>::kThreads);
    for (const int width : {64, 128})
      for (const int blocks : {1, 2}) all.insert("int8_attention<" + element + ", " + tile(width, blocks, true) + " >");
    all.insert("quantise<KeySums<" + element + "> >");
    all.insert("quantise<Quantise<" + element + "> >");
    for (const char* width : {"64", "80", "96", "128"})
      if (architecture == 90) add_both("hopper_attention<" + element + ", HopperShape<" + width + ">");
  }
  return all;
}

/// @param most_on_100  bytes that the widest tile may keep in memory on sm_100
void expect_all_and_no_spills(const std::vector<Resources>& report, int most_on_100) {
  std::map<int, std::set<std::string>> kernels;  // by architecture
  for (const Resources& r : report) {
    kernels[r.architecture].insert(r.kernel);
    const std::string what = r.kernel + " for sm_" + std::to_string(r.architecture);
    const int most_bytes = r.architecture == 100 && r.kernel.find("TileShape<256,") != std::string::npos ? most_on_100 : 0;
    EXPECT_LE(r.spill_stores, most_bytes) << what;
    EXPECT_LE(r.spill_loads, most_bytes) << what;
    EXPECT_LE(r.stack, most_bytes) << what;
    EXPECT_GT(r.registers, 0) << what;
    EXPECT_LE(r.registers, 255) << what;
  }
  for (const auto& [architecture, names] : kernels) EXPECT_EQ(names, every_kernel(architecture)) << "sm_" << architecture;
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

TEST(CudaResources, ATableIsRead) {
  std::istringstream table("kernel\tsm_80\tsm_100\nk<1, 2>\t40\t255 16,4,8\nl\t-\t32\n");
  const std::vector<Resources> all = read_table(table);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].kernel, "k<1, 2>");
  EXPECT_EQ(all[0].registers, 40);
  EXPECT_EQ(all[0].spill_stores, 0);
  EXPECT_EQ(all[1].architecture, 100);
  EXPECT_EQ(all[1].stack, 16);
  EXPECT_EQ(all[1].spill_stores, 4);
  EXPECT_EQ(all[1].spill_loads, 8);
  EXPECT_EQ(all[2].kernel, "l");
}

TEST(CudaResources, AReportIsRead) {
  std::istringstream report(
      "ptxas info    : Compiling entry function '_Z1kv' for 'sm_80'\nptxas info    : Function properties for _Z1kv\n"
      "    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\nptxas info    : Used 40 registers, used 1 "
      "barriers\n");
  const std::vector<Resources> all = read_report(report);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].kernel, "k");
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

std::set<std::string> hopper_objects() {
  std::set<std::string> all;
  for (const char* element : {"Bfloat16Bits", "Float16Bits"})
    for (const char* width : {"64", "80", "96", "128"}) all.insert(std::string("hopper_") + element + "_" + width);
  return all;
}

TEST(CudaResources, HopperKernelsMultiplyByWarpgroupsAndLoadWithTheCopyEngine) {
  std::ifstream table(DITSCOPE_SOURCE_DIR "/tests/kernels/cuda_machine_code.tsv");
  std::string line;
  std::getline(table, line);
  ASSERT_EQ(line, "object\tHGMMA.64x64x16.F32\tUTMALDG.3D\tSTL\tLDL");
  std::set<std::string> objects;
  while (std::getline(table, line)) {
    std::istringstream cells(line);
    std::string object;
    int products = 0, loads = 0, stored = -1, read = -1;
    cells >> object >> products >> loads >> stored >> read;
    objects.insert(object);
    EXPECT_GT(products, 0) << object;
    EXPECT_GT(loads, 0) << object;
    EXPECT_EQ(stored, 0) << object << ": registers are spilled";
    EXPECT_EQ(read, 0) << object;
  }
  EXPECT_EQ(objects, hopper_objects());
}

TEST(CudaResources, HopperKernelsOfThisBuildDoSo) {
  const fs::path folder = fs::path(DITSCOPE_BINARY_DIR) / "kernels" / "cuda";
  if (!fs::exists(folder / "hopper_Bfloat16Bits_128.o")) GTEST_SKIP() << "this build has no kernels for compute capability 9.0";
  for (const std::string& name : hopper_objects()) {
    const fs::path object = folder / (name + ".o");
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

TEST(CudaResources, NoKernelSpillsOnAnyArchitecture) {
  std::ifstream stream(DITSCOPE_SOURCE_DIR "/tests/kernels/cuda_resources.tsv");
  const std::vector<Resources> report = read_table(stream);
  std::set<int> architectures;
  for (const Resources& r : report) architectures.insert(r.architecture);
  EXPECT_EQ(architectures, (std::set<int>{80, 86, 89, 90, 100, 120}));
  expect_all_and_no_spills(report, 0);
}

TEST(CudaResources, NoKernelOfThisBuildSpills) {
  const fs::path folder = fs::path(DITSCOPE_BINARY_DIR) / "kernels" / "cuda";
  std::vector<Resources> report;
  for (const auto& entry : fs::exists(folder) ? fs::directory_iterator(folder) : fs::directory_iterator()) {
    if (!entry.path().string().ends_with(".resources.txt")) continue;
    std::ifstream stream(entry.path());
    const std::vector<Resources> more = read_report(stream);
    report.insert(report.end(), more.begin(), more.end());
  }
  if (report.empty()) GTEST_SKIP() << "this build has no CUDA kernels (DITSCOPE_CUDA_KERNELS, nvcc)";
  // From PTX of its own compute capability, nvcc 13.0 keeps two or three registers in memory there.
  expect_all_and_no_spills(report, 16);
}

}  // namespace
}  // namespace ditscope
