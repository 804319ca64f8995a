#include "core/training/world/renderer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/training/world/segment.h"
#include "kernels/error.h"

namespace ditscope::world {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes rendered(const Scene& scene, int width, int height, int frames) {
  Bytes pixels(static_cast<std::size_t>(width) * height * frames * 3);
  render(scene, width, height, frames, pixels.data());
  return pixels;
}

Scene scene_of(const std::string& text) {
  const auto scene = parse_caption(text);
  EXPECT_TRUE(scene) << text;
  return scene.value_or(Scene{});
}

Frames to_frames(const Bytes& pixels, int width, int height, int count) {
  Frames frames{count, height, width, 8.0, std::vector<float>(pixels.size())};
  std::transform(pixels.begin(), pixels.end(), frames.rgb.begin(),
                 [](std::uint8_t value) { return static_cast<float>(value) / 255.0F; });
  return frames;
}

float brightness(const Bytes& pixels, int width, int x, int y) {
  const std::uint8_t* rgb = pixels.data() + 3 * (static_cast<std::size_t>(y) * width + x);
  return static_cast<float>(rgb[0] + rgb[1] + rgb[2]) / 3;
}

TEST(Renderer, TheSameSceneGivesTheSamePixels) {
  SceneRandom random(3);
  for (int index = 0; index < 4; ++index) {
    const Scene scene = sample_scene(random);
    EXPECT_EQ(rendered(scene, 64, 48, 3), rendered(scene, 64, 48, 3));
  }
}

TEST(Renderer, AMomentIsTheFrameOfItsClip) {
  for (const char* text : {"a large glossy red sphere bounces", "a small matte blue cube stays still, camera pans left"}) {
    const Scene scene = scene_of(text);
    const Bytes clip = rendered(scene, 48, 48, 5);
    Bytes frame(48 * 48 * 3);
    render_frame(scene, 0.75F, 48, 48, frame.data());
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), clip.begin() + 3 * static_cast<std::ptrdiff_t>(frame.size()))) << text;
  }
}

TEST(Renderer, NumbersThatTheCaptionDoesNotSayChangeThePicture) {
  SceneRandom random(4);
  Scene scene = sample_scene(random);
  const Bytes before = rendered(scene, 48, 48, 1);
  scene.spot = -scene.spot;
  EXPECT_NE(before, rendered(scene, 48, 48, 1));
}

TEST(Renderer, AnySizeFromOnePixelOnIsDrawn) {
  const Scene scene = scene_of("a large metallic yellow torus spins");
  for (auto [width, height] : {std::pair{1, 1}, {1, 9}, {96, 40}, {40, 96}}) {
    const Bytes pixels = rendered(scene, width, height, 2);
    EXPECT_GT(*std::max_element(pixels.begin(), pixels.end()), 0);
  }
}

TEST(Renderer, EmptyClipsAreRefused) {
  std::uint8_t byte = 0;
  const Scene scene;
  EXPECT_THROW(render(scene, 0, 8, 1, &byte), Error);
  EXPECT_THROW(render(scene, 8, 8, 0, &byte), Error);
  EXPECT_THROW(render_frame(scene, 0, 8, -1, &byte), Error);
}

TEST(Renderer, ObjectsThatStandStillAreAtLeast24PixelsLongAt128) {
  SceneRandom random(5);
  int seen = 0;
  while (seen < 25) {
    Scene scene = sample_scene(random, {Split::Any, 0});
    scene.objects[0].size = Size::Small;
    scene.motion = Motion::StaysStill;
    const Frames frames = to_frames(rendered(scene, 128, 128, 1), 128, 128, 1);
    const auto pictures = judging_pictures(frames);
    const auto patches = patches_of(coloured_pixels(pictures[0], saturation_threshold(pictures)), pictures[0], 100);
    ASSERT_FALSE(patches.empty()) << caption(scene);
    EXPECT_GE(std::max(patches[0].right - patches[0].left, patches[0].bottom - patches[0].top) + 1, 24) << caption(scene);
    ++seen;
  }
}

TEST(Renderer, AnObjectThrowsItsShadowToTheRightOnly) {
  const Scene scene = scene_of("a large matte blue sphere stays still, plain floor, sand backdrop");
  const Bytes pixels = rendered(scene, 128, 128, 1);
  const int row = 92;  // of the floor beside the sphere's foot
  EXPECT_LT(brightness(pixels, 128, 64 + 24, row), 0.8F * brightness(pixels, 128, 64 - 24, row));
}

TEST(Renderer, AFlyingObjectLosesItsContactShadow) {
  const Scene scene = scene_of("a large matte blue sphere moves up, plain floor, sand backdrop");
  const Bytes clip = rendered(scene, 128, 128, 2);
  const Bytes first(clip.begin(), clip.begin() + 128 * 128 * 3), last(clip.begin() + 128 * 128 * 3, clip.end());
  const int row = 95, column = 66;  // the floor just before the sphere's foot
  EXPECT_GT(brightness(last, 128, column, row), brightness(first, 128, column, row) + 15);
}

TEST(Renderer, OutlinesAreSmoothedBetweenObjectAndBackground) {
  const Scene scene = scene_of("a large matte red sphere stays still, plain floor, charcoal backdrop");
  const Bytes pixels = rendered(scene, 128, 128, 1);
  // Along the row through the sphere's upper half: from charcoal through mixed pixels to red.
  int mixed = 0, red = 0;
  for (int y = 40; y < 60; ++y) {
    for (int x = 0; x < 64; ++x) {
      const std::uint8_t* rgb = pixels.data() + 3 * (y * 128 + x);
      const int excess = rgb[0] - rgb[2];
      red += excess > 120 ? 1 : 0;
      mixed += excess > 25 && excess < 110 ? 1 : 0;
    }
  }
  EXPECT_GT(red, 200);
  EXPECT_GE(mixed, 12);
  EXPECT_LE(mixed, 60);
}

TEST(Renderer, OnlyAGlossyObjectHasAWhiteHighlight) {
  for (const char* material : {"matte", "glossy"}) {
    const Bytes pixels =
        rendered(scene_of(std::string("a large ") + material + " blue sphere, plain floor, charcoal backdrop"), 128, 128, 1);
    int white = 0;
    for (std::size_t at = 0; at < pixels.size(); at += 3)
      white += pixels[at] > 235 && pixels[at + 1] > 235 && pixels[at + 2] > 235 ? 1 : 0;
    if (material == std::string("matte")) {
      EXPECT_EQ(white, 0);
    } else {
      EXPECT_GT(white, 20);
    }
  }
}

}  // namespace
}  // namespace ditscope::world
