#include "core/checkpoint/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Matcher;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

constexpr const char* kIndex =
    R"({"_class_name":"CogVideoXPipeline","_diffusers_version":"0.42.1","force_zeros":false,"image_encoder":[null,null],
 "scheduler":["diffusers","CogVideoXDDIMScheduler"],"text_encoder":["transformers","T5EncoderModel"],"tokenizer":["transformers","T5Tokenizer"],
 "transformer":["diffusers","CogVideoXTransformer3DModel"],"vae":["diffusers","AutoencoderKLCogVideoX"]})";

/// A folder that is complete as far as opening looks.
void write_model(const fs::path& folder) {
  write(folder / "model_index.json", kIndex);
  write(folder / "scheduler/scheduler_config.json", R"({"_class_name":"CogVideoXDDIMScheduler"})");
  write(folder / "tokenizer/tokenizer_config.json", "{}");
  write(folder / "tokenizer/spiece.model", "x");
  for (const char* name : {"transformer", "vae"}) {
    write(folder / name / "config.json", R"({"_class_name":"X"})");
    write(folder / name / "diffusion_pytorch_model.safetensors", "x");
  }
  write(folder / "text_encoder/config.json", R"({"model_type":"t5"})");
  write(folder / "text_encoder/model.safetensors", "x");
}

void expect_refused(const fs::path& path, ErrorKind kind, const Matcher<std::string>& message) {
  try {
    ModelFolder::open(path);
    ADD_FAILURE() << path << " was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(std::string(error.what()), message);
  }
}

TEST(ModelFolder, ReadsComponentsAndTheirConfigs) {
  const TemporaryFolder folder;
  write_model(folder.path());
  const auto model = ModelFolder::open(folder.path());
  EXPECT_EQ(model.pipeline_class(), "CogVideoXPipeline");
  EXPECT_EQ(model.components().size(), 5u);
  EXPECT_EQ(model.component("transformer").class_name, "CogVideoXTransformer3DModel");
  EXPECT_EQ(model.component("tokenizer").library, "transformers");
  EXPECT_FALSE(model.has("image_encoder"));
  EXPECT_EQ(model.folder("vae"), folder / "vae");
  EXPECT_EQ(model.config_text("scheduler"), R"({"_class_name":"CogVideoXDDIMScheduler"})");
  EXPECT_EQ(model.config_text("text_encoder"), R"({"model_type":"t5"})");
}

TEST(ModelFolder, AComponentThatIsAskedForAndAbsentIsNamed) {
  const TemporaryFolder folder;
  write_model(folder.path());
  try {
    ModelFolder::open(folder.path()).component("image_encoder");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.what()), AllOf(HasSubstr("image_encoder"), HasSubstr("scheduler, text_encoder")));
  }
}

TEST(WrongModelFolder, OtherKindsOfCheckpointAreRecognised) {
  const TemporaryFolder folder;
  write(folder / "comfy/wan.safetensors", "x");
  write(folder / "gguf/model.gguf", "x");
  write(folder / "old/model.ckpt", "x");
  expect_refused(folder / "comfy/wan.safetensors", ErrorKind::Unsupported,
                 AllOf(HasSubstr("ComfyUI"), HasSubstr("diffusers version")));
  expect_refused(folder / "comfy", ErrorKind::Unsupported, HasSubstr("wan.safetensors"));
  expect_refused(folder / "gguf", ErrorKind::Unsupported, HasSubstr("GGUF"));
  expect_refused(folder / "old", ErrorKind::Unsupported, HasSubstr("pickle"));
}

TEST(WrongModelFolder, OneComponentAlonePointsToTheFolderAbove) {
  const TemporaryFolder folder;
  write_model(folder.path());
  fs::remove(folder / "transformer/config.json");
  write(folder / "transformer/config.json", R"({"_class_name":"CogVideoXTransformer3DModel"})");
  expect_refused(folder / "transformer", ErrorKind::NotFound,
                 AllOf(HasSubstr("CogVideoXTransformer3DModel"), HasSubstr("folder above")));
  expect_refused(folder / "text_encoder", ErrorKind::NotFound, HasSubstr("t5"));
  expect_refused(folder / "scheduler", ErrorKind::NotFound, HasSubstr("one component alone"));
}

TEST(WrongModelFolder, FoldersAroundTheModelPointInside) {
  const TemporaryFolder folder;
  write_model(folder / "hub/models--x/snapshots/0123");
  expect_refused(folder / "hub/models--x", ErrorKind::NotFound, HasSubstr("snapshots/0123"));
  expect_refused(folder / "hub/models--x/snapshots", ErrorKind::NotFound, HasSubstr("snapshots/0123"));
  expect_refused(folder / "hub/models--x/snapshots/0123/model_index.json", ErrorKind::InvalidArgument,
                 HasSubstr("give the folder"));
}

TEST(WrongModelFolder, MissingPathsAndFilesAreNamed) {
  const TemporaryFolder folder;
  expect_refused(folder / "none", ErrorKind::NotFound, HasSubstr("no model at"));
  expect_refused(folder.path(), ErrorKind::NotFound, HasSubstr("no model_index.json"));
  for (const char* part :
       {"vae", "scheduler", "tokenizer", "text_encoder/config.json", "transformer/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json", "tokenizer/spiece.model"}) {
    const TemporaryFolder model;
    write_model(model.path());
    fs::remove_all(model / part);
    expect_refused(model.path(), ErrorKind::NotFound,
                   AllOf(HasSubstr(fs::path(part).begin()->string()), HasSubstr("fetch it again")));
  }
}

TEST(WrongModelFolder, GitLfsPointersAndPicklesAreRefusedWithAdvice) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
  for (const char* part :
       {"vae/diffusion_pytorch_model.safetensors", "tokenizer/spiece.model", "transformer/config.json", "model_index.json"}) {
    const TemporaryFolder model;
    write_model(model.path());
    write(model / part, pointer);
    expect_refused(model.path(), ErrorKind::Corrupt, AllOf(HasSubstr("git lfs pull"), HasSubstr(part)));
  }
  const TemporaryFolder model;
  write_model(model.path());
  fs::rename(model / "vae/diffusion_pytorch_model.safetensors", model / "vae/diffusion_pytorch_model.bin");
  expect_refused(model.path(), ErrorKind::Unsupported, HasSubstr("pickle"));
}

TEST(WrongModelFolder, IndicesThatDoNotHoldTogetherAreCorrupt) {
  for (const char* index : {"", "[]", "{}", R"({"_class_name":7})", R"({"_class_name":"X","../evil":["diffusers","Y"]})",
                            R"({"_class_name":"X","..":["diffusers","Y"]})", R"({"_class_name":"X","_class_name":"Y"})"}) {
    const TemporaryFolder model;
    write_model(model.path());
    write(model / "model_index.json", index);
    expect_refused(model.path(), ErrorKind::Corrupt, HasSubstr("model_index.json"));
  }
}

}  // namespace
}  // namespace ditscope
