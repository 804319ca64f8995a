#include "app/gui/application.h"
#include "app/gui/worker/generator_engine.h"

int main(int argc, char** argv) {
  return ditscope::gui::run_application(argc, argv, ditscope::gui::make_generator_engine);
}
