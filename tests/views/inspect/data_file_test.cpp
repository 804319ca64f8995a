#include "views/inspect/data_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope::views {
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

const DataArray kMatrix{"map", {2, 3}, {1, 2.5, -3, NAN, INFINITY, 1e-300}, {}};

TEST(DataFile, WritesATableWithItsColumns) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.csv";
  write_data({{"rows", {2, 2}, {0, 0.5, 1, 0.1}, {"step", "recall"}}}, {}, file);
  EXPECT_EQ(text_of(file), "step,recall\n0,0.5\n1,0.1\n");
}

TEST(DataFile, WritesCurvesOfOneLengthSideBySide) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.csv";
  write_data({{"full", {2}, {1, 2}, {}}, {"kept", {2}, {0.5, NAN}, {}}}, {}, file);
  EXPECT_EQ(text_of(file), "index,full,kept\n0,1,0.5\n1,2,nan\n");
}

TEST(DataFile, WritesOtherArraysALineAValue) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.csv";
  write_data({kMatrix}, {}, file);
  EXPECT_EQ(text_of(file), "array,i0,i1,value\nmap,0,0,1\nmap,0,1,2.5\nmap,0,2,-3\nmap,1,0,nan\nmap,1,1,inf\nmap,1,2,1e-300\n");
}

TEST(DataFile, WritesAnNpyWhoseDataBeginAt64) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.npy";
  write_data({kMatrix}, {}, file);
  const std::string bytes = text_of(file);
  ASSERT_GT(bytes.size(), 128u);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t header = static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  EXPECT_EQ((10 + header) % 64, 0u);
  EXPECT_NE(bytes.find("'descr': '<f8'"), std::string::npos);
  EXPECT_NE(bytes.find("'shape': (2,3,)"), std::string::npos);
  double value = 0;
  std::memcpy(&value, bytes.data() + 10 + header + 8, 8);
  EXPECT_EQ(value, 2.5);
  EXPECT_EQ(bytes.size(), 10 + header + 48);
}

TEST(DataFile, WritesSafetensorsWithWhatTheyAre) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.safetensors";
  write_data({kMatrix, {"rows", {1}, {7}, {}}}, {{"step", "8"}}, file);
  const std::string bytes = text_of(file);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["__metadata__"]["step"], "8");
  EXPECT_EQ(header["map"]["dtype"], "F64");
  EXPECT_EQ(header["map"]["shape"].get<std::vector<int>>(), (std::vector<int>{2, 3}));
  EXPECT_EQ(header["rows"]["data_offsets"].get<std::vector<int>>(), (std::vector<int>{48, 56}));
  EXPECT_EQ(bytes.size(), 8 + length + 56);
  EXPECT_EQ((8 + length) % 8, 0u);
}

TEST(DataFile, PutsSeveralArraysIntoAnNpzAndOnlyThere) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_data({kMatrix, {"rows", {1}, {7}, {}}}, {}, folder.path() / "a.npy"), Error);
  write_data({kMatrix, {"rows", {1}, {7}, {}}}, {}, folder.path() / "a.npz");
  const std::string bytes = text_of(folder.path() / "a.npz");
  EXPECT_EQ(bytes.substr(0, 4), "PK\x03\x04");
  EXPECT_NE(bytes.find("map.npy"), std::string::npos);
  EXPECT_NE(bytes.find("rows.npy"), std::string::npos);
  const std::string end = bytes.substr(bytes.size() - 22);
  EXPECT_EQ(end.substr(0, 4), "PK\x05\x06");
  EXPECT_EQ(end[10], 2);
}

TEST(DataFile, RefusesWhatItCannotWriteAndLeavesNothing) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_data({}, {}, folder.path() / "a.csv"), Error);
  EXPECT_THROW(write_data({kMatrix}, {}, folder.path() / "a.txt"), Error);
  EXPECT_THROW(write_data({{"broken", {4}, {1}, {}}}, {}, folder.path() / "a.csv"), Error);
  EXPECT_THROW(write_data({kMatrix, kMatrix}, {}, folder.path() / "a.npz"), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace ditscope::views
