#pragma once
#include <memory>

namespace ditscope::vae {

/// While one lives, large CPU tensors that this thread frees give their memory to those it makes next, instead of returning it
/// to the system, which hands out every page anew and zeroed: on videos that costs as much as a pass of arithmetic.
/// Memory is in huge pages where the system has them, and at most a quarter more is held than was in use at once. What is free is returned at the end; tensors may outlive it.
/// One inside another uses the outer one's memory. Other threads are not affected.
class ReusedMemory {
 public:
  ReusedMemory();
  ~ReusedMemory();
  ReusedMemory(const ReusedMemory&) = delete;
  ReusedMemory& operator=(const ReusedMemory&) = delete;

  struct Pool;

 private:
  bool is_outermost_;
};

}  // namespace ditscope::vae
