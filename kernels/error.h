#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace ditscope {

/// What a caller can do about an error: each kind is one reaction, not one cause.
enum class ErrorKind {
  InvalidArgument,  ///< the request is wrong: change it
  NotFound,         ///< a file, model, method or key is missing: point elsewhere
  Corrupt,          ///< data does not hold together: fetch or write it again
  Unsupported,      ///< well-formed, but nothing here can do it
  OutOfMemory,      ///< smaller sizes, tiles or another device may work
  Device,           ///< the accelerator, disk or display failed
  Cancelled,        ///< the user stopped it: not a failure
};

/// "invalid argument", "not found", ... as shown to people and written to JSON.
std::string_view error_kind_name(ErrorKind kind);

/// The one exception of the house. The message says what was expected, what came, and what to do.
/// Caught in two places: the worker of the window and the main function of the command line.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace ditscope
