// Takes the place of inspect.cpp in a build without Cairo.
#include "app/cli/commands.h"
#include "kernels/error.h"

namespace ditscope::cli {

void add_inspect(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "Not in this build: it draws with Cairo");
  command->allow_extras();
  command->callback([] {
    throw Error(ErrorKind::Unsupported, "This program was built without Cairo, which `inspect` draws with. Install libcairo2-dev and build again; "
                                        "`capture info`, `capture diff` and `capture export` work without.");
  });
}

}  // namespace ditscope::cli
