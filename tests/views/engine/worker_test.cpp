#include "app/gui/worker/worker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "app/gui/worker/generator_engine.h"

namespace ditscope::gui {
namespace {

/// A worker with the real engine; what ended is kept.
class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    Worker::Callbacks callbacks;
    callbacks.ended = [this](std::shared_ptr<const JobView> job) {
      std::lock_guard lock(mutex_);
      ended_.push_back(std::move(job));
    };
    worker_ = std::make_unique<Worker>(make_generator_engine, callbacks);
  }

  static Job job(std::int64_t id, int steps) {
    Job job;
    job.id = id;
    job.pair.base.model = DITSCOPE_SOURCE_DIR "/tests/golden/cogx_2b_ddim";
    job.pair.base.prompt = "a red cube";
    job.pair.base.steps = steps;
    job.pair.methods = {MethodChoice{"full", {}}, MethodChoice{"re-ttention", {}}};
    return job;
  }
  bool wait(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < end) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  std::size_t ended() {
    std::lock_guard lock(mutex_);
    return ended_.size();
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<const JobView>> ended_;
  std::unique_ptr<Worker> worker_;
};

TEST_F(WorkerTest, APairSharesItsNoiseAndIsMeasured) {
  worker_->enqueue(job(1, 6));
  ASSERT_TRUE(wait([&] { return ended() == 1; }));
  const JobView& job = *ended_[0];
  ASSERT_TRUE(job.finished()) << job.runs[0]->error << job.runs[1]->error;
  EXPECT_FALSE(job.runs[0]->result->noise_hash.empty());
  EXPECT_EQ(job.runs[0]->result->noise_hash, job.runs[1]->result->noise_hash);
  ASSERT_TRUE(job.runs[1]->metrics);
  EXPECT_EQ(job.runs[1]->metrics->psnr_per_frame.size(), static_cast<std::size_t>(job.runs[1]->result->frames.count));
  EXPECT_EQ(job.runs[0]->previews.size(), 6u);
  EXPECT_FALSE(job.runs[0]->previews.back()->empty());
}

TEST_F(WorkerTest, AStoppedRunThatIsResumedEndsAsIfItHadNeverStopped) {
  constexpr int kSteps = 40;
  worker_->enqueue(job(1, kSteps));
  ASSERT_TRUE(wait([&] {
    const auto running = worker_->snapshot()->running;
    return running && running->runs[0]->steps.size() >= 3;
  }));
  const auto asked = std::chrono::steady_clock::now();
  worker_->stop();
  ASSERT_TRUE(wait([&] { return ended() == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(1));
  ASSERT_TRUE(ended_[0]->stopped());
  EXPECT_LT(ended_[0]->runs[0]->steps.size(), static_cast<std::size_t>(kSteps));
  EXPECT_EQ(ended_[0]->runs[1]->state, RunState::Waiting);
  worker_->resume(ended_[0]);
  worker_->enqueue(job(2, kSteps));
  ASSERT_TRUE(wait([&] { return ended() == 3; }));
  ASSERT_TRUE(ended_[1]->finished()) << ended_[1]->runs[0]->error << ended_[1]->runs[1]->error;
  ASSERT_TRUE(ended_[2]->finished());
  EXPECT_EQ(ended_[1]->runs[0]->result->frames.rgb, ended_[2]->runs[0]->result->frames.rgb);
  EXPECT_EQ(ended_[1]->runs[1]->result->frames.rgb, ended_[2]->runs[1]->result->frames.rgb);
}

TEST_F(WorkerTest, AFailedJobIsSaidAndTheNextOneRuns) {
  Job wrong = job(1, 2);
  wrong.pair.base.model = "/no/such/folder";
  worker_->enqueue(wrong);
  worker_->enqueue(job(2, 2));
  ASSERT_TRUE(wait([&] { return ended() == 2; }));
  ASSERT_TRUE(ended_[0]->failed());
  EXPECT_FALSE(ended_[0]->runs[0]->error.empty());
  EXPECT_TRUE(ended_[1]->finished());
}

}  // namespace
}  // namespace ditscope::gui
