#include <gtest/gtest.h>

#include <cmath>

#include "core/attention/memory_budget.h"
#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/attention/stored_residual.h"
#include "core/bridge/pv_skip.h"
#include "kernels/error.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::make_call;
using test::max_difference;

constexpr int kSteps = 6;

TokenLayout video() {
  TokenLayout layout;
  layout.text_tokens = 9;
  layout.frames = 3;
  layout.rows = 8;
  layout.columns = 9;
  return layout;
}

/// Sparse from step 1 on, where the method has a warm-up or a search.
MethodChoice with(const std::string& key, const char* qk) {
  MethodChoice choice{key, {{"qk", std::string(qk)}}};
  for (const Parameter& parameter : find_method(key).parameters) {
    if (parameter.key == "warmup_steps") choice.parameters["warmup_steps"] = std::int64_t{1};
    if (parameter.key == "refresh_period") choice.parameters["refresh_period"] = std::int64_t{parameter.minimum < 1 ? 0 : 5};
    if (parameter.key == "search_steps") choice.parameters["search_steps"] = std::string("1");
  }
  return choice;
}

/// The most by which any logit can be off when each value of q and k is off by at most half a step of its group: the larger
/// tensor-wide maximum stands for each group's own.
double logit_error(const LayerCall& call, bool smooth) {
  const at::Tensor q = call.q.to(at::kDouble), k = call.k.to(at::kDouble);
  const at::Tensor centred = smooth ? k - k.mean(2, true) : k;
  // Slots that hold no token lie at minus the mean: they may widen a group.
  const double step_q = q.abs().max().item<double>() / 254, step_k = (centred.abs().max() + (k - centred).abs().max()).item<double>() / 254;
  const double sum_q = q.abs().sum(-1).max().item<double>(), sum_k = centred.abs().sum(-1).max().item<double>();
  return call.scale * (sum_q * step_k + (sum_k + static_cast<double>(q.size(3)) * step_k) * step_q);
}

TEST(Int8Logits, EverySparseMethodStaysWithinTheBoundOfItsGroupsAndIsNotFloat) {
  for (const MethodEntry& entry : methods()) {
    if (entry.plan.empty()) continue;
    const std::string key = entry.key + "+none";
    AttentionSession plain(with(key, "float"), kSteps);
    int sparse = 0;
    const auto compare = [&](const LayerMeasure& m, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
      const at::Tensor in_float = plain.attend(call);
      if (plan.selections.empty() || !plan.attended.empty()) {
        EXPECT_TRUE(at::equal(out, in_float)) << key << " step " << m.step << ": full steps stay in float";
        return;
      }
      ++sparse;
      std::vector<std::int64_t> rows(static_cast<std::size_t>(call.q.size(2)));
      for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<std::int64_t>(r);
      const std::int64_t heads = call.q.size(1), tokens = call.q.size(2);
      const double off = logit_error(call, true), bound = std::expm1(2 * off) * call.v.abs().max().item<double>();
      for (std::int64_t b = 0; b < call.q.size(0); ++b) {
        const at::Tensor kept = plan.selections[static_cast<std::size_t>(b)]->kept_tokens(heads, rows).expand({heads, tokens, tokens});
        LayerCall one = call;
        for (at::Tensor* t : {&one.q, &one.k, &one.v}) *t = t->narrow(0, b, 1);
        const at::Tensor exact = exact_attention(one, kept.unsqueeze(0)).first.nan_to_num(0);
        EXPECT_LT(max_difference(out[b], exact[0]), bound) << key << " step " << m.step;
      }
      EXPECT_FALSE(at::equal(out, in_float)) << key << ": int8 was asked for";
      EXPECT_LT((out - in_float).norm().item<double>(), 0.03 * in_float.norm().item<double>()) << key;
    };
    AttentionSession session(with(key, "int8"), kSteps, compare);
    for (int step = 0; step < 4; ++step) session.attend(make_call(video(), step, kSteps, 3, 2, 2));
    EXPECT_GT(sparse, 0) << key;
  }
}

TEST(Int8Logits, TheMeanOfTheKeysCostsNothingWhereItIsTakenOut) {
  double errors[3];
  const char* precisions[] = {"int8", "int8-unsmoothed", "int8-token"};
  LayerCall call = make_call(video(), 2, kSteps, 5, 1, 2);
  call.k = call.k + 40;  // an outlier that all keys share
  const at::Tensor exact = exact_attention(call, test::specified_window(video(), 0.25)).first;
  for (int i = 0; i < 3; ++i) {
    MethodChoice choice = with("window", precisions[i]);
    choice.parameters["kept_ratio"] = 0.25;
    errors[i] = max_difference(AttentionSession(choice, kSteps).attend(call), exact);
  }
  EXPECT_GT(errors[1], 5 * errors[0]);
  EXPECT_LT(errors[2], errors[0] * 1.5);
}

TEST(Int8Logits, WhatTheKernelDoesNotTakeIsRefusedByName) {
  LayerCall call = make_call(video(), 2, kSteps);
  call.key_mask = at::ones({2, call.q.size(2)}, at::kBool);
  AttentionSession session(with("window", "int8"), kSteps);
  try {
    session.attend(call);
    FAIL() << "a key mask";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
    EXPECT_NE(std::string(error.what()).find("qk=float"), std::string::npos) << error.what();
  }
}

at::Tensor residual_like(std::int64_t heads, std::int64_t tokens, std::int64_t width) {
  at::Generator generator = at::detail::createCPUGenerator(8);
  return at::randn({heads, tokens, width}, generator, at::kFloat) * at::arange(1, width + 1, at::kFloat);
}

TEST(StoredResidual, EachFormLosesWhatItsBitsSayAndHoldsWhatItEstimates) {
  const std::int64_t heads = 2, tokens = 50, width = 16;
  const at::Tensor residual = residual_like(heads, tokens, width);
  const MethodSizes sizes{.layers = 1, .batch = 1, .heads = heads, .tokens = tokens, .head_dim = width};
  using Form = ResidualStorage::Form;
  for (const auto& [form, loss] : {std::pair{Form::AsComputed, 0.0}, {Form::Float32, 0.0}, {Form::Bfloat16, 0x1p-8}, {Form::Float8, 0x1p-4}}) {
    const ResidualStorage storage{form};
    const StoredResidual stored(residual, storage);
    const at::Tensor off = (stored.restored() - residual).abs();
    // Below the least normal value of e4m3, 2^-6 of 448, the step is fixed: 2^-10 of the scale is half of it.
    const at::Tensor allowed = residual.abs() * loss + (form == Form::Float8 ? residual.abs().amax(1, true) / 448 * 0x1p-10 : at::zeros({1})) + 1e-30;
    EXPECT_TRUE(off.le(allowed).all().item<bool>()) << static_cast<int>(form);
    EXPECT_EQ(stored.bytes(), storage.estimate_bytes(sizes)) << static_cast<int>(form);
  }
}

TEST(StoredResidual, LowRankIsTheBestOfItsRankAndExactAtFullRank) {
  const at::Tensor residual = residual_like(3, 40, 8);
  const at::Tensor singular = at::linalg_svdvals(residual.to(at::kDouble));  // (H,D)
  for (const std::int64_t rank : {1, 3, 8, 200}) {
    const ResidualStorage storage{ResidualStorage::Form::LowRank, rank};
    const StoredResidual stored(residual, storage);
    const at::Tensor lost = (stored.restored() - residual).to(at::kDouble).square().sum({1, 2});
    const at::Tensor least = singular.slice(1, std::min<std::int64_t>(rank, 8)).square().sum(1);  // Eckart and Young
    EXPECT_LT(max_difference(lost.sqrt(), least.sqrt()), 1e-4 * singular.max().item<double>()) << rank;
    EXPECT_EQ(stored.bytes(), storage.estimate_bytes({.layers = 1, .batch = 1, .heads = 3, .tokens = 40, .head_dim = 8})) << rank;
  }
}

TEST(StoredResidual, BothCachesHoldWhatTheyWereToldTo) {
  for (const char* key : {"re-ttention", "ditfastattn"}) {
    std::int64_t before = std::int64_t{1} << 40;
    at::Tensor exact;
    for (const char* form : {"float32", "bf16", "fp8"}) {
      MethodChoice choice = with(key, "float");
      choice.parameters["residual"] = std::string(form);
      AttentionSession session(choice, kSteps);
      at::Tensor out;
      for (int step = 0; step < 3; ++step) out = session.attend(make_call(video(), step, kSteps));
      if (!exact.defined()) exact = out;
      EXPECT_LT((out - exact).norm().item<double>(), 0.05 * exact.norm().item<double>()) << key << " " << form;
      EXPECT_LT(session.bytes_held(), before) << key << " " << form;
      before = session.bytes_held();
    }
  }
}

TEST(MemoryBudget, RefusesBeforeTheRunAndOffersTheFormsThatFit) {
  const MethodSizes sizes{.layers = 30, .batch = 2, .heads = 30, .tokens = 17776, .head_dim = 64, .element_bytes = 2};
  const MethodChoice choice{"re-ttention", {{"use_rho", false}}};
  EXPECT_EQ(make_method(choice, 50)->estimate_bytes(sizes), 4095590400);  // 3.81 GiB, as its specification counts R for CogVideoX-2B
  EXPECT_NO_THROW(require_memory_budget(choice, 50, sizes, 4095590400));
  try {
    require_memory_budget(choice, 50, sizes, 2'200'000'000);
    FAIL() << "half of what it needs";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    EXPECT_NE(text.find("residual=fp8"), std::string::npos) << text;
    EXPECT_NE(text.find("residual=low_rank"), std::string::npos) << text;
    EXPECT_EQ(text.find("residual=bf16"), std::string::npos) << text;
  }
  EXPECT_NO_THROW(require_memory_budget({"svg", {}}, 50, sizes, 1)) << "remembers nothing";
}

TEST(MemoryBudget, CountsWhatLiesInTheHostsMemoryApartWhereTheRunIsOnAGpu) {
  const MethodSizes sizes{.layers = 30, .batch = 2, .heads = 30, .tokens = 17776, .head_dim = 64, .element_bytes = 2};
  const MethodChoice here{"re-ttention", {}}, there{"re-ttention", {{"residual", std::string("host")}}};
  const MethodMemory memory = method_memory(there, 50, sizes);
  EXPECT_EQ(memory.host_bytes, 4095590400) << "R";
  EXPECT_EQ(memory.device_bytes, std::int64_t{30} * 2 * 30 * 17776 * 4) << "rho";
  EXPECT_EQ(memory.host_bytes + memory.device_bytes, make_method(here, 50)->estimate_bytes(sizes));
  EXPECT_NO_THROW(require_memory_budget(there, 50, sizes, MemoryBudget{memory.device_bytes, memory.host_bytes}));
  const auto refusal = [&](const MethodChoice& choice, const MemoryBudget& budget) -> std::string {
    try {
      require_memory_budget(choice, 50, sizes, budget);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal(here, {200'000'000, memory.host_bytes}).find("residual=host 128.0 MB and 4.1 GB of the host's memory"), std::string::npos)
      << refusal(here, {200'000'000, memory.host_bytes});
  EXPECT_EQ(refusal(here, {200'000'000, 1'000'000}).find("residual=host"), std::string::npos) << "the host has too little as well";
  EXPECT_NE(refusal(there, {200'000'000, 1'000'000}).find("of the host's memory"), std::string::npos);
  EXPECT_NE(refusal(there, {200'000'000}), "") << "a run on the host has one memory";
}

TEST(StoredResidual, GivesTheBitsOfTheResidualThatWasComputedFromTheHostsMemory) {
  for (const char* key : {"re-ttention", "ditfastattn", "ditscope-auto"}) {
    const auto run = [&](const char* residual) {
      AttentionSession session({key, {{"warmup_steps", std::int64_t{0}}, {"residual", std::string(residual)}}}, 3);
      std::vector<at::Tensor> outs;
      for (int step = 0; step < 3; ++step) outs.push_back(session.attend(test::make_call(test::small_video(), step, 3)));
      return at::stack(outs);
    };
    EXPECT_TRUE(at::equal(run("host"), run("as-computed"))) << key;
    EXPECT_FALSE(at::equal(run("fp8"), run("as-computed"))) << key;
  }
}

TEST(PvSkip, CountsThePairsThatItLeavesOut) {
  LayerCall call = test::make_call([] {
    TokenLayout layout;
    layout.frames = 1;
    layout.rows = 10;
    layout.columns = 19;
    return layout;
  }(), 0, 1, 3, 1, 2, 32);
  call.q = call.q.abs();
  call.k.zero_();
  call.k.narrow(2, 0, 64).fill_(3);    // what every query looks for
  call.k.narrow(2, 128, 62).fill_(3);  // and again; the block between gives nothing to speak of
  call.qk = QkPrecision::Int8;
  call.pv_skip = at::tensor({8.0f, 0.0f});
  const at::Tensor ratio = pv_left_out(call, BlockMask::dense(190, 190), 190);
  EXPECT_NEAR(ratio[0].item<double>(), 64.0 / 190, 1e-12);
  EXPECT_EQ(ratio[1].item<double>(), 0) << "off in the other head";
}

}  // namespace
}  // namespace ditscope
