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

std::string between(std::string_view text, std::string_view first, std::string_view last) {
  const auto begin = text.find(first);
  if (begin == std::string_view::npos) return "";
  const auto end = text.find(last, begin + first.size());
  return end == std::string_view::npos ? "" : std::string(text.substr(begin + first.size(), end - begin - first.size()));
}

/// LibTorch's CUDA allocator says how much it was asked for and how much the GPU has left.
[[noreturn]] void refuse_on_gpu(const std::string& stage, std::string_view message) {
  const std::string wanted = between(message, "Tried to allocate ", ". "), free = between(message, "of which ", " is free");
  throw Error(ErrorKind::OutOfMemory, "Out of GPU memory in " + stage + (wanted.empty() ? "" : ": tried to allocate " + wanted) +
                                          (free.empty() ? "" : "; " + free + " are free there") +
                                          ". Choose fewer frames, a smaller size, the dtype bfloat16 or the device cpu.");
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

bool is_out_of_memory() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const c10::OutOfMemoryError&) {
    return true;
  } catch (const c10::Error& error) {
    return is_about_memory(error.what_without_backtrace());
  } catch (...) {
    return false;
  }
}

void rethrow_naming_stage(const std::string& stage) {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    refuse(stage, "");
  } catch (const c10::OutOfMemoryError& error) {
    const std::string_view message = error.what_without_backtrace();
    if (message.find("CUDA") != std::string_view::npos) refuse_on_gpu(stage, message);
    refuse(stage, tried(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    if (is_about_memory(error.what_without_backtrace())) refuse(stage, tried(error.what_without_backtrace()));
    throw std::runtime_error("A defect shows in " + stage + ": " + error.what_without_backtrace());
  }
}

}  // namespace ditscope
