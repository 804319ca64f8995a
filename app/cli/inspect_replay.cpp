#include "app/cli/console.h"
#include "app/cli/inspect_figure.h"
#include "app/cli/interrupt.h"
#include "core/pipeline/generator.h"

namespace ditscope::cli {

void offer_replay(views::Inspection& inspection, const std::filesystem::path& model, bool quiet) {
  auto generator = std::make_shared<Generator>();
  inspection.set_operands_source([generator, model, quiet](const std::filesystem::path& file, int run_id, int step, int layer, int branch,
                                                           const std::function<bool()>&) {
    const CaptureReader reader(file);
    ConsoleProgress progress(quiet);
    return generator->replay(reader, run_id, step, layer, branch, model, progress, Interrupt::control());
  });
}

}  // namespace ditscope::cli
