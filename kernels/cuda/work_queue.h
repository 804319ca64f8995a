#pragma once
// The queue from which persistent blocks of threads take the items of a plan, heaviest first. A block begins with the item of its
// own number; counters[0] hands out what lies beyond.
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/parameters.h"

namespace ditscope::cuda {

/// The number of an item that no other block has. By one thread of a block.
GPU_INLINE int take_item(const Parameters& p) {
  return gpu::blocks() + gpu::atomic_add(p.counters, 1);
}
/// By one thread of a block that takes no more: the last block makes the queue ready for the next launch.
GPU_INLINE void leave_queue(const Parameters& p) {
  gpu::fence();
  if (gpu::atomic_add(p.counters + 1, 1) == gpu::blocks() - 1) p.counters[0] = p.counters[1] = 0;
}
/// Asks for the item after this one, where the waiting costs nothing.
GPU_INLINE void ask_next(const Parameters& p, int* next) {
  if (gpu::thread() == 0) *next = take_item(p);
}

/// work(number) by all threads of the block for every item that it gets; `work` calls ask_next(p, next) once.
template <class Work>
GPU_INLINE void work_off_queue(const Parameters& p, const int* next, const Work& work) {
  for (int item = gpu::block(); item < p.item_count;) {
    work(item);
    gpu::sync_block();  // also: shared memory is free again
    item = *next;
    gpu::sync_block();
  }
  if (gpu::thread() == 0) leave_queue(p);
}

}  // namespace ditscope::cuda
