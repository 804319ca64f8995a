#include "core/training/world/renderer.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/training/world/set.h"
#include "core/training/world/solids.h"
#include "core/training/world/stage.h"
#include "kernels/error.h"

namespace ditscope::world {
namespace {

const Vec3 kToLight = normalised({-0.45F, 0.85F, 0.38F});
constexpr float kLightSpread = 0.13F;

/// Linear light 0..2 to an sRGB byte, with a soft shoulder so that highlights do not clip to flat patches.
class ToneTable {
 public:
  ToneTable() {
    for (int index = 0; index < kSteps; ++index) {
      float v = 2.0F * static_cast<float>(index) / (kSteps - 1);
      if (v > 0.7F) v = 0.7F + 0.3F * (1 - std::exp((0.7F - v) / 0.3F));
      const float encoded = v < 0.0031308F ? 12.92F * v : 1.055F * std::pow(v, 1 / 2.4F) - 0.055F;
      bytes_[index] = static_cast<std::uint8_t>(std::lround(255 * encoded));
    }
  }
  std::uint8_t operator()(float linear) const { return bytes_[static_cast<int>(clamp01(linear * 0.5F) * (kSteps - 1) + 0.5F)]; }

 private:
  static constexpr int kSteps = 8192;
  std::array<std::uint8_t, kSteps> bytes_;
};

/// An object at one moment, with the turn between world and unit space.
struct Solid {
  SceneObject look;
  Vec3 albedo;
  Pose pose;
  float cosine = 1, sine = 0, tilt_cosine = 1, tilt_sine = 0;
  float reach = 1;  // radius of the bounding sphere, unit space

  Vec3 turned_in(Vec3 v) const {
    const Vec3 w{cosine * v.x - sine * v.z, v.y, sine * v.x + cosine * v.z};
    return {w.x, tilt_cosine * w.y + tilt_sine * w.z, tilt_cosine * w.z - tilt_sine * w.y};
  }
  Vec3 turned_out(Vec3 v) const {
    const Vec3 w{v.x, tilt_cosine * v.y - tilt_sine * v.z, tilt_cosine * v.z + tilt_sine * v.y};
    return {cosine * w.x + sine * w.z, w.y, cosine * w.z - sine * w.x};
  }
  Vec3 point_in(Vec3 p) const { return turned_in((p - pose.centre) * (1 / pose.radius)); }
};

Solid make_solid(const SceneObject& object, const Pose& pose) {
  Solid solid{object, albedo_of(object), pose};
  solid.cosine = std::cos(pose.yaw);
  solid.sine = std::sin(pose.yaw);
  const float tilt = object.shape == Shape::Torus ? 0.2F : 0.0F;  // a standing ring leans back a little
  solid.tilt_cosine = std::cos(tilt);
  solid.tilt_sine = std::sin(tilt);
  solid.reach = bounding_radius(object.shape);
  return solid;
}

/// Calls `work` with the shape as a compile-time constant, so that distances inline.
template <class Work>
auto with_shape(Shape shape, Work work) {
  switch (shape) {
    case Shape::Sphere:
      return work(std::integral_constant<Shape, Shape::Sphere>{});
    case Shape::Cube:
      return work(std::integral_constant<Shape, Shape::Cube>{});
    case Shape::Cylinder:
      return work(std::integral_constant<Shape, Shape::Cylinder>{});
    case Shape::Cone:
      return work(std::integral_constant<Shape, Shape::Cone>{});
    case Shape::Torus:
      return work(std::integral_constant<Shape, Shape::Torus>{});
    case Shape::Diamond:
      break;
  }
  return work(std::integral_constant<Shape, Shape::Diamond>{});
}

struct Hit {
  int object = -1;
  float distance = 1e9F;
  Vec3 normal;
};

class Picture {
 public:
  Picture(const Scene& scene, int width, int height)
      : set_(scene),
        scene_(scene),
        width_(width),
        height_(height),
        backs_(static_cast<std::size_t>(width) * height),
        hits_(backs_.size()) {}

  void draw(float moment, std::uint8_t* rgb) {
    stage_ = stage_at(scene_, moment);
    count_ = scene_.object_count;
    for (int index = 0; index < count_; ++index) solids_[index] = make_solid(scene_.objects[index], stage_.poses[index]);
    if (!has_backs_ || scene_.camera != CameraMove::Still) draw_backs();
    find_hits();
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const std::size_t at = static_cast<std::size_t>(y) * width_ + x;
        write(pixel(x, y) * backs_[at].vignette, rgb + 3 * at);
      }
    }
  }

 private:
  /// What lies behind the objects at one pixel, lit as if there were none.
  struct Back {
    Vec3 ray;  // from the camera through the pixel's centre
    Vec3 colour, floor_albedo, point;
    float vignette = 1;
    bool is_floor = false;
  };

  Vec3 direction(float x, float y) const {
    const float scale = 2.0F / static_cast<float>(std::min(width_, height_));
    return normalised(
        ray_direction(stage_, (x - 0.5F * static_cast<float>(width_)) * scale, (0.5F * static_cast<float>(height_) - y) * scale));
  }

  /// Whether floor and wall meet somewhere in a row of pixels.
  bool row_is_mixed(float y) const {
    const float right = static_cast<float>(width_);
    const bool floor = set_.ray(kCamera, direction(0, y), 0).is_floor;
    return floor != set_.ray(kCamera, direction(right, y), 0).is_floor ||
           floor != set_.ray(kCamera, direction(0, y + 1), 0).is_floor ||
           floor != set_.ray(kCamera, direction(right, y + 1), 0).is_floor;
  }

  void draw_backs() {
    const float scale = 2.0F / static_cast<float>(std::min(width_, height_));
    const float footprint = scale * kHalfTangent / stage_.zoom;
    const bool still = scene_.camera == CameraMove::Still;
    for (int y = 0; y < height_; ++y) {
      // Above and below the line where floor and wall meet, one filtered sample is enough for a moving camera.
      const bool mixed = row_is_mixed(static_cast<float>(y));
      for (int x = 0; x < width_; ++x) {
        Back& back = backs_[static_cast<std::size_t>(y) * width_ + x];
        const int samples = mixed || still ? 4 : 1;
        Vec3 colour, albedo;
        for (int sample = 0; sample < samples; ++sample) {
          const Vec3 ray =
              direction(static_cast<float>(x) + (samples == 1 ? 0.5F : 0.375F + 0.25F * static_cast<float>(sample & 1)),
                        static_cast<float>(y) + (samples == 1 ? 0.5F : 0.125F + 0.25F * static_cast<float>(sample)));
          const SetPoint point = set_.ray(kCamera, ray, footprint);
          colour = colour + point.colour;
          albedo = albedo + point.floor_albedo;
        }
        back.colour = colour * (1.0F / static_cast<float>(samples));
        back.floor_albedo = albedo * (1.0F / static_cast<float>(samples));
        back.ray = direction(static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F);
        const SetPoint centre = set_.ray(kCamera, back.ray, footprint);
        back.point = centre.point;
        back.is_floor = centre.is_floor;
        const float u = (static_cast<float>(x) + 0.5F) / static_cast<float>(width_) - 0.5F;
        const float v = (static_cast<float>(y) + 0.5F) / static_cast<float>(height_) - 0.5F;
        back.vignette = 1 - 0.45F * (u * u + v * v);
      }
    }
    has_backs_ = true;
  }

  Hit nearest(Vec3 origin, Vec3 ray) const {
    Hit hit;
    for (int index = 0; index < count_; ++index) {
      const Solid& solid = solids_[index];
      const Vec3 from = (origin - solid.pose.centre) * (1 / solid.pose.radius);
      const Span span = sphere_span(from, ray, solid.reach);
      if (span.first > span.second || span.second < 0) continue;
      with_shape(solid.look.shape, [&](auto shape) {
        const Vec3 local = solid.turned_in(from), way = solid.turned_in(ray);
        const float t = trace<shape()>(local, way, span);
        if (t < 0 || t * solid.pose.radius >= hit.distance) return;
        hit = {index, t * solid.pose.radius, solid.turned_out(normal_at<shape()>(local + way * t))};
      });
    }
    return hit;
  }

  void find_hits() {
    for (std::size_t at = 0; at < hits_.size(); ++at) hits_[at] = nearest(kCamera, backs_[at].ray);
  }

  bool differs(int x, int y, const Hit& hit) const {
    if (x < 0 || y < 0 || x >= width_ || y >= height_) return false;
    const Hit& other = hits_[static_cast<std::size_t>(y) * width_ + x];
    return other.object != hit.object || (hit.object >= 0 && dot(other.normal, hit.normal) < 0.8F);
  }

  Vec3 pixel(int x, int y) const {
    const std::size_t at = static_cast<std::size_t>(y) * width_ + x;
    const Hit& hit = hits_[at];
    const bool edge = differs(x - 1, y, hit) || differs(x + 1, y, hit) || differs(x, y - 1, hit) || differs(x, y + 1, hit);
    if (!edge) {
      if (hit.object < 0) return back_colour(x, y);
      return shaded(backs_[at].ray, hit);
    }
    const Vec3 behind = back_colour(x, y);
    Vec3 sum;
    constexpr int kSide = 3;
    for (int sample = 0; sample < kSide * kSide; ++sample) {
      const Vec3 ray = direction(static_cast<float>(x) + (0.5F + static_cast<float>(sample % kSide)) / kSide,
                                 static_cast<float>(y) + (0.5F + static_cast<float>(sample / kSide)) / kSide);
      const Hit part = nearest(kCamera, ray);
      sum = sum + (part.object < 0 ? behind : shaded(ray, part));
    }
    return sum * (1.0F / (kSide * kSide));
  }

  /// Share of the key light that reaches a point, objects but `without` in its way.
  float key_seen(Vec3 point, int without) const {
    float seen = 1;
    for (int index = 0; index < count_; ++index) {
      if (index == without) continue;
      const Solid& solid = solids_[index];
      const Vec3 from = (point - solid.pose.centre) * (1 / solid.pose.radius);
      const float along = -dot(from, kToLight);
      if (along < -solid.reach) continue;
      const float inflated = solid.reach + kLightSpread * std::max(along, 0.0F);
      const Span span = sphere_span(from, kToLight, inflated);
      if (span.first > span.second) continue;
      seen *= with_shape(solid.look.shape, [&](auto shape) {
        return light_seen<shape()>(solid.turned_in(from), solid.turned_in(kToLight), span.first, span.second, kLightSpread);
      });
    }
    return seen;
  }

  /// Share of the sky that a floor point sees past the objects near it.
  float floor_sky(Vec3 point) const {
    float seen = 1;
    for (int index = 0; index < count_; ++index) {
      const Solid& solid = solids_[index];
      const Vec3 above{point.x, point.y + 0.3F * solid.pose.radius, point.z};
      const Vec3 from = (above - solid.pose.centre) * (1 / solid.pose.radius);
      if (dot(from, from) > 4) continue;
      const float gap = with_shape(solid.look.shape, [&](auto shape) { return distance_to<shape()>(solid.turned_in(from)); });
      seen *= 0.35F + 0.65F * smooth_step(-0.3F, 0.7F, gap);
    }
    return seen;
  }

  Vec3 back_colour(int x, int y) const {
    const Back& back = backs_[static_cast<std::size_t>(y) * width_ + x];
    if (!back.is_floor) return back.colour;
    const float key = key_seen(back.point, -1), sky = floor_sky(back.point);
    Vec3 colour =
        back.colour - back.floor_albedo * (set_.floor_key() * (1 - key)) - back.floor_albedo * (set_.floor_sky() * (1 - sky));
    const Vec3 mirrored{back.ray.x, -back.ray.y, back.ray.z};
    const Hit mirror = nearest(back.point, mirrored);
    if (mirror.object >= 0) {
      const Vec3 seen = solids_[mirror.object].albedo * (0.25F + 0.5F * clamp01(dot(mirror.normal, kToLight)));
      colour = mix(colour, seen, 0.16F * std::exp(-1.1F * mirror.distance));
    }
    return colour;
  }

  /// How nearly a surface mirrors the key light to the eye: 1 where it does. Flat faces count as domed, so that a highlight does
  /// not cover the whole face; upright walls are lit as by a tall lamp at their height, which draws a streak on them.
  float highlight(const Solid& solid, Vec3 point, Vec3 normal, Vec3 ray) const {
    const Vec3 outward = (point - solid.pose.centre) * (1 / solid.pose.radius);
    Vec3 half = kToLight - ray;
    switch (solid.look.shape) {
      case Shape::Sphere:
      case Shape::Torus:
        return dot(normal, normalised(half));
      case Shape::Diamond:
        return dot(normalised(mix(normal, normalised(outward), 0.45F)), normalised(half));
      case Shape::Cube:
        normal = mix(normal, normalised(outward), 0.7F);
        break;
      case Shape::Cylinder:
      case Shape::Cone:
        break;
    }
    normal.y *= 0.3F;
    half.y *= 0.1F;
    const float streak = 1 - 1.8F * (1 - dot(normalised(normal), normalised(half)));
    // The streak ends before the rims: of the cone lower, for its narrow top.
    const float reach = solid.look.shape == Shape::Cube ? 0.58F : solid.look.shape == Shape::Cone ? 0.62F : 0.78F;
    const float end = std::fabs(outward.y + (solid.look.shape == Shape::Cone ? 0.2F : 0.0F));
    return streak - 0.1F * smooth_step(reach - 0.12F, reach + 0.05F, end);
  }

  Vec3 shaded(Vec3 ray, const Hit& hit) const {
    const Solid& solid = solids_[hit.object];
    const Vec3 point = kCamera + ray * hit.distance;
    const Vec3 normal = hit.normal;
    const bool shades_itself = solid.look.shape == Shape::Torus;
    const float facing = clamp01(dot(normal, kToLight));
    const float key = facing > 0 ? facing * key_seen(point + normal * 0.02F, shades_itself ? -1 : hit.object) : 0;
    const float down = 0.5F - 0.5F * normal.y;
    const float ground = 1 - 0.75F * down * std::exp(-point.y / (0.5F * solid.pose.radius));
    const Vec3 light = Vec3{1, 0.97F, 0.93F} * (1.0F * key) + set_.sky() * ((1 - 0.55F * down) * 0.42F * ground) +
                       set_.floor_tone() * (0.24F * down * ground);
    const float lobe = highlight(solid, point, normal, ray);
    const float seen = facing > 0 ? key / facing : 0;
    const float view = clamp01(-dot(normal, ray));
    const float grazing = (1 - view) * (1 - view) * (1 - view) * (1 - view) * (1 - view);
    switch (solid.look.material) {
      case Material::Matte:
        return solid.albedo * light;
      case Material::Glossy: {
        const Vec3 mirror = set_.around(point, reflected(ray, normal), 0.02F);
        const float strength = 0.05F + 0.28F * grazing;
        const float shine = seen * (1.1F * smooth_step(0.968F, 0.995F, lobe) + 0.07F * smooth_step(0.75F, 1, lobe));
        return solid.albedo * light * (1 - strength) + mirror * strength + Vec3{1, 1, 1} * shine;
      }
      case Material::Metallic:
        break;
    }
    const Vec3 mirror = set_.around(point, reflected(ray, normal), 0.12F) * 1.15F;
    const float grey = (mirror.x + mirror.y + mirror.z) / 3;
    const Vec3 tint = mix(solid.albedo, {1, 1, 1}, 0.03F + 0.4F * grazing);
    const float shine = seen * (0.9F * smooth_step(0.955F, 0.998F, lobe) + 0.16F * smooth_step(0.6F, 1, lobe));
    return tint * mix(mirror, {grey, grey, grey}, 0.7F) * ground + solid.albedo * light * 0.3F +
           mix(solid.albedo, {1, 1, 1}, 0.2F) * shine;
  }

  void write(Vec3 colour, std::uint8_t* rgb) const {
    static const ToneTable tone;
    rgb[0] = tone(colour.x);
    rgb[1] = tone(colour.y);
    rgb[2] = tone(colour.z);
  }

  Set set_;
  const Scene& scene_;
  int width_, height_;
  Stage stage_;
  int count_ = 0;
  std::array<Solid, 2> solids_;
  std::vector<Back> backs_;
  bool has_backs_ = false;
  std::vector<Hit> hits_;
};

void check(int width, int height, int frames) {
  if (width >= 1 && height >= 1 && frames >= 1) return;
  throw Error{ErrorKind::InvalidArgument, "expected a width, height and frame count of at least 1, got " + std::to_string(width) +
                                              " x " + std::to_string(height) + " x " + std::to_string(frames) +
                                              "; ask for a larger clip"};
}

}  // namespace

void render(const Scene& scene, int width, int height, int frames, std::uint8_t* rgb) {
  check(width, height, frames);
  Picture picture(scene, width, height);
  const std::size_t frame_bytes = static_cast<std::size_t>(width) * height * 3;
  for (int frame = 0; frame < frames; ++frame) {
    picture.draw(frames == 1 ? 0.0F : static_cast<float>(frame) / static_cast<float>(frames - 1), rgb + frame_bytes * frame);
  }
}

void render_frame(const Scene& scene, float moment, int width, int height, std::uint8_t* rgb) {
  check(width, height, 1);
  Picture(scene, width, height).draw(moment, rgb);
}

}  // namespace ditscope::world
