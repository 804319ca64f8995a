#include "core/vae/reused_memory.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <ATen/ATen.h>

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace ditscope::vae {

/// Free blocks by size.
struct ReusedMemory::Pool {
  std::multimap<size_t, void*> free_blocks;
  bool is_open = true;

  /// The smallest block that is large enough and not wasteful, or null.
  std::pair<size_t, void*> take(size_t bytes) {
    const auto found = free_blocks.lower_bound(bytes);
    if (found == free_blocks.end() || found->first / kMostWaste > bytes) return {0, nullptr};
    const std::pair<size_t, void*> block = *found;
    free_blocks.erase(found);
    return block;
  }
  /// Returns blocks below `limit` to the system, the largest first, until `bytes` are returned or none is left.
  void shrink(size_t bytes, size_t limit) {
    for (size_t returned = 0; returned < bytes;) {
      const auto above = free_blocks.lower_bound(limit);
      if (above == free_blocks.begin()) return;
      const auto largest = std::prev(above);
      returned += largest->first;
      std::free(largest->second);
      free_blocks.erase(largest);
    }
  }

  static constexpr size_t kMostWaste = 4;
};

namespace {

using Pool = ReusedMemory::Pool;
constexpr size_t kBlockUnit = size_t{2} << 20;  // a huge page; smaller tensors are malloc's

thread_local std::shared_ptr<Pool> current_pool;

/// The CPU allocator of the process from the first ReusedMemory on: pooled blocks for threads that have a pool, the
/// allocator that was there before for everything else.
class PoolingAllocator final : public c10::Allocator {
 public:
  /// Installs it once; it stays for the life of the process, as tensors keep a pointer to their allocator.
  static PoolingAllocator& instance() {
    static PoolingAllocator* const allocator = [] {
      auto* created = new PoolingAllocator(c10::GetCPUAllocator());
      c10::SetCPUAllocator(created, /*priority=*/1);
      return created;
    }();
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    if (!current_pool || bytes < kBlockUnit) return before_->allocate(bytes);
    void* data = allocate_block((bytes + kBlockUnit - 1) / kBlockUnit * kBlockUnit);
    if (!data) return before_->allocate(bytes);  // which reports what it could not get
    return {data, data, &PoolingAllocator::release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &PoolingAllocator::release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  struct Block {
    size_t bytes;
    std::shared_ptr<Pool> pool;
  };

  explicit PoolingAllocator(c10::Allocator* before) : before_(before) {}

  void* allocate_block(size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto [size, data] = current_pool->take(bytes);
    if (!data) {
      current_pool->shrink(bytes, bytes);  // what is too small makes room for what is not
      size = bytes;
      data = std::aligned_alloc(kBlockUnit, bytes);
      if (!data) return nullptr;
      madvise(data, bytes, MADV_HUGEPAGE);  // a hint: it may be refused
    }
    blocks_[data] = {size, current_pool};
    return data;
  }

  static void release(void* data) {
    PoolingAllocator& self = instance();
    const std::lock_guard lock(self.mutex_);
    const auto found = self.blocks_.find(data);
    if (found == self.blocks_.end()) return self.before_->raw_deleter()(data);
    if (const Block& block = found->second; block.pool->is_open) {
      block.pool->free_blocks.emplace(block.bytes, data);
    } else {
      std::free(data);
    }
    self.blocks_.erase(found);
  }

 public:
  void close(Pool& pool) {
    const std::lock_guard lock(mutex_);
    pool.is_open = false;
    pool.shrink(SIZE_MAX, SIZE_MAX);
  }

 private:
  c10::Allocator* before_;
  std::mutex mutex_;
  std::unordered_map<void*, Block> blocks_;  // in use
};

}  // namespace

ReusedMemory::ReusedMemory() : is_outermost_(!current_pool) {
  PoolingAllocator::instance();
  if (is_outermost_) current_pool = std::make_shared<Pool>();
}

ReusedMemory::~ReusedMemory() {
  if (!is_outermost_) return;
  PoolingAllocator::instance().close(*current_pool);
  current_pool.reset();
}

}  // namespace ditscope::vae
