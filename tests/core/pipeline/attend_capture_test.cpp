// A method on tensors alone, recorded: the capture holds those tensors, their exact map, the mask that ran and what it lost.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/capture/capture_reader.h"
#include "core/capture/exact_attention.h"
#include "core/checkpoint/safetensors.h"
#include "core/pipeline/attend.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

constexpr std::int64_t kSteps = 3, kBatch = 2, kHeads = 2, kText = 5, kTokens = kText + 3 * 8 * 8, kWidth = 16;

class AttendCaptureTest : public ::testing::Test {
 protected:
  AttendCaptureTest() {
    at::manual_seed(3);
    for (const char* name : {"q", "k", "v"})  // what bfloat16 holds, so that storing rounds nothing
      tensors_[name] = at::randn({kSteps, kBatch, kHeads, kTokens, kWidth}).to(at::kBFloat16).to(at::kFloat);
    save_tensors(folder_ / "qkv.safetensors", tensors_, {});
    request_.tensors = folder_ / "qkv.safetensors";
    request_.capture = folder_ / "qkv.ditcap";
    request_.method = parse_method_choice("re-ttention:kept_ratio=0.3,warmup_steps=1");
    request_.frames = 3, request_.rows = request_.columns = 8;
    request_.text_tokens = kText;
    request_.conditional = {false, true};
    request_.first_step = 2, request_.total_steps = 9;
    request_.layer = 1, request_.layers = 4;
    request_.threads = 1;
  }
  at::Tensor probabilities(std::int64_t step, std::int64_t batch) const {  // (H,T,T)
    const at::Tensor q = tensors_.at("q")[step][batch].to(at::kDouble), k = tensors_.at("k")[step][batch].to(at::kDouble);
    return at::softmax(at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(kWidth)), -1);
  }

  test::TemporaryFolder folder_;
  TensorMap tensors_;
  AttendRequest request_;
};

TEST_F(AttendCaptureTest, HoldsTheTensorsAndWhereTheyLie) {
  attend_file(request_);
  const CaptureReader reader(request_.capture);
  const CaptureRun run = reader.run(1);
  EXPECT_EQ(reader.meta().state, "complete");
  EXPECT_EQ(run.state, "complete");
  EXPECT_EQ(run.branches, (std::vector<std::string>{"unconditional", "conditional"}));
  EXPECT_EQ(run.tokens(), kTokens);
  EXPECT_EQ(run.steps, 9);
  EXPECT_EQ(run.model.layers, 4);
  const auto steps = reader.steps(1);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps.front().step, 2);
  EXPECT_EQ(steps.front().action, "refresh");
  EXPECT_EQ(steps.back().action, "sparse");
  const AttentionOperands operands = stored_operands(reader, 1, 3, 1, 1);
  const at::Tensor q = tensors_["q"][1][1].contiguous();
  ASSERT_EQ(static_cast<std::int64_t>(operands.q.size()), q.numel());
  EXPECT_TRUE(std::equal(operands.q.begin(), operands.q.end(), q.const_data_ptr<float>()));
}

TEST_F(AttendCaptureTest, MeasuresEveryRowAgainstFullAttention) {
  attend_file(request_);
  const CaptureReader reader(request_.capture);
  const auto call = reader.call(1, 4, 1, 0);
  ASSERT_TRUE(call);
  const at::Tensor all = probabilities(2, 0);
  for (std::int64_t head = 0; head < kHeads; ++head) {
    const CaptureHead& row = call->heads.at(static_cast<std::size_t>(head));
    const auto plan = reader.plan(row.plan_id, kTokens);
    double kept = 0;
    const at::Tensor of_head = all[head].contiguous();
    for (std::int64_t query = 0; query < kTokens; ++query) {
      const auto keys = plan->row(query);
      for (std::int64_t key = 0; key < kTokens; ++key)
        if (keys[static_cast<std::size_t>(key)]) kept += of_head.const_data_ptr<double>()[query * kTokens + key];
    }
    ASSERT_TRUE(row.recall);
    EXPECT_NEAR(*row.recall, kept / kTokens, 2e-3);
    EXPECT_LT(*row.recall, 0.9);
  }
}

TEST_F(AttendCaptureTest, SharesTheCallsTimesOutToItsHeads) {
  attend_file(request_);
  const CaptureReader reader(request_.capture);
  for (const int step : {2, 4}) {  // Re-ttention's refresh measures rho and R; a sparse step makes its factors
    const auto call = reader.call(1, step, 1, 0);
    ASSERT_TRUE(call && call->correct_ms && call->plan_ms && call->execute_ms);
    EXPECT_GT(*call->correct_ms, 0);
    EXPECT_LE(*call->correct_ms, *call->execute_ms);
    double plan_ms = 0, execute_ms = 0, correct_ms = 0;
    for (const CaptureHead& head : call->heads) {
      plan_ms += *head.plan_ms, execute_ms += *head.execute_ms, correct_ms += *head.correct_ms;
      EXPECT_FALSE(head.pv_left_out_ratio);
    }
    EXPECT_NEAR(plan_ms, *call->plan_ms, 1e-9);
    EXPECT_NEAR(execute_ms, *call->execute_ms, 1e-9);
    EXPECT_NEAR(correct_ms, *call->correct_ms, 1e-9);
  }
  request_.method = parse_method_choice("window:warmup_steps=0,refresh_period=0");
  attend_file(request_);
  const auto call = CaptureReader(request_.capture).call(1, 4, 1, 0);
  EXPECT_LT(*call->correct_ms, 0.1 * *call->execute_ms) << "it corrects nothing";
}

TEST_F(AttendCaptureTest, SaysWhatShareOfThePairsMetNoV) {
  using at::indexing::Slice;
  tensors_["q"].mul_(0.1).select(-1, 0).fill_(4);  // the first block of keys towers over the others
  tensors_["k"].mul_(0.1).index({Slice(), Slice(), Slice(), Slice(kText, kText + 64), 0}).fill_(8);
  save_tensors(request_.tensors, tensors_, {});
  request_.method = parse_method_choice("spargeattn:qk=int8,pv_skip=10,kept_ratio=0.9,warmup_steps=0");
  const AttendResult result = attend_file(request_);
  const CaptureReader reader(request_.capture);
  double most = 0;
  for (std::int64_t branch = 0; branch < kBatch; ++branch) {
    const auto call = reader.call(1, 3, 1, static_cast<int>(branch));
    ASSERT_TRUE(call);
    for (std::int64_t head = 0; head < kHeads; ++head) {
      const CaptureHead& row = call->heads.at(static_cast<std::size_t>(head));
      ASSERT_TRUE(row.pv_left_out_ratio);
      EXPECT_NEAR(*row.pv_left_out_ratio, result.steps.at(1).pv_left_out_ratio.at(static_cast<std::size_t>(branch * kHeads + head)), 1e-12);
      EXPECT_LE(*row.pv_left_out_ratio, *row.kept_ratio_achieved);
      most = std::max(most, *row.pv_left_out_ratio);
    }
  }
  EXPECT_GT(most, 0);
}

TEST_F(AttendCaptureTest, ChangesNothingOfTheResult) {
  request_.out = folder_ / "with.safetensors";
  attend_file(request_);
  request_.out = folder_ / "without.safetensors";
  request_.capture.clear();
  attend_file(request_);
  const SafetensorsFile with(folder_ / "with.safetensors"), without(folder_ / "without.safetensors");
  EXPECT_TRUE(at::equal(with.tensor("out"), without.tensor("out")));
}

TEST_F(AttendCaptureTest, TakesTheNameOfNoOtherFileOfTheCall) {
  const auto refused = [&] {
    try {
      attend_file(request_);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::InvalidArgument;
    }
    return false;
  };
  request_.out = request_.capture;
  EXPECT_TRUE(refused());
  EXPECT_FALSE(std::filesystem::exists(request_.capture));
  request_.out.clear();
  request_.capture = request_.tensors;
  EXPECT_TRUE(refused());
  EXPECT_TRUE(at::equal(SafetensorsFile(request_.tensors).tensor("q"), tensors_["q"])) << "what was read is still there";
}

TEST_F(AttendCaptureTest, KeepsCompleteStepsWhenItIsStopped) {
  try {
    attend_file(request_, [](std::int64_t step) { return step < 2; });
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  const CaptureReader reader(request_.capture);
  EXPECT_EQ(reader.steps(1).size(), 2u);
  EXPECT_EQ(reader.run(1).state, "stopped: by the user");
}

TEST_F(AttendCaptureTest, NumbersBranchesThatNamesDoNotTellApart) {
  request_.conditional = {true, true};
  attend_file(request_);
  EXPECT_EQ(CaptureReader(request_.capture).run(1).branches, (std::vector<std::string>{"conditional 0", "conditional 1"}));
}

}  // namespace
}  // namespace ditscope
