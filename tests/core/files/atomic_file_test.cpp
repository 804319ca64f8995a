#include "core/files/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AtomicFile, ReplacesTheOldFileOnlyWhenCommitted) {
  const TemporaryFolder folder;
  const auto path = folder / "f";
  write_file(path, std::string_view("old"));
  {
    AtomicFile file(path);
    file.write("half");
  }
  EXPECT_EQ(text_of(path), "old");
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(text_of(path), "old");
    file.commit();
  }
  EXPECT_EQ(text_of(path), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(AtomicFile, GivesTheFileOrdinaryPermissions) {
  const TemporaryFolder folder;
  const auto mask = ::umask(022);
  AtomicFile file(folder / "f");
  file.commit();
  ::umask(mask);
  EXPECT_EQ(fs::status(folder / "f").permissions(), static_cast<fs::perms>(0644));
}

TEST(AtomicFile, MakesMissingFoldersAndRefusesAFolderAsTarget) {
  const TemporaryFolder folder;
  const auto kind_of = [](const fs::path& path) {
    try {
      AtomicFile file(path);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::Cancelled;
  };
  AtomicFile(folder / "made" / "deep" / "f").commit();
  EXPECT_TRUE(fs::exists(folder / "made" / "deep" / "f"));
  EXPECT_EQ(kind_of(folder.path()), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of("/proc/f"), ErrorKind::Device);
}

TEST(AtomicFile, KeepsWhatALibraryWroteUnderItsTemporaryName) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "f");
  std::ofstream(file.temporary(), std::ios::binary) << "by someone else";
  file.commit();
  EXPECT_EQ(text_of(folder / "f"), "by someone else");
}

}  // namespace
}  // namespace ditscope
