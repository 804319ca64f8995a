#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ditscope::world {

// The attributes of a scene. Every value has one word (docs/captions.md); the order is the order of the name tables below.
enum class Shape { Sphere, Cube, Cylinder, Cone, Torus, Diamond };
enum class Colour { Red, Orange, Yellow, Green, Cyan, Blue, Purple, Pink };
enum class Size { Small, Large };
enum class Material { Matte, Glossy, Metallic };
enum class Motion { StaysStill, MovesLeft, MovesRight, MovesUp, MovesDown, Bounces, Spins, Orbits, Grows };
enum class CameraMove { Still, PansLeft, PansRight, ZoomsIn };
enum class Floor { Plain, Checkered, Wooden };
enum class Backdrop { Slate, Sky, Sand, Mint, Lilac, Charcoal };

inline constexpr std::array<std::string_view, 6> kShapeNames{"sphere", "cube", "cylinder", "cone", "torus", "diamond"};
inline constexpr std::array<std::string_view, 8> kColourNames{"red",  "orange", "yellow", "green",
                                                              "cyan", "blue",   "purple", "pink"};
inline constexpr std::array<std::string_view, 2> kSizeNames{"small", "large"};
inline constexpr std::array<std::string_view, 3> kMaterialNames{"matte", "glossy", "metallic"};
inline constexpr std::array<std::string_view, 9> kMotionNames{
    "stays still", "moves left", "moves right", "moves up", "moves down", "bounces", "spins", "orbits", "grows"};
inline constexpr std::array<std::string_view, 4> kCameraNames{"still", "pans left", "pans right", "zooms in"};
inline constexpr std::array<std::string_view, 3> kFloorNames{"plain", "checkered", "wooden"};
inline constexpr std::array<std::string_view, 6> kBackdropNames{"slate", "sky", "sand", "mint", "lilac", "charcoal"};

template <class Value, std::size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, Value value) {
  return names[static_cast<std::size_t>(value)];
}

inline constexpr int kPhrasings = 4;

struct SceneObject {
  Shape shape = Shape::Sphere;
  Colour colour = Colour::Red;
  Size size = Size::Large;
  Material material = Material::Glossy;
  // What the caption does not say.
  float scale = 1;       ///< on the radius of the size, 0.95..1.05
  float hue_shift = 0;   ///< of the colour, degrees, -4..4
  float brightness = 1;  ///< of the colour, 0.92..1.05
  float yaw = 0;         ///< about the vertical axis at the start, radians off the shape's own best view, -0.25..0.25
};

/// One clip: what its caption says, and the numbers that make it this clip and no other.
struct Scene {
  int object_count = 1;  ///< 1 or 2; the first object stands (or starts) left of the second
  std::array<SceneObject, 2> objects;
  Motion motion = Motion::StaysStill;  ///< of all objects
  CameraMove camera = CameraMove::Still;
  Floor floor = Floor::Checkered;
  Backdrop backdrop = Backdrop::Slate;
  int phrasing = 0;  ///< 0..kPhrasings-1: which sentence caption() makes
  // What the caption does not say.
  float x = 0;                         ///< sideways place on the stage, -1..1 of the room that the motion leaves
  float depth = 0;                     ///< place along the view, -1..1
  float speed = 1;                     ///< of the motion, 0.9..1.1
  float phase = 0;                     ///< of bounces and orbits, 0..1
  float turn = 1;                      ///< sense of spins and orbits, -1 or 1
  std::array<float, 2> floor_shift{};  ///< of the floor's pattern, tiles, 0..1
  float spot = 0;                      ///< sideways place of the light on the backdrop, -1..1
};

/// A generator of its own, so that a seed draws the same scenes with every compiler and library (SplitMix64).
class SceneRandom {
 public:
  explicit SceneRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  int below(int count);                  ///< 0..count-1
  float uniform(float low, float high);  ///< low <= value < high
 private:
  std::uint64_t state_;
};

enum class Split { Training, HeldOut, Any };

struct SampleOptions {
  Split split = Split::Training;
  float two_object_share = 0.3F;  ///< of all scenes, 0..0.75
};

/// Some combinations of shape, colour and motion are never trained on: of every shape and colour at most one motion, one in
/// eleven overall.
bool is_held_out(Shape shape, Colour colour, Motion motion);
/// True where any object of the scene is a held-out combination.
bool is_held_out(const Scene& scene);

/// Draws a scene. Each value of an attribute is equally frequent over all scenes (the camera apart, which mostly stays still).
/// Only some go together: spins wants a cube, torus or diamond; spins and grows want one object; the camera moves only with one
/// object that stays still, bounces or spins; two objects have different colours.
Scene sample_scene(SceneRandom& random, const SampleOptions& options = {});

/// The scene in words, below 32 tokens: "a large glossy red sphere bounces on a checkered floor, slate backdrop".
std::string caption(const Scene& scene);

/// Reads a caption, in any phrasing and with words missing (they then keep Scene's defaults).
/// @return nothing where no shape with a colour is named, or more than two objects
std::optional<Scene> parse_caption(std::string_view text);

/// Words of the text that no caption of this world has, in order, once each: the model does not know them.
std::vector<std::string> unknown_words(std::string_view text);

/// Every word that a caption may have: what a tokenizer must know.
std::vector<std::string> vocabulary();

/// Prompts to start from, none of them held out; the first is the default.
std::vector<std::string> example_prompts();

}  // namespace ditscope::world
