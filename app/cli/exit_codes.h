#pragma once
#include "kernels/error.h"

namespace ditscope::cli {

/// What the program ends with. Documented in docs/cli.md and printed by --help.
enum ExitCode : int {
  kOk = 0,
  kInternal = 1,     ///< a defect of the program
  kUsage = 2,        ///< unknown option, value out of range, impossible size
  kNotFound = 3,     ///< a file, model, method or key is missing
  kCorrupt = 4,      ///< a file does not hold together
  kUnsupported = 5,  ///< well-formed, but nothing here can do it
  kOutOfMemory = 6,
  kDevice = 7,     ///< the accelerator or the disk failed
  kAssertion = 8,  ///< `inspect --assert`: a figure is not what it should be
  kStopped = 130,  ///< Ctrl-C; what was done so far is kept where an option says so
};

ExitCode exit_code(ErrorKind kind);

/// The table of exit codes as --help prints it.
extern const char* const kExitCodeHelp;

}  // namespace ditscope::cli
