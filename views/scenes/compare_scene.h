#pragma once
#include <string>
#include <vector>

#include "views/gl/gl_objects.h"
#include "views/state/compare.h"
#include "views/state/theme.h"

namespace ditscope::views {

/// Draws the panes of the compare view. Textures are uploaded once per run and live here.
class CompareScene {
 public:
  /// Compiles the shaders. The context is current here and in every other call.
  CompareScene(const std::string& vertex_source, const std::string& fragment_source);

  /// Replaces the clip of run `index`; empty frames clear it.
  void set_clip(int index, const Frames& frames);

  struct View {
    double width = 0, height = 0;  ///< view px
    double ratio = 1;              ///< device px per view px
    int first_run = 0, second_run = 1;
    int first_frame = 0, second_frame = 0;
    double range = 1;  ///< of the difference
  };
  void draw(const CompareState& state, const std::vector<Pane>& panes, const Camera& camera, const View& view,
            const Theme& theme);

 private:
  gl::Program program_;
  gl::VertexArray corners_;
  std::vector<gl::FrameArray> clips_;
};

}  // namespace ditscope::views
