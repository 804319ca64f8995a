#pragma once
#include "app/gui/worker/engine.h"

namespace ditscope::gui {

/// The whole program with a given engine: options, fonts, window, event loop. @return the exit status
int run_application(int argc, char** argv, EngineFactory make_engine);

}  // namespace ditscope::gui
