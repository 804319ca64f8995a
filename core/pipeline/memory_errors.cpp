#include "core/pipeline/memory_errors.h"

#include <c10/util/Exception.h>

#include <cstdio>
#include <new>
#include <string_view>

#include "core/pipeline/process_memory.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

[[noreturn]] void refuse(const std::string& stage, const std::string& detail) {
  char free_text[48];
  std::snprintf(free_text, sizeof free_text, "%.1f GB", static_cast<double>(available_bytes()) / 1e9);
  throw Error(ErrorKind::OutOfMemory, "Out of memory in " + stage + (detail.empty() ? "" : ": " + detail) + "; " + free_text +
                                          " are free. Choose fewer frames, a smaller size or the dtype bfloat16.");
}

/// "you tried to allocate 123 bytes" out of the message of LibTorch's CPU allocator.
std::string tried(std::string_view message) {
  const auto begin = message.find("you tried to allocate");
  if (begin == std::string_view::npos) return "";
  return std::string(message.substr(begin + 4, message.find_first_of(".\n", begin) - begin - 4));
}

bool is_about_memory(std::string_view message) {
  return message.find("can't allocate memory") != std::string_view::npos ||
         message.find("not enough memory") != std::string_view::npos || message.find("out of memory") != std::string_view::npos;
}

}  // namespace

void rethrow_naming_stage(const std::string& stage) {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    refuse(stage, "");
  } catch (const c10::OutOfMemoryError& error) {
    refuse(stage, tried(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    if (is_about_memory(error.what_without_backtrace())) refuse(stage, tried(error.what_without_backtrace()));
    throw std::runtime_error("A defect shows in " + stage + ": " + error.what_without_backtrace());
  }
}

}  // namespace ditscope
