// Kernels work on the threads that LibTorch already has.
#include "core/bridge/parallel.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>

#include "core/bridge/attention.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

std::set<long> threads_of_this_process() {
  std::set<long> all;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) all.insert(std::stol(task.path().filename()));
  return all;
}

class TorchWorkers : public ::testing::Test {
 protected:
  static constexpr int kThreads = 3;
  TorchWorkers() {
    at::set_num_threads(kThreads);
    at::ones({1 << 22}).add_(1).sum();  // LibTorch makes its threads when it first needs them
  }
  ~TorchWorkers() override { at::set_num_threads(before_); }
  const int before_ = at::get_num_threads();
};

TEST_F(TorchWorkers, AreTheThreadsOfLibTorch) {
  const std::set<long> of_torch = threads_of_this_process();
  ASSERT_EQ(of_torch.size(), static_cast<std::size_t>(kThreads));
  const Workers workers = torch_workers(kThreads);
  ASSERT_EQ(workers.count, kThreads);
  std::set<long> ours;
  std::mutex mutex;
  workers.run([&] {
    const std::lock_guard lock(mutex);
    ours.insert(syscall(SYS_gettid));
  });
  EXPECT_EQ(ours, of_torch);
  EXPECT_EQ(threads_of_this_process(), of_torch);
}

TEST_F(TorchWorkers, AreAllThatAttentionUses) {
  const std::set<long> before = threads_of_this_process();
  dense_attention(test::make_call({20, true, 3, 10, 12}, 0, 1));
  EXPECT_EQ(threads_of_this_process(), before);
}

TEST_F(TorchWorkers, AreOneInsideAParallelRegion) {
  std::atomic<int> bodies{0}, alone{0};
  torch_workers(kThreads).run([&] {
    ++bodies;
    alone += torch_workers(kThreads).count == 1;
  });
  EXPECT_EQ(bodies, kThreads);
  EXPECT_EQ(alone, kThreads);
}

TEST_F(TorchWorkers, HandOnWhatABodyThrows) {
  std::atomic<int> bodies{0};
  EXPECT_THROW(torch_workers(kThreads).run([&] {
    if (bodies++ == 1) throw std::runtime_error("the second");
  }),
               std::runtime_error);
  EXPECT_EQ(bodies, kThreads);
}

}  // namespace
}  // namespace ditscope
