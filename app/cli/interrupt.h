#pragma once
#include "core/pipeline/run_control.h"

namespace ditscope::cli {

/// Ctrl-C and SIGTERM. The first asks the run in progress to stop, as the window's Stop does; the second ends the program at
/// once.
class Interrupt {
 public:
  /// Call once, before any other thread exists: the signals are taken by a thread of their own.
  static void install();
  /// What long work polls.
  static RunControl& control();
  /// Whether a stop by Ctrl-C keeps the latents only or decodes them too.
  static void set_stop(RunControl::Stop how);
};

}  // namespace ditscope::cli
