#pragma once
#include "app/gui/worker/engine.h"

namespace ditscope::gui {

/// The real engine.
std::unique_ptr<Engine> make_generator_engine();

}  // namespace ditscope::gui
