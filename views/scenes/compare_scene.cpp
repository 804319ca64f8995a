#include "views/scenes/compare_scene.h"

#include <cmath>

namespace ditscope::views {
namespace {

void set_colour(const gl::Program& program, const char* name, Rgb colour) {
  program.set(name, colour.r, colour.g, colour.b);
}

}  // namespace

CompareScene::CompareScene(const std::string& vertex_source, const std::string& fragment_source)
    : program_(vertex_source, fragment_source), corners_(gl::VertexArray::create()), clips_(4) {}

void CompareScene::set_clip(int index, const Frames& frames) {
  auto& clip = clips_.at(static_cast<std::size_t>(index));
  clip = gl::FrameArray();
  if (!frames.empty()) clip = gl::FrameArray(frames);
}

void CompareScene::draw(const CompareState& state, const std::vector<Pane>& panes, const Camera& camera, const View& view,
                        const Theme& theme) {
  const Rgb window = theme.colour("window"), ground = theme.colour("view");
  gl::viewport(static_cast<int>(std::lround(view.width * view.ratio)), static_cast<int>(std::lround(view.height * view.ratio)));
  gl::clear(window.r, window.g, window.b);
  const auto& first = clips_.at(static_cast<std::size_t>(view.first_run));
  const auto& second = clips_.at(static_cast<std::size_t>(view.second_run));
  const auto& shown = first ? first : second;
  if (!shown) return;

  program_.use();
  (first ? first : second).bind(0);
  (second ? second : first).bind(1);
  program_.set("has_first", first ? 1 : 0);
  program_.set("has_second", second ? 1 : 0);
  program_.set("first", 0);
  program_.set("second", 1);
  program_.set("first_frame", static_cast<float>(view.first_frame));
  program_.set("second_frame", static_cast<float>(view.second_frame));
  program_.set("view_size", static_cast<float>(view.width * view.ratio), static_cast<float>(view.height * view.ratio));
  program_.set("image_size", static_cast<float>(shown.width()), static_cast<float>(shown.height()));
  program_.set("centre", static_cast<float>(camera.centre.x), static_cast<float>(camera.centre.y));
  program_.set("scale", static_cast<float>(camera.scale * view.ratio));
  program_.set("wipe", static_cast<float>(state.wipe));
  program_.set("difference_mode", static_cast<int>(state.difference));
  program_.set("range", static_cast<float>(view.range));
  set_colour(program_, "background", ground);
  set_colour(program_, "negative", theme.colour("negative"));
  set_colour(program_, "zero", theme.colour("zero"));
  set_colour(program_, "positive", theme.colour("positive"));
  for (const Pane& pane : panes) {
    const double ratio = view.ratio;
    program_.set("pane", static_cast<float>(std::round(pane.rect.x * ratio)), static_cast<float>(std::round(pane.rect.y * ratio)),
                 static_cast<float>(std::round(pane.rect.width * ratio)),
                 static_cast<float>(std::round(pane.rect.height * ratio)));
    program_.set("content", static_cast<int>(pane.content));
    program_.set("horizontal", pane.horizontal ? 1 : 0);
    corners_.draw_strip(4);
  }
}

}  // namespace ditscope::views
