#include "core/training/world/caption.h"

#include <algorithm>
#include <cctype>

namespace ditscope::world {
namespace {

constexpr std::array<std::string_view, 9> kPluralMotions{"stay still", "move left", "move right", "move up", "move down",
                                                         "bounce",     "spin",      "orbit",      "grow"};
constexpr std::array<std::string_view, 12> kSmallWords{"a",     "and", "on",     "in",    "front",    "of",
                                                       "while", "the", "camera", "floor", "backdrop", "still"};

bool spins_visibly(Shape shape) {
  return shape == Shape::Cube || shape == Shape::Torus || shape == Shape::Diamond;
}

/// Half of the shapes can spin, and they do it twice as often as their other motions ask, so that all motions stay equally
/// frequent.
Motion sample_motion(SceneRandom& random, Shape shape) {
  constexpr int kCount = static_cast<int>(kMotionNames.size());
  if (spins_visibly(shape) && random.below(kCount) < 2) return Motion::Spins;
  const int other = random.below(kCount - 1);
  return static_cast<Motion>(other < static_cast<int>(Motion::Spins) ? other : other + 1);
}

template <class Value, std::size_t N>
Value sample_value(SceneRandom& random, const std::array<std::string_view, N>&) {
  return static_cast<Value>(random.below(static_cast<int>(N)));
}

SceneObject sample_object(SceneRandom& random) {
  SceneObject object;
  object.shape = sample_value<Shape>(random, kShapeNames);
  object.colour = sample_value<Colour>(random, kColourNames);
  object.size = sample_value<Size>(random, kSizeNames);
  object.material = sample_value<Material>(random, kMaterialNames);
  object.scale = random.uniform(0.95F, 1.05F);
  object.hue_shift = random.uniform(-4, 4);
  object.brightness = random.uniform(0.92F, 1.05F);
  object.yaw = random.uniform(-0.25F, 0.25F);
  return object;
}

Scene sample_any(SceneRandom& random, float two_object_share) {
  Scene scene;
  scene.objects = {sample_object(random), sample_object(random)};
  scene.motion = sample_motion(random, scene.objects[0].shape);
  const bool alone = scene.motion == Motion::Spins || scene.motion == Motion::Grows;
  const float motions_with_two = static_cast<float>(kMotionNames.size() - 2) / kMotionNames.size();
  const bool two = random.uniform(0, 1) < two_object_share / motions_with_two;
  scene.object_count = two && !alone ? 2 : 1;
  if (scene.objects[1].colour == scene.objects[0].colour) {
    const int count = static_cast<int>(kColourNames.size());
    scene.objects[1].colour =
        static_cast<Colour>((static_cast<int>(scene.objects[0].colour) + 1 + random.below(count - 1)) % count);
  }
  const bool camera_may_move = scene.object_count == 1 && (scene.motion == Motion::StaysStill ||
                                                           scene.motion == Motion::Bounces || scene.motion == Motion::Spins);
  if (random.uniform(0, 1) < 0.6F && camera_may_move) scene.camera = static_cast<CameraMove>(1 + random.below(3));
  scene.floor = sample_value<Floor>(random, kFloorNames);
  scene.backdrop = sample_value<Backdrop>(random, kBackdropNames);
  scene.phrasing = random.below(2) == 0 ? 0 : random.below(kPhrasings);
  scene.x = random.uniform(-1, 1);
  scene.depth = random.uniform(-1, 1);
  scene.speed = random.uniform(0.9F, 1.1F);
  scene.phase = random.uniform(0, 1);
  scene.turn = random.below(2) == 0 ? -1.0F : 1.0F;
  scene.floor_shift = {random.uniform(0, 1), random.uniform(0, 1)};
  scene.spot = random.uniform(-1, 1);
  return scene;
}

std::string object_words(const SceneObject& object) {
  std::string words = "a ";
  for (std::string_view word : {name_of(kSizeNames, object.size), name_of(kMaterialNames, object.material),
                                name_of(kColourNames, object.colour), name_of(kShapeNames, object.shape)}) {
    words += word;
    words += ' ';
  }
  words.pop_back();
  return words;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (char letter : text) {
    if (std::isalnum(static_cast<unsigned char>(letter)) || (letter & 0x80) != 0 || letter == '-') {
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

template <class Value, std::size_t N>
std::optional<Value> find(const std::array<std::string_view, N>& names, const std::string& word) {
  const auto place = std::find(names.begin(), names.end(), word);
  if (place == names.end()) return std::nullopt;
  return static_cast<Value>(place - names.begin());
}

/// Whether the verb of a motion ("moves" of "moves left") is this word, in singular or plural.
bool is_verb(const std::string& word, std::string_view singular) {
  return word == singular || word + "s" == singular;
}

/// Reads the word before the last one together with the last one: "moves left", "pans right", "bounces".
void read_motion(Scene& scene, const std::string& verb, const std::string& word) {
  if (is_verb(word, "bounces")) scene.motion = Motion::Bounces;
  if (is_verb(word, "spins")) scene.motion = Motion::Spins;
  if (is_verb(word, "orbits")) scene.motion = Motion::Orbits;
  if (is_verb(word, "grows")) scene.motion = Motion::Grows;
  constexpr std::array<std::string_view, 4> kDirections{"left", "right", "up", "down"};
  const auto direction = find<int>(kDirections, word);
  if (is_verb(verb, "moves") && direction) scene.motion = static_cast<Motion>(static_cast<int>(Motion::MovesLeft) + *direction);
  if (is_verb(verb, "pans") && direction && *direction < 2)
    scene.camera = *direction == 0 ? CameraMove::PansLeft : CameraMove::PansRight;
  if (is_verb(verb, "zooms") && word == "in") scene.camera = CameraMove::ZoomsIn;
}

}  // namespace

std::uint64_t SceneRandom::next() {
  std::uint64_t mixed = state_ += 0x9E3779B97F4A7C15ULL;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31);
}

int SceneRandom::below(int count) {
  return static_cast<int>((next() >> 32) * static_cast<std::uint64_t>(count) >> 32);
}

float SceneRandom::uniform(float low, float high) {
  return low + (high - low) * static_cast<float>(next() >> 40) * 0x1p-24F;
}

bool is_held_out(Shape shape, Colour colour, Motion motion) {
  // 11 is a prime above the number of values of each attribute: fixing two of them leaves at most one value of the third held
  // out.
  return (7 * static_cast<int>(shape) + 5 * static_cast<int>(colour) + 3 * static_cast<int>(motion)) % 11 == 7;
}

bool is_held_out(const Scene& scene) {
  for (int index = 0; index < scene.object_count; ++index) {
    if (is_held_out(scene.objects[index].shape, scene.objects[index].colour, scene.motion)) return true;
  }
  return false;
}

Scene sample_scene(SceneRandom& random, const SampleOptions& options) {
  for (;;) {
    const Scene scene = sample_any(random, options.two_object_share);
    if (options.split == Split::Any || is_held_out(scene) == (options.split == Split::HeldOut)) return scene;
  }
}

std::string caption(const Scene& scene) {
  std::string what = object_words(scene.objects[0]);
  if (scene.object_count == 2) what += " and " + object_words(scene.objects[1]);
  what += ' ';
  what += scene.object_count == 2 ? name_of(kPluralMotions, scene.motion) : name_of(kMotionNames, scene.motion);
  const std::string floor = std::string(name_of(kFloorNames, scene.floor)) + " floor";
  const std::string backdrop = std::string(name_of(kBackdropNames, scene.backdrop)) + " backdrop";
  const std::string camera = scene.camera == CameraMove::Still ? "" : std::string(name_of(kCameraNames, scene.camera));
  const std::string aside = camera.empty() ? "" : ", camera " + camera;
  switch (scene.phrasing) {
    case 1:
      return what + " on a " + floor + " in front of a " + backdrop + (camera.empty() ? "" : " while the camera " + camera);
    case 2:
      return what + ", " + floor + ", " + backdrop + aside;
    case 3:
      return backdrop + ", " + floor + ", " + what + aside;
    default:
      return what + " on a " + floor + ", " + backdrop + aside;
  }
}

std::optional<Scene> parse_caption(std::string_view text) {
  Scene scene;
  scene.object_count = 0;
  SceneObject object;
  bool has_colour = false;
  std::string before;
  for (const std::string& word : words_of(text)) {
    if (const auto colour = find<Colour>(kColourNames, word)) {
      object.colour = *colour;
      has_colour = true;
    }
    if (const auto size = find<Size>(kSizeNames, word)) object.size = *size;
    if (const auto material = find<Material>(kMaterialNames, word)) object.material = *material;
    if (const auto floor = find<Floor>(kFloorNames, word)) scene.floor = *floor;
    if (const auto backdrop = find<Backdrop>(kBackdropNames, word)) scene.backdrop = *backdrop;
    read_motion(scene, before, word);
    if (const auto shape = find<Shape>(kShapeNames, word)) {
      if (!has_colour || scene.object_count == 2) return std::nullopt;
      object.shape = *shape;
      scene.objects[scene.object_count++] = object;
      object = SceneObject{};
      has_colour = false;
    }
    before = word;
  }
  if (scene.object_count == 0) return std::nullopt;
  return scene;
}

std::vector<std::string> vocabulary() {
  std::vector<std::string> words;
  const auto add = [&words](std::string_view text) {
    for (std::string& word : words_of(text)) {
      if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(std::move(word));
    }
  };
  const auto add_all = [&add](const auto& names) {
    for (std::string_view name : names) add(name);
  };
  add_all(kSmallWords);
  add_all(kShapeNames);
  add_all(kColourNames);
  add_all(kSizeNames);
  add_all(kMaterialNames);
  add_all(kMotionNames);
  add_all(kPluralMotions);
  add_all(kCameraNames);
  add_all(kFloorNames);
  add_all(kBackdropNames);
  return words;
}

std::vector<std::string> unknown_words(std::string_view text) {
  const std::vector<std::string> known = vocabulary();
  std::vector<std::string> unknown;
  for (std::string& word : words_of(text)) {
    const bool is_new = std::find(unknown.begin(), unknown.end(), word) == unknown.end();
    if (is_new && std::find(known.begin(), known.end(), word) == known.end()) unknown.push_back(std::move(word));
  }
  return unknown;
}

std::vector<std::string> example_prompts() {
  return {
      "a large glossy red sphere bounces on a checkered floor, slate backdrop",
      "a large glossy blue cube spins on a checkered floor, slate backdrop",
      "a large metallic yellow torus spins on a wooden floor, charcoal backdrop",
      "a small glossy green cylinder moves right on a checkered floor, sand backdrop",
      "a large matte purple cone grows on a plain floor, sky backdrop",
      "a small glossy pink sphere and a large matte cyan cube orbit on a checkered floor, lilac backdrop",
      "a large metallic orange diamond moves up on a wooden floor, mint backdrop",
      "a large glossy red torus stays still on a checkered floor, sky backdrop, camera pans left",
  };
}

}  // namespace ditscope::world
