#include "core/training/world/set.h"

#include <array>
#include <cmath>
#include <cstdint>

#include "core/training/world/stage.h"

namespace ditscope::world {
namespace {

constexpr float kTile = 0.9F;    // side of a checker tile
constexpr float kPlank = 0.62F;  // width of a plank

float linear(float encoded) {
  return encoded <= 0.04045F ? encoded / 12.92F : std::pow((encoded + 0.055F) / 1.055F, 2.4F);
}

Vec3 from_bytes(float red, float green, float blue) {
  return {linear(red / 255), linear(green / 255), linear(blue / 255)};
}

Vec3 from_hsv(float hue, float saturation, float value) {
  const auto channel = [&](float offset) {
    const float k = std::fmod(offset + hue / 60 + 6, 6.0F);
    return linear(value * (1 - saturation * clamp01(std::fmin(k, 4 - k))));
  };
  return {channel(5), channel(3), channel(1)};
}

Vec3 backdrop_colour(Backdrop backdrop) {
  switch (backdrop) {
    case Backdrop::Slate:
      return from_bytes(134, 160, 179);
    case Backdrop::Sky:
      return from_bytes(144, 201, 248);
    case Backdrop::Sand:
      return from_bytes(230, 203, 150);
    case Backdrop::Mint:
      return from_bytes(156, 226, 186);
    case Backdrop::Lilac:
      return from_bytes(198, 168, 236);
    case Backdrop::Charcoal:
      break;
  }
  return from_bytes(78, 78, 82);
}

/// Mean of a square wave (period 2, +1 then -1) over a window: the integral is a triangle wave.
float filtered_square(float at, float width) {
  const auto integral = [](float x) {
    const float part = x - 2 * std::floor(0.5F * x);
    return part < 1 ? part : 2 - part;
  };
  if (width > 4) return 0;
  if (width < 1e-4F) width = 1e-4F;
  return (integral(at + 0.5F * width) - integral(at - 0.5F * width)) / width;
}

float plank_tone(int index) {
  const std::uint32_t mixed = static_cast<std::uint32_t>(index + 1000) * 2654435761U;
  return 0.78F + 0.44F * static_cast<float>(mixed >> 24) / 255.0F;
}

}  // namespace

Vec3 albedo_of(const SceneObject& object) {
  struct Hsv {
    float hue, saturation, value;
  };
  constexpr std::array<Hsv, 8> kColours{{{359, 0.89F, 0.87F},
                                         {28, 0.95F, 0.98F},
                                         {53, 0.91F, 0.97F},
                                         {138, 0.82F, 0.66F},
                                         {184, 0.92F, 0.80F},
                                         {224, 0.87F, 0.88F},
                                         {275, 0.78F, 0.80F},
                                         {328, 0.72F, 0.98F}}};
  const Hsv& colour = kColours[static_cast<std::size_t>(object.colour)];
  return from_hsv(colour.hue + object.hue_shift, colour.saturation, std::fmin(1.0F, colour.value * object.brightness));
}

Set::Set(const Scene& scene)
    : floor_(scene.floor),
      backdrop_(backdrop_colour(scene.backdrop)),
      spot_x_(-0.7F + 1.2F * scene.spot),
      shift_x_(scene.floor_shift[0]),
      shift_z_(scene.floor_shift[1]) {
  sky_ = mix({1, 1, 1}, backdrop_ * (1.6F / (backdrop_.x + backdrop_.y + backdrop_.z + 0.6F)), 0.2F);
  floor_tone_ = floor_pattern(0, 0, 100, 100);
}

Vec3 Set::floor_pattern(float x, float z, float width_x, float width_z) const {
  static const Vec3 kIvory = from_bytes(212, 202, 190), kGrey = from_bytes(122, 119, 120), kPlain = from_bytes(172, 166, 160);
  static const Vec3 kWood = from_bytes(152, 124, 96);
  if (floor_ == Floor::Plain) return kPlain;
  if (floor_ == Floor::Checkered) {
    const float wave =
        filtered_square(x / kTile + shift_x_, width_x / kTile) * filtered_square(z / kTile + shift_z_, width_z / kTile);
    return mix(kGrey, kIvory, 0.5F + 0.5F * wave);
  }
  if (width_x > kPlank) return kWood;
  const float across = x / kPlank + shift_x_;
  const int index = static_cast<int>(std::floor(across));
  const float part = across - static_cast<float>(index);
  // The neighbour's tone blends in over the pixel's width; a dark joint lies between.
  const float width = std::fmax(width_x / kPlank, 0.002F);
  const float from_edge = std::fmin(part, 1 - part);
  const float other = plank_tone(part < 0.5F ? index - 1 : index + 1);
  const float own = clamp01(0.5F + from_edge / width);
  const float tone = plank_tone(index) * own + other * (1 - own);
  constexpr float kJoint = 0.035F;
  const float joint = clamp01((kJoint + 0.5F * width - from_edge) / width) * std::fmin(1.0F, 2 * kJoint / width);
  const float grain = 1 + 0.05F * std::sin(23 * across + 1.5F * std::sin(1.3F * z + static_cast<float>(index) * 2.1F));
  return kWood * (tone * grain * (1 - 0.6F * joint));
}

Vec3 Set::wall(float x, float y) const {
  const float dx = (x - spot_x_) / 2.7F, dy = (y - 3.0F) / 2.3F;
  const float pool = 0.24F + 0.82F * std::exp(-0.5F * (dx * dx + dy * dy));
  const float mottle =
      1 + 0.025F * (std::sin(1.9F * x + 1.3F * std::sin(1.1F * y + 0.7F)) + std::sin(1.7F * y + 1.2F * std::sin(1.4F * x)));
  const float base = 1 - 0.25F * std::exp(-1.6F * y);
  return backdrop_ * (pool * mottle * base);
}

SetPoint Set::ray(Vec3 origin, Vec3 direction, float footprint) const {
  SetPoint found;
  const float to_wall = direction.z < -1e-4F ? (kWallZ - origin.z) / direction.z : 1e9F;
  const float to_floor = direction.y < -1e-4F ? -origin.y / direction.y : 1e9F;
  if (to_floor >= to_wall) {
    found.point = origin + direction * to_wall;
    found.colour = wall(found.point.x, found.point.y);
    return found;
  }
  found.is_floor = true;
  found.point = origin + direction * to_floor;
  const float x = found.point.x, z = found.point.z;
  const float width = footprint * to_floor;
  const Vec3 albedo = floor_pattern(x, z, width, width * std::fmin(8.0F, to_floor / std::fmax(origin.y, 0.05F)));
  const float pool = 0.42F + 0.6F * std::exp(-(x * x / 26 + (z - 0.6F) * (z - 0.6F) / 20));
  const float corner = 1 - 0.4F * std::exp(-1.4F * (z - kWallZ));
  found.floor_albedo = albedo * (pool * corner);
  found.colour = found.floor_albedo * (floor_key() + floor_sky());
  return found;
}

Vec3 Set::around(Vec3 point, Vec3 direction, float footprint) const {
  if (direction.z < -1e-4F || direction.y < -0.02F) {
    const SetPoint found = ray(point, direction, footprint);
    const float reach = length(found.point - point);
    if (reach < 12)
      return found.colour * (found.is_floor ? 1 - reach / 12 : 1) + backdrop_ * (found.is_floor ? 0.25F * reach / 12 : 0);
  }
  // Behind the camera: a dim room of the backdrop's colour with one large soft light up on the left.
  const Vec3 softbox = normalised({-0.5F, 0.6F, 0.62F});
  const float glow = smooth_step(0.8F, 0.97F, dot(direction, softbox));
  return backdrop_ * (0.3F + 0.25F * clamp01(direction.y)) + Vec3{1, 0.98F, 0.95F} * (0.9F * glow);
}

}  // namespace ditscope::world
