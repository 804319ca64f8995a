#include <cstdlib>

#include "app/gui/application.h"
#include "tests/views/support/fake_engine.h"

int main(int argc, char** argv) {
  auto behaviour = std::make_shared<ditscope::test::FakeBehaviour>();
  if (const char* milliseconds = std::getenv("DITSCOPE_DEMO_STEP_MS")) behaviour->step_ms = std::atoi(milliseconds);
  return ditscope::gui::run_application(argc, argv, ditscope::test::fake_engine(behaviour));
}
