#include "core/vae/reused_memory.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace ditscope::vae {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallestSegment = size_t{32} << 20;
constexpr size_t kBlockUnit = 4096;
constexpr size_t kSmallestBlock = size_t{256} << 10;  // smaller tensors are malloc's
constexpr double kMostSpare = 1.25;                   // memory held over the most that was in use at once

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

/// Memory of the system in a few segments, cut into blocks. A freed block joins its free neighbours, so that large tensors can
/// take the place of small ones and the other way round.
struct ReusedMemory::Pool {
  struct Block {
    size_t bytes;
    char* segment;
  };
  std::map<char*, size_t> segments;               // by address: bytes
  std::map<char*, Block> free_blocks;             // by address
  std::multimap<size_t, char*> free_by_size;
  std::unordered_map<void*, Block> used_blocks;
  size_t in_use = 0, most_in_use = 0, held = 0;
  bool is_open = true;

  /// Null where the system has no more.
  void* take(size_t bytes) {
    bytes = rounded_up(bytes, kBlockUnit);
    auto found = free_by_size.lower_bound(bytes);
    if (found == free_by_size.end()) {
      if (!grow(bytes)) return nullptr;
      found = free_by_size.lower_bound(bytes);
    }
    char* const data = found->second;
    const Block whole = free_blocks.at(data);
    remove_free(data, whole.bytes);
    if (whole.bytes > bytes) add_free(data + bytes, {whole.bytes - bytes, whole.segment});
    used_blocks[data] = {bytes, whole.segment};
    in_use += bytes;
    most_in_use = std::max(most_in_use, in_use);
    return data;
  }

  void give_back(void* data) {
    const auto found = used_blocks.find(data);
    char* begin = static_cast<char*>(data);
    Block block = found->second;
    used_blocks.erase(found);
    in_use -= block.bytes;
    auto next = free_blocks.lower_bound(begin);
    if (next != free_blocks.end() && next->second.segment == block.segment && begin + block.bytes == next->first) {
      block.bytes += next->second.bytes;
      remove_free(next->first, next->second.bytes);
      next = free_blocks.lower_bound(begin);
    }
    if (next != free_blocks.begin()) {
      const auto before = std::prev(next);
      if (before->second.segment == block.segment && before->first + before->second.bytes == begin) {
        begin = before->first;
        block.bytes += before->second.bytes;
        remove_free(before->first, before->second.bytes);
      }
    }
    add_free(begin, block);
    if (!is_open) release_free_segments(0);
  }

  /// Returns segments that nobody uses to the system until at most `bytes` are held.
  void release_free_segments(size_t bytes) {
    for (auto segment = segments.begin(); segment != segments.end() && held > bytes;) {
      const auto block = free_blocks.find(segment->first);
      if (block == free_blocks.end() || block->second.bytes != segment->second) {
        ++segment;
        continue;
      }
      remove_free(segment->first, segment->second);
      munmap(segment->first, segment->second);
      held -= segment->second;
      segment = segments.erase(segment);
    }
  }

 private:
  bool grow(size_t bytes) {
    const size_t size = rounded_up(std::max(bytes, kSmallestSegment), kHugePage);
    const auto allowed = static_cast<size_t>(kMostSpare * static_cast<double>(std::max(most_in_use, in_use + bytes)));
    if (held + size > allowed) release_free_segments(allowed > size ? allowed - size : 0);
    // Aligned to huge pages: more is asked for, and what stands out on both sides is returned.
    void* const mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return false;
    char* const first = static_cast<char*>(mapped);
    char* const segment = reinterpret_cast<char*>(rounded_up(reinterpret_cast<uintptr_t>(first), kHugePage));
    if (segment > first) munmap(first, static_cast<size_t>(segment - first));
    if (segment < first + kHugePage) munmap(segment + size, static_cast<size_t>(first + kHugePage - segment));
    madvise(segment, size, MADV_HUGEPAGE);  // a hint: it may be refused
    segments[segment] = size;
    held += size;
    add_free(segment, {size, segment});
    return true;
  }
  void add_free(char* data, Block block) {
    free_blocks[data] = block;
    free_by_size.emplace(block.bytes, data);
  }
  void remove_free(char* data, size_t bytes) {
    free_blocks.erase(data);
    const auto [first, last] = free_by_size.equal_range(bytes);
    free_by_size.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second == data; }));
  }
};

namespace {

using Pool = ReusedMemory::Pool;

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
    if (!current_pool || bytes < kSmallestBlock) return before_->allocate(bytes);
    const std::lock_guard lock(mutex_);
    void* const data = current_pool->take(bytes);
    if (!data) return before_->allocate(bytes);  // which reports what it could not get
    owners_[data] = current_pool;
    return {data, data, &PoolingAllocator::release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &PoolingAllocator::release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  void close(Pool& pool) {
    const std::lock_guard lock(mutex_);
    pool.is_open = false;
    pool.release_free_segments(0);
  }

 private:
  explicit PoolingAllocator(c10::Allocator* before) : before_(before) {}

  static void release(void* data) {
    PoolingAllocator& self = instance();
    const std::lock_guard lock(self.mutex_);
    const auto found = self.owners_.find(data);
    if (found == self.owners_.end()) return self.before_->raw_deleter()(data);
    found->second->give_back(data);
    self.owners_.erase(found);
  }

  c10::Allocator* before_;
  std::mutex mutex_;
  std::unordered_map<void*, std::shared_ptr<Pool>> owners_;  // of the blocks in use
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
