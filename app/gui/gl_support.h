#pragma once
#include "app/gui/self_test.h"

namespace ditscope::gui {

/// Looks once, before the first window, for what the display has: an OpenGL core context of 4.5, else of 3.3; it becomes the default
/// of every view. Without one nothing makes a context, and views are drawn by the processor.
Check choose_gl_format();
/// What choose_gl_format() found; false before.
bool gl_usable();

}  // namespace ditscope::gui
