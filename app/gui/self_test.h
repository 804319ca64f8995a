#pragma once
#include <QString>
#include <vector>

namespace ditscope::gui {

struct Check {
  enum class State { Good, Warning, Failed, Absent };
  State state = State::Good;
  QString name, finding;
};

/// What this machine can do, found out by doing it: the blocked attention kernel against the float64 reference, an H.264 clip
/// written and read back. Runs in a second or two on any thread; OpenGL is asked separately, on the GUI thread.
/// @param scratch_folder  where the clip may be written and where room on disk is asked
std::vector<Check> run_self_test(const QString& scratch_folder);
QString report_of(const std::vector<Check>& checks, double seconds);

}  // namespace ditscope::gui
