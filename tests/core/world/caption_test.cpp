#include "core/training/world/caption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

namespace ditscope::world {
namespace {

std::vector<Scene> scenes(std::uint64_t seed, int count, Split split = Split::Training) {
  SceneRandom random(seed);
  std::vector<Scene> drawn;
  for (int index = 0; index < count; ++index) drawn.push_back(sample_scene(random, {split, 0.3F}));
  return drawn;
}

/// Expects each of `values` values within a share of the mean count.
void expect_even(const std::map<int, int>& counts, int values, double tolerance, const char* what) {
  ASSERT_EQ(static_cast<int>(counts.size()), values) << what;
  double total = 0;
  for (const auto& [value, count] : counts) total += count;
  for (const auto& [value, count] : counts) EXPECT_NEAR(count / (total / values), 1, tolerance) << what << " " << value;
}

TEST(Caption, EveryValueOfAnAttributeIsEquallyFrequentInTraining) {
  std::map<int, int> shapes, colours, sizes, materials, motions, floors, backdrops;
  for (const Scene& scene : scenes(1, 20000)) {
    ++shapes[static_cast<int>(scene.objects[0].shape)];
    ++colours[static_cast<int>(scene.objects[0].colour)];
    ++sizes[static_cast<int>(scene.objects[0].size)];
    ++materials[static_cast<int>(scene.objects[0].material)];
    ++motions[static_cast<int>(scene.motion)];
    ++floors[static_cast<int>(scene.floor)];
    ++backdrops[static_cast<int>(scene.backdrop)];
  }
  expect_even(shapes, 6, 0.1, "shape");
  expect_even(colours, 8, 0.1, "colour");
  expect_even(sizes, 2, 0.05, "size");
  expect_even(materials, 3, 0.05, "material");
  expect_even(motions, 9, 0.12, "motion");
  expect_even(floors, 3, 0.05, "floor");
  expect_even(backdrops, 6, 0.1, "backdrop");
}

TEST(Caption, AboutThreeScenesOfTenHaveTwoObjects) {
  int two = 0;
  for (const Scene& scene : scenes(2, 5000)) two += scene.object_count == 2 ? 1 : 0;
  EXPECT_NEAR(two / 5000.0, 0.3, 0.04);
}

TEST(Caption, TheTwoObjectsOfASceneDifferInColour) {
  for (const Scene& scene : scenes(3, 3000)) {
    ASSERT_TRUE(scene.object_count == 1 || scene.objects[0].colour != scene.objects[1].colour) << caption(scene);
  }
}

TEST(Caption, OnlyShapesThatShowASpinSpin) {
  for (const Scene& scene : scenes(4, 3000, Split::Any)) {
    if (scene.motion != Motion::Spins) continue;
    EXPECT_THAT(scene.objects[0].shape, testing::AnyOf(Shape::Cube, Shape::Torus, Shape::Diamond));
  }
}

TEST(Caption, HeldOutCombinationsAreNeverTrainedOnAndAlwaysEvaluated) {
  for (const Scene& scene : scenes(5, 5000)) ASSERT_FALSE(is_held_out(scene)) << caption(scene);
  for (const Scene& scene : scenes(5, 500, Split::HeldOut)) ASSERT_TRUE(is_held_out(scene)) << caption(scene);
}

TEST(Caption, NoShapeColourOrMotionIsHeldOutWithMoreThanOneValueOfTheThird) {
  int held_out = 0;
  for (int shape = 0; shape < 6; ++shape) {
    for (int colour = 0; colour < 8; ++colour) {
      int motions = 0;
      for (int motion = 0; motion < 9; ++motion) {
        motions += is_held_out(static_cast<Shape>(shape), static_cast<Colour>(colour), static_cast<Motion>(motion)) ? 1 : 0;
      }
      EXPECT_LE(motions, 1);
      held_out += motions;
    }
  }
  EXPECT_NEAR(held_out / (6.0 * 8 * 9), 1.0 / 11, 0.02);
}

TEST(Caption, ReadingACaptionGivesItsAttributesBack) {
  for (const Scene& scene : scenes(6, 2000, Split::Any)) {
    const auto read = parse_caption(caption(scene));
    ASSERT_TRUE(read) << caption(scene);
    ASSERT_EQ(read->object_count, scene.object_count) << caption(scene);
    for (int index = 0; index < scene.object_count; ++index) {
      EXPECT_EQ(read->objects[index].shape, scene.objects[index].shape) << caption(scene);
      EXPECT_EQ(read->objects[index].colour, scene.objects[index].colour) << caption(scene);
      EXPECT_EQ(read->objects[index].size, scene.objects[index].size) << caption(scene);
      EXPECT_EQ(read->objects[index].material, scene.objects[index].material) << caption(scene);
    }
    EXPECT_EQ(read->motion, scene.motion) << caption(scene);
    EXPECT_EQ(read->camera, scene.camera) << caption(scene);
    EXPECT_EQ(read->floor, scene.floor) << caption(scene);
    EXPECT_EQ(read->backdrop, scene.backdrop) << caption(scene);
  }
}

TEST(Caption, WordsThatAreMissingKeepTheirDefaults) {
  const auto read = parse_caption("Red SPHERE");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->objects[0].size, Size::Large);
  EXPECT_EQ(read->motion, Motion::StaysStill);
  EXPECT_EQ(read->camera, CameraMove::Still);
}

TEST(Caption, TextWithoutAColouredShapeOrWithThreeIsNoScene) {
  EXPECT_FALSE(parse_caption(""));
  EXPECT_FALSE(parse_caption("a sphere bounces"));
  EXPECT_FALSE(parse_caption("a red dog on the beach"));
  EXPECT_FALSE(parse_caption("\xff\xfe\x80"));
  EXPECT_FALSE(parse_caption("a red cube and a blue cube and a green cube stay still"));
}

TEST(Caption, StaysBelow32TokensWithCommasCounted) {
  for (const Scene& scene : scenes(7, 3000, Split::Any)) {
    const std::string text = caption(scene);
    std::istringstream words(text);
    int tokens = 1;  // the end token
    for (std::string word; words >> word;) tokens += word.back() == ',' ? 2 : 1;
    EXPECT_LT(tokens, 32) << text;
  }
}

TEST(Caption, TheVocabularyHasEveryWordOfEveryCaption) {
  for (const Scene& scene : scenes(8, 3000, Split::Any)) EXPECT_THAT(unknown_words(caption(scene)), testing::IsEmpty());
}

TEST(Caption, UnknownWordsAreNamedOnceAndInOrder) {
  EXPECT_THAT(unknown_words("A red dog, a blue cat and a red DOG orbit"), testing::ElementsAre("dog", "cat"));
}

TEST(Caption, ExamplePromptsAreKnownScenesOutsideTheHeldOutOnes) {
  const auto prompts = example_prompts();
  EXPECT_EQ(prompts.front(), "a large glossy red sphere bounces on a checkered floor, slate backdrop");
  for (const std::string& prompt : prompts) {
    EXPECT_THAT(unknown_words(prompt), testing::IsEmpty()) << prompt;
    const auto scene = parse_caption(prompt);
    ASSERT_TRUE(scene) << prompt;
    EXPECT_FALSE(is_held_out(*scene)) << prompt;
    EXPECT_EQ(caption(*scene), prompt);
  }
}

TEST(Caption, ASeedDrawsTheSameNumbersOnEveryMachine) {
  SceneRandom random(42);
  EXPECT_EQ(random.next(), 0xBDD732262FEB6E95ULL);  // SplitMix64's published sequence for seed 42
  EXPECT_EQ(random.next(), 0x28EFE333B266F103ULL);
}

}  // namespace
}  // namespace ditscope::world
