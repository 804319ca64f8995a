#include "core/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "core/checkpoint/json_file.h"
#include "kernels/error.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using ::testing::HasSubstr;

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A file of the given header text and number of data bytes.
std::string with_header(const std::string& header, std::size_t data_bytes) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i));
  bytes += header;
  for (std::size_t i = 0; i < data_bytes; ++i) bytes += static_cast<char>(i * 37 + 11);
  return bytes;
}

/// The error that opening such a file ends in; fails the test where it ends in none.
Error error_of(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "weights.safetensors", bytes);
  try {
    load_tensors(folder / "weights.safetensors");
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("weights.safetensors"));
    return error;
  }
  ADD_FAILURE() << "a hostile file was accepted";
  return Error(ErrorKind::InvalidArgument, "");
}

void expect_corrupt(const std::string& bytes, const std::string& reason) {
  const auto error = error_of(bytes);
  EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
  EXPECT_THAT(error.what(), HasSubstr(reason));
}

TensorMap every_dtype() {
  TensorMap tensors;
  const auto base = at::arange(-6, 6, at::kFloat).view({3, 4});
  for (const auto dtype :
       {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort, at::kChar, at::kByte}) {
    tensors[std::string("of.") + c10::toString(dtype)] = base.abs().to(dtype);
  }
  tensors["of.bool"] = base.gt(0);
  tensors["of.float8"] = base.to(at::kFloat8_e4m3fn);
  tensors["scalar"] = at::scalar_tensor(2.5);
  tensors["empty"] = at::empty({0, 7}, at::kHalf);
  tensors["transposed"] = base.t();
  return tensors;
}

void expect_same(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    const auto& other = b.at(name);
    EXPECT_EQ(tensor.scalar_type(), other.scalar_type()) << name;
    EXPECT_EQ(tensor.sizes(), other.sizes()) << name;
    EXPECT_TRUE(tensor.contiguous().view(at::kByte).equal(other.contiguous().view(at::kByte))) << name;
  }
}

TEST(Safetensors, WhatIsSavedLoadsTheSameInEveryDtype) {
  const TemporaryFolder folder;
  const auto tensors = every_dtype();
  save_tensors(folder / "t.safetensors", tensors, {{"format", "pt"}, {"größe", "∞"}});
  Metadata metadata;
  auto loaded = load_tensors(folder / "t.safetensors", &metadata);
  EXPECT_TRUE(loaded["scalar"].equal(tensors.at("scalar")));
  loaded.erase("scalar");  // a 0-dim tensor has no byte view
  auto rest = tensors;
  rest.erase("scalar");
  expect_same(rest, loaded);
  EXPECT_EQ(metadata, (Metadata{{"format", "pt"}, {"größe", "∞"}}));
}

TEST(Safetensors, AlignedTensorsAreViewsOfTheFileAndWritingToThemLeavesItAlone) {
  const TemporaryFolder folder;
  const auto path = folder / "t.safetensors";
  save_tensors(path, {{"a", at::ones({4})}, {"b", at::ones({4})}});
  {
    const SafetensorsFile file(path);
    auto a = file.tensor("a"), again = file.tensor("a");
    EXPECT_EQ(a.data_ptr(), again.data_ptr());
    a.fill_(7);
  }
  EXPECT_TRUE(load_tensors(path).at("a").equal(at::ones({4})));
}

TEST(Safetensors, TensorsOutliveTheFileObjectAndTheFileName) {
  const TemporaryFolder folder;
  save_tensors(folder / "t.safetensors", {{"a", at::arange(1000)}});
  const auto a = load_tensors(folder / "t.safetensors").at("a");
  fs::remove(folder / "t.safetensors");
  EXPECT_TRUE(a.equal(at::arange(1000)));
}

TEST(Safetensors, MisalignedDataIsCopiedAndReadRight) {
  const TemporaryFolder folder;
  const auto stored = at::arange(5, at::kFloat);
  for (int pad = 0; pad < 4; ++pad) {
    std::string header =
        R"({"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}})" + std::string(static_cast<std::size_t>(pad), ' ');
    auto bytes = with_header(header, 20);
    std::memcpy(bytes.data() + 8 + header.size(), stored.const_data_ptr(), 20);
    const auto path = folder / ("t" + std::to_string(pad) + ".safetensors");
    write_bytes(path, bytes);
    const auto a = load_tensors(path).at("a");
    EXPECT_TRUE(a.equal(stored)) << pad;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.const_data_ptr()) % 4, 0u);
  }
}

TEST(Safetensors, BoolBytesOtherThanOneAreTrue) {
  const TemporaryFolder folder;
  write_bytes(folder / "t.safetensors",
              with_header(R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", 0) + std::string("\0\x02\xff", 3));
  const auto a = load_tensors(folder / "t.safetensors").at("a");
  EXPECT_TRUE(a.equal(at::arange(3).gt(0)));
}

TEST(Safetensors, FilesWithoutTensorsAreFine) {
  const TemporaryFolder folder;
  write_bytes(folder / "t.safetensors", with_header("{}", 0));
  EXPECT_TRUE(load_tensors(folder / "t.safetensors").empty());
}

TEST(HostileSafetensors, TooShortForAnything) {
  expect_corrupt("", "empty");
  expect_corrupt("abc", "at least 8 bytes");
  expect_corrupt(std::string(8, '\0'), "JSON");
}

TEST(HostileSafetensors, HeaderLengthBeyondTheFileOrAHundredMegabytes) {
  expect_corrupt(std::string("\x40\0\0\0\0\0\0\0{}", 10), "beyond the file");
  expect_corrupt(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10), "100 MB");
  expect_corrupt(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "100 MB");
  expect_corrupt(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10), "100 MB");
}

TEST(HostileSafetensors, HeadersThatAreNoJsonObject) {
  for (const char* header : {"", "[]", "1", "null", "{", "{\"a\":}", "{}x", "\xff\xfe{}", "{\"\xc3\":{}}"}) {
    EXPECT_EQ(error_of(with_header(header, 0)).kind(), ErrorKind::Corrupt) << header;
  }
}

TEST(HostileSafetensors, ErrorsOfTheHeaderNameLineAndColumn) {
  expect_corrupt(with_header("{\n  \"a\": nul }", 0), "line 2, column");
}

TEST(HostileSafetensors, KeysThatComeTwice) {
  const std::string a = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  expect_corrupt(with_header("{" + a + "," + a + "}", 2), "comes twice");
  expect_corrupt(with_header(R"({"a":{"dtype":"U8","dtype":"I8","shape":[2],"data_offsets":[0,2]}})", 2), "comes twice");
}

TEST(HostileSafetensors, DeepJson) {
  for (const std::size_t depth : {5u, 100u, 1000000u}) {
    expect_corrupt(with_header("{\"a\":" + std::string(depth, '['), 0), "deeper");
    expect_corrupt(with_header("{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}", 0), "deeper");
  }
}

TEST(HostileSafetensors, EntriesWithoutTheirParts) {
  expect_corrupt(with_header(R"({"a":1})", 0), "object");
  expect_corrupt(with_header(R"({"a":{}})", 0), "dtype");
  expect_corrupt(with_header(R"({"a":{"dtype":"U8","shape":[2]}})", 2), "data_offsets");
  expect_corrupt(with_header(R"({"a":{"dtype":3,"shape":[2],"data_offsets":[0,2]}})", 2), "dtype");
  expect_corrupt(with_header(R"({"a":{"dtype":"U8","shape":2,"data_offsets":[0,2]}})", 2), "shape");
  expect_corrupt(with_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}})", 2), "data_offsets");
}

TEST(HostileSafetensors, NumbersThatAreNegativeFractionalOrTooLarge) {
  for (const char* shape : {"[-2]", "[2.0]", "[\"2\"]", "[1e3]", "[18446744073709551616]", "[9223372036854775807]"}) {
    EXPECT_EQ(
        error_of(with_header(R"({"a":{"dtype":"U8","shape":)" + std::string(shape) + R"(,"data_offsets":[0,2]}})", 2)).kind(),
        ErrorKind::Corrupt)
        << shape;
  }
  for (const char* offsets : {"[-1,2]", "[0,-2]", "[0,2.0]", "[2,0]", "[0,18446744073709551615]", "[18446744073709551615,2]"}) {
    EXPECT_EQ(error_of(with_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + std::string(offsets) + "}}", 2)).kind(),
              ErrorKind::Corrupt)
        << offsets;
  }
}

TEST(HostileSafetensors, ShapesWhoseProductOverflows) {
  expect_corrupt(with_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0), "overflows");
  expect_corrupt(with_header(R"({"a":{"dtype":"U8","shape":[4611686018427387905,4],"data_offsets":[0,4]}})", 4), "overflows");
  expect_corrupt(with_header(R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0), "overflows");
  std::string ones = "1";
  for (int i = 0; i < 40; ++i) ones += ",1";
  expect_corrupt(with_header(R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", 1), "at most 32");
}

TEST(HostileSafetensors, ShapeTimesDtypeThatAreNotTheBytes) {
  expect_corrupt(with_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "need 12 bytes");
  expect_corrupt(with_header(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,8]}})", 8), "need 4 bytes");
}

TEST(HostileSafetensors, OffsetsBeyondTheFileOverlappingOrWithGaps) {
  const auto two = [](const char* first, const char* second, std::size_t data) {
    return with_header(std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + first +
                           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}",
                       data);
  };
  expect_corrupt(two("[0,4]", "[4,8]", 7), "within the 7 data bytes");
  expect_corrupt(two("[0,4]", "[0,4]", 4), "overlaps");
  expect_corrupt(two("[0,4]", "[2,6]", 6), "overlaps");
  expect_corrupt(two("[0,4]", "[5,9]", 9), "gap");
  expect_corrupt(two("[1,5]", "[5,9]", 9), "gap");
  expect_corrupt(two("[0,4]", "[4,8]", 9), "the file has");
}

TEST(HostileSafetensors, MetadataThatIsNotText) {
  expect_corrupt(with_header(R"({"__metadata__":{"format":1}})", 0), "__metadata__");
  expect_corrupt(with_header(R"({"__metadata__":["pt"]})", 0), "__metadata__");
}

TEST(HostileSafetensors, UnknownDtypesAreUnsupportedAndNamed) {
  const auto error = error_of(with_header(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1));
  EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  EXPECT_THAT(error.what(), HasSubstr("\"F4\""));
}

TEST(HostileSafetensors, GitLfsPointersAndPicklesAreToldFromDamage) {
  expect_corrupt("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "git lfs pull");
  EXPECT_EQ(error_of("PK\x03\x04 and so on").kind(), ErrorKind::Unsupported);
}

TEST(HostileSafetensors, AFileThatShrinksWhileItIsOpen) {
  const TemporaryFolder folder;
  const auto path = folder / "t.safetensors";
  save_tensors(path, {{"a", at::ones({100000})}});
  const SafetensorsFile file(path);
  fs::resize_file(path, 5000);
  try {
    file.tensor("a");
    FAIL() << "a shrunken file was read";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    EXPECT_THAT(error.what(), HasSubstr("shortens"));
  }
}

TEST(HostileSafetensors, MissingFilesAndFoldersAreNotFound) {
  const TemporaryFolder folder;
  for (const auto& path : {folder / "none.safetensors", folder.path()}) {
    try {
      load_tensors(path);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    }
  }
}

TEST(FuzzSafetensors, MutatedFilesLoadOrEndInAnError) {
  const TemporaryFolder folder;
  save_tensors(folder / "seed.safetensors", every_dtype(), {{"format", "pt"}});
  const std::vector<std::string> corpus = {read_file(folder / "seed.safetensors"),
                                           with_header(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})", 16),
                                           with_header("{}", 0)};
  test::Mutator mutate(20, test::json_dictionary());
  int accepted = 0, refused = 0;
  unsigned sum = 0;
  for (int i = 0; i < 4000; ++i) {
    const auto path = folder / "f.safetensors";
    write_bytes(path, mutate(corpus[static_cast<std::size_t>(i) % corpus.size()]));
    try {
      for (const auto& [name, tensor] : load_tensors(path)) {
        const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
        for (std::size_t k = 0; k < tensor.nbytes(); ++k) sum += bytes[k];  // every byte is readable
      }
      ++accepted;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_NE(sum, 0u);
  EXPECT_GT(accepted, 50);  // edits of data bytes are no damage that a header shows
  EXPECT_GT(refused, 500);
}

TEST(SaveTensors, NoRoomLeavesTheOldFileAndNoOther) {
  const TemporaryFolder folder;
  const auto path = folder / "t.safetensors";
  save_tensors(path, {{"a", at::ones({3})}});
  // A limit on file sizes stands in for a full disk: write() fails half-way in the same manner.
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto old_signal = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  auto kind = ErrorKind::Cancelled;
  try {
    save_tensors(path, {{"a", at::zeros({100000})}});
  } catch (const Error& error) {
    kind = error.kind();
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_signal);
  EXPECT_EQ(kind, ErrorKind::Device);
  EXPECT_THAT(message, HasSubstr("t.safetensors"));
  EXPECT_TRUE(load_tensors(path).at("a").equal(at::ones({3})));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(SaveTensors, RefusesWhatTheFormatCannotHold) {
  const TemporaryFolder folder;
  const auto path = folder / "t.safetensors";
  EXPECT_THROW(save_tensors(path, {{"a", at::zeros({2}, at::kComplexDouble)}}), Error);
  EXPECT_THROW(save_tensors(path, {{"a", at::Tensor()}}), Error);
  EXPECT_THROW(save_tensors(path, {{"__metadata__", at::zeros({2})}}), Error);
  EXPECT_THROW(save_tensors(path, {{"a\xff", at::zeros({2})}}), Error);
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace ditscope
