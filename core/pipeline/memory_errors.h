#pragma once
#include <string>

namespace ditscope {

/// For use inside a catch block: whether what was caught says that memory is used up.
bool is_out_of_memory();

/// For use inside a catch block: throws Error{OutOfMemory}, naming the stage, where what was caught says that memory is used up
/// (std::bad_alloc, LibTorch's allocators); anything else is thrown on as it is.
[[noreturn]] void rethrow_naming_stage(const std::string& stage);

}  // namespace ditscope
