#include "app/cli/exit_codes.h"

namespace ditscope::cli {

ExitCode exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::InvalidArgument:
      return kUsage;
    case ErrorKind::NotFound:
      return kNotFound;
    case ErrorKind::Corrupt:
      return kCorrupt;
    case ErrorKind::Unsupported:
      return kUnsupported;
    case ErrorKind::OutOfMemory:
      return kOutOfMemory;
    case ErrorKind::Device:
      return kDevice;
    case ErrorKind::Cancelled:
      return kStopped;
  }
  return kInternal;
}

const char* const kExitCodeHelp =
    "Exit codes: 0 done; 1 defect of the program; 2 wrong usage or value; 3 not found (file, model, method, key);\n"
    "  4 corrupt file; 5 unsupported; 6 out of memory; 7 device or disk failed; 8 an assertion fails (inspect); 130 stopped (Ctrl-C).";

}  // namespace ditscope::cli
