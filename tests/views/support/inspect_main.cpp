// The command inspect alone, without LibTorch, so that it links in a moment: for looking at views while writing them.
#include <cstdio>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/inspect_figure.h"

namespace ditscope::cli {
void offer_replay(views::Inspection&, const std::filesystem::path&, bool) {}
}  // namespace ditscope::cli

int main(int argc, char** argv) {
  CLI::App app{"Draws views of a capture; stored q and k only"};
  app.require_subcommand(1);
  ditscope::cli::add_inspect(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::RuntimeError& done) {
    return done.get_exit_code();
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const ditscope::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return ditscope::cli::exit_code(error.kind());
  }
}
