#include "core/training/world/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/training/world/renderer.h"
#include "kernels/error.h"

namespace ditscope::world {
namespace {

constexpr int kClipFrames = 33, kScenes = 104;

Frames clip_of(const Scene& scene, int side, int count = kClipFrames) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(side) * side * count * 3);
  render(scene, side, side, count, pixels.data());
  Frames frames{count, side, side, 8.0, std::vector<float>(pixels.size())};
  std::transform(pixels.begin(), pixels.end(), frames.rgb.begin(),
                 [](std::uint8_t value) { return static_cast<float>(value) / 255.0F; });
  return frames;
}

/// Gaussian blur of one pixel's width along rows or columns.
void blur(Frames& frames, int step_x, int step_y) {
  constexpr float kWeights[] = {0.0545F, 0.2442F, 0.4026F, 0.2442F, 0.0545F};
  const std::vector<float> source = frames.rgb;
  for (int frame = 0; frame < frames.count; ++frame) {
    const float* from = source.data() + frames.frame_size() * frame;
    float* to = frames.frame(frame);
    for (int y = 0; y < frames.height; ++y) {
      for (int x = 0; x < frames.width; ++x) {
        float sum[3] = {};
        for (int tap = -2; tap <= 2; ++tap) {
          const int near_x = std::clamp(x + tap * step_x, 0, frames.width - 1),
                    near_y = std::clamp(y + tap * step_y, 0, frames.height - 1);
          for (int channel = 0; channel < 3; ++channel) {
            sum[channel] += kWeights[tap + 2] * from[3 * (near_y * frames.width + near_x) + channel];
          }
        }
        std::copy(sum, sum + 3, to + 3 * (y * frames.width + x));
      }
    }
  }
}

/// What a decoder of a small model does to a clip: blur with sigma 1 and noise of two hundredths.
Frames softened(Frames frames, SceneRandom& random) {
  blur(frames, 1, 0);
  blur(frames, 0, 1);
  for (float& value : frames.rgb) value = std::clamp(value + 0.035F * random.uniform(-1, 1), 0.0F, 1.0F);
  return frames;
}

struct Judged {
  std::vector<Scene> scenes;
  std::vector<Judgement> clean, soft;  // soft: of every other frame, of the first scenes
};

/// Held-out scenes rendered and judged once for all tests.
const Judged& judged() {
  static const Judged all = [] {
    Judged result;
    SceneRandom random(2024), noise(1);
    for (int index = 0; index < kScenes; ++index) {
      result.scenes.push_back(sample_scene(random, {Split::HeldOut, 0.3F}));
      result.clean.push_back(judge(clip_of(result.scenes.back(), 128)));
      if (index < 50) result.soft.push_back(judge(softened(clip_of(result.scenes.back(), 128, 17), noise)));
    }
    return result;
  }();
  return all;
}

/// Mean score of an attribute; the judgement of scene i is compared with the caption of scene i + shift.
double mean_score(std::string_view attribute, const std::vector<Judgement>& judgements, int shift = 0) {
  const std::vector<Scene>& scenes = judged().scenes;
  double sum = 0;
  for (std::size_t index = 0; index < judgements.size(); ++index) {
    sum += compare(scenes[(index + static_cast<std::size_t>(shift)) % scenes.size()], judgements[index]).of(attribute);
  }
  return sum / static_cast<double>(judgements.size());
}

class JudgedAttribute : public testing::TestWithParam<std::string_view> {};

TEST_P(JudgedAttribute, IsReadFromHeldOutRenders) {
  EXPECT_GE(mean_score(GetParam(), judged().clean), GetParam() == "material" ? 0.9 : 0.95);
}

TEST_P(JudgedAttribute, IsReadFromBlurredAndNoisyRenders) {
  // A blurred highlight of a few pixels is gone, and with it what tells a small glossy object from a metallic one.
  EXPECT_GE(mean_score(GetParam(), judged().soft), GetParam() == "material" ? 0.7 : 0.9);
}

TEST_P(JudgedAttribute, IsNearChanceOnShuffledCaptions) {
  // Chance is one over the number of values; scenes of one object are 70 %, cameras mostly stay still.
  const std::map<std::string_view, double> most{{"count", 0.75}, {"colour", 0.25},  {"shape", 0.3},
                                                {"size", 0.5},   {"material", 0.5}, {"motion", 0.25},
                                                {"camera", 0.9}, {"floor", 0.45},   {"backdrop", 0.28}};
  double sum = 0;
  for (int shift : {7, 19, 31, 53}) sum += mean_score(GetParam(), judged().clean, shift);
  EXPECT_LE(sum / 4, most.at(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Judge, JudgedAttribute, testing::ValuesIn(kScoredAttributes),
                         [](const auto& info) { return std::string(info.param); });

TEST(Judge, ReadsLargerFramesAsItReadsSmallOnes) {
  SceneRandom random(77);
  double sum = 0;
  for (int index = 0; index < 8; ++index) {
    const Scene scene = sample_scene(random, {Split::Any, 0.3F});
    sum += compare(scene, judge(clip_of(scene, 256, 17))).mean();
  }
  EXPECT_GE(sum / 8, 0.95);
}

TEST(Judge, FindsNoObjectOnAnEmptyStageOrInNoise) {
  Frames grey{9, 64, 64, 8.0, std::vector<float>(9 * 64 * 64 * 3, 0.5F)};
  EXPECT_TRUE(judge(grey).objects.empty());
  SceneRandom random(5);
  for (float& value : grey.rgb) value = 0.5F + 0.1F * random.uniform(-1, 1);
  EXPECT_TRUE(judge(grey).objects.empty());
}

TEST(Judge, ReadsASingleFrame) {
  const auto scene = parse_caption("a large glossy red sphere stays still on a checkered floor, slate backdrop");
  const Judgement judgement = judge(clip_of(*scene, 128, 1));
  EXPECT_EQ(compare(*scene, judgement).mean(), 1);
}

TEST(Judge, RefusesClipsWithoutPixels) {
  EXPECT_THROW(judge(Frames{}), Error);
  EXPECT_THROW(judge(Frames{1, 8, 8, 8.0, std::vector<float>(192)}), Error);
}

TEST(Score, IsOneWhereAllIsAsAskedAndTheOrderOfObjectsDoesNotMatter) {
  const auto scene = parse_caption("a small matte red cube and a large glossy blue cone orbit on a wooden floor, mint backdrop");
  Judgement judgement;
  judgement.objects = {{Shape::Cone, Colour::Blue, Material::Glossy, 0.8F}, {Shape::Cube, Colour::Red, Material::Matte, 0.5F}};
  judgement.motion = Motion::Orbits;
  judgement.floor = Floor::Wooden;
  judgement.backdrop = Backdrop::Mint;
  EXPECT_EQ(compare(*scene, judgement).mean(), 1);
  std::swap(judgement.objects[0].radius, judgement.objects[1].radius);
  EXPECT_EQ(compare(*scene, judgement).of("size"), 0);
}

TEST(Score, CountsAMissingObjectAsHalfWrong) {
  const auto scene = parse_caption("a small matte red cube and a large glossy blue cone stay still");
  Judgement judgement;
  judgement.objects = {{Shape::Cube, Colour::Red, Material::Matte, 0.5F}};
  const Score score = compare(*scene, judgement);
  EXPECT_EQ(score.of("count"), 0);
  EXPECT_EQ(score.of("colour"), 0.5F);
  EXPECT_EQ(score.of("shape"), 0.5F);
  EXPECT_EQ(score.of("size"), 0);
  EXPECT_THROW(score.of("taste"), Error);
}

}  // namespace
}  // namespace ditscope::world
