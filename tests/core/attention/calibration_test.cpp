#include "core/attention/calibration.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

TEST(Calibration, ASavedChoiceFindsItsFileFromAnotherFolder) {
  const fs::path here = fs::current_path(), folder = fs::temp_directory_path() / ("ditscope_calibration_" + std::to_string(getpid()));
  fs::create_directories(folder / "elsewhere");
  Calibration made;
  made.method = "spargeattn";
  made.key.layers = made.key.steps = 1;
  made.write(folder / "tuned.json");
  fs::current_path(folder);
  const MethodChoice saved = with_absolute_calibrations({"spargeattn", {{"tuning", std::string("./tuned.json")}}});
  fs::current_path(folder / "elsewhere");
  EXPECT_EQ(fs::path(std::get<std::string>(saved.parameters.at("tuning"))), fs::canonical(folder) / "tuned.json");
  EXPECT_NO_THROW(require_calibrations(saved, made.key));
  fs::rename(folder / "tuned.json", folder / "moved.json");
  try {
    require_calibrations(saved, made.key);
    ADD_FAILURE() << "the file is gone";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_NE(std::string(error.what()).find((folder / "tuned.json").filename().string()), std::string::npos) << error.what();
  }
  fs::current_path(here);
  fs::remove_all(folder);
}

TEST(Calibration, TheChoiceThatNeedsNoFileStaysAsItIs) {
  const MethodChoice off = with_absolute_calibrations({"spargeattn", {{"tuning", std::string("off")}}});
  EXPECT_EQ(std::get<std::string>(off.parameters.at("tuning")), "off");
  EXPECT_FALSE(has_calibration(off));
}

}  // namespace
}  // namespace ditscope
