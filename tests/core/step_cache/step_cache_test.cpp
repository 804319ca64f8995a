// Step caches on a small stack of blocks that overwrites its states in place, as a model does: each against a float64 transcription of
// its formulas, and the rules that all share.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/catalog/step_caches.h"
#include "core/step_cache/registry.h"
#include "core/step_cache/session.h"

namespace ditscope {
namespace {

constexpr int kSteps = 16, kBlocks = 6;
constexpr std::int64_t kText = 3, kFrames = 3, kRows = 2, kColumns = 2, kWidth = 8;

double number(const at::Tensor& x) { return x.item<double>(); }

/// A stack of blocks and the states that enter it at each step, all float64.
struct Stack {
  TokenLayout layout{kText, true, kFrames, kRows, kColumns};
  std::vector<at::Tensor> inputs;         // (S) of (B,T,C)
  std::vector<at::Tensor> times;          // (S) of (B,C)
  std::vector<at::Tensor> mixes, spreads;  // (L) of (C,C)

  explicit Stack(std::uint64_t seed = 1, std::int64_t batch = 2, TokenOrder order = TokenOrder::FrameMajor) {
    layout.order = order;
    at::manual_seed(seed);
    const auto random = [](at::IntArrayRef shape) { return at::randn(shape, at::kDouble); };
    for (int l = 0; l < kBlocks; ++l) {
      mixes.push_back(random({kWidth, kWidth}) * 0.4);
      spreads.push_back(random({kWidth, kWidth}) * 0.3);
    }
    at::Tensor x = random({batch, layout.tokens(), kWidth}), time = random({batch, kWidth});
    for (int s = 0; s < kSteps; ++s) {
      inputs.push_back(x.clone());
      times.push_back(time.clone());
      const double pace = 0.02 + 0.3 * std::exp(-s / 3.0) + (s > 12 ? 0.1 : 0.0);  // quick, slow, quick
      x = x + pace * random(x.sizes());
      time = time + 0.3 * pace * random(time.sizes());
    }
  }

  at::Tensor attention(int block, const at::Tensor& x) const {  // what it adds
    return at::tanh(at::matmul(x, mixes[static_cast<std::size_t>(block)])) + 0.1 * x.mean(1, true);
  }
  at::Tensor block(int l, const at::Tensor& x) const {
    const at::Tensor y = x + attention(l, x);
    return y + 0.5 * at::sin(at::matmul(y, spreads[static_cast<std::size_t>(l)]));
  }
  at::Tensor blocks(const at::Tensor& x, int begin = 0, int end = kBlocks) const {
    at::Tensor y = x;
    for (int l = begin; l < end; ++l) y = block(l, y);
    return y;
  }
  at::Tensor modulated(int step) const {
    const auto s = static_cast<std::size_t>(step);
    return at::layer_norm(inputs[s], {kWidth}) * (1 + times[s].unsqueeze(1));
  }
  at::Tensor projected(int step) const { return 0.1 * at::matmul(times[static_cast<std::size_t>(step)], mixes[0]) + 0.5; }
  at::Tensor video(const at::Tensor& x) const { return x.narrow(1, kText, layout.visual_tokens()); }

  /// A pass as a model makes it. @param computed  the blocks that were
  at::Tensor pass(BlockCache* cache, int step, std::vector<int>* computed = nullptr,
                  std::vector<Branch> branches = {Branch::Unconditional, Branch::Conditional}) const {
    const auto s = static_cast<std::size_t>(step);
    at::Tensor x = inputs[s].clone();
    const BlockPass pass{step, kSteps, kBlocks, layout, std::move(branches), times[s], [&] { return modulated(step); }, [&] { return projected(step); }};
    for (int l = 0; l < kBlocks; ++l) {
      if (cache) l = cache->enter(pass, l, x);
      if (l >= kBlocks) break;
      if (cache && cache->watches_attention(pass, l)) cache->attended(pass, l, attention(l, x));
      x.copy_(block(l, x));
      if (computed) computed->push_back(l);
    }
    if (cache) cache->leave(pass, x);
    return x.clone();
  }
};

struct Trace {
  std::vector<at::Tensor> outs;            // (S)
  std::vector<std::vector<int>> computed;  // (S) blocks
};

Schedule all_full() { return make_schedule({.warmup_steps = kSteps}, kSteps, kBlocks); }

StepCacheSession session_of(const std::string& cache, const Schedule& schedule = all_full()) {
  return StepCacheSession(with_step_cache({}, cache), kSteps, {"toy", kBlocks, 2, 1}, schedule);
}

void run(StepCacheSession& session, const Stack& stack, Trace& trace, int begin = 0, int end = kSteps) {
  for (int s = begin; s < end; ++s) {
    std::vector<int> computed;
    trace.outs.push_back(stack.pass(&session, s, &computed));
    trace.computed.push_back(std::move(computed));
  }
}

Trace run(const std::string& cache, const Stack& stack, const Schedule& schedule = all_full()) {
  StepCacheSession session = session_of(cache, schedule);
  Trace trace;
  run(session, stack, trace);
  return trace;
}

std::vector<int> range(int begin, int end) {
  std::vector<int> list;
  for (int i = begin; i < end; ++i) list.push_back(i);
  return list;
}

void expect_equal(const Trace& ours, const Trace& theirs, const std::string& what) {
  ASSERT_EQ(ours.outs.size(), theirs.outs.size());
  for (std::size_t s = 0; s < ours.outs.size(); ++s) {
    EXPECT_EQ(ours.computed[s], theirs.computed[s]) << what << ", step " << s;
    EXPECT_TRUE(at::allclose(ours.outs[s], theirs.outs[s], 1e-11, 1e-11)) << what << ", step " << s;
  }
}

void expect_same_bits(const Trace& a, const Trace& b) {
  ASSERT_EQ(a.outs.size(), b.outs.size());
  EXPECT_EQ(a.computed, b.computed);
  for (std::size_t s = 0; s < a.outs.size(); ++s) EXPECT_TRUE(at::equal(a.outs[s], b.outs[s])) << "step " << s;
}

/// Steps of which some block was left out: a case without any, or with all, would prove little.
int reused_steps(const Trace& trace) {
  return static_cast<int>(std::count_if(trace.computed.begin(), trace.computed.end(), [](const auto& c) { return c.size() < kBlocks; }));
}

TEST(StepCache, TheRegistryHasWhatTheCatalogLists) {
  std::vector<std::string> listed;
  for (const StepCacheEntry& entry : step_caches()) listed.push_back(entry.key);
  EXPECT_EQ(registered_step_caches(), listed);
}

Trace teacache_by_formula(const Stack& stack, double threshold, const std::vector<double>& coefficients, StepSignal signal) {
  Trace trace;
  at::Tensor residual, before;
  double acc = 0;
  for (int s = 0; s < kSteps; ++s) {
    const auto at_s = static_cast<std::size_t>(s);
    const at::Tensor m = signal == StepSignal::Time ? stack.times[at_s] : signal == StepSignal::Projected ? stack.projected(s) : stack.modulated(s);
    const at::Tensor x = stack.inputs[at_s];
    bool compute = s == 0 || s == kSteps - 1;
    if (!compute) {
      const double d = number((m - before).abs().mean()) / number(before.abs().mean());
      double value = 0;
      for (std::size_t i = 0; i < coefficients.size(); ++i) value += coefficients[i] * std::pow(d, static_cast<double>(coefficients.size() - 1 - i));
      acc += value;
      compute = acc >= threshold;
    }
    before = m;
    if (compute) {
      acc = 0;
      residual = stack.blocks(x) - x;
    }
    trace.outs.push_back(x + residual);
    trace.computed.push_back(compute ? range(0, kBlocks) : std::vector<int>{});
  }
  return trace;
}

TEST(TeaCache, FollowsItsFormulaWithAPolynomialOfTheTimeAndWithTheChangeOfTheInput) {
  const Stack stack;
  const std::vector<double>& fitted = teacache_polynomial("cogvideox1.5-5b").coefficients;
  bool some = false;
  for (const double threshold : {0.02, 0.1, 0.3, 0.6}) {
    const std::string text = std::to_string(threshold);
    const Trace time = teacache_by_formula(stack, threshold, fitted, StepSignal::Time);
    const Trace input = teacache_by_formula(stack, threshold, {1, 0}, StepSignal::Modulated);
    expect_equal(run("teacache:polynomial=cogvideox1.5-5b,threshold=" + text, stack), time, "time " + text);
    expect_equal(run("teacache:polynomial=identity,threshold=" + text, stack), input, "input " + text);
    some |= reused_steps(time) > 2 && reused_steps(time) < kSteps - 3 && reused_steps(input) > 2 && reused_steps(input) < kSteps - 3;
  }
  EXPECT_TRUE(some);
}

TEST(TeaCache, FollowsItsFormulaWithThePolynomialsOfTheProjectedTime) {
  const Stack stack;
  const std::vector<double>& fitted = teacache_polynomial("wan2.1-1.3b-projected").coefficients;
  bool some = false;
  for (const double threshold : {0.02, 0.05, 0.1, 0.2}) {
    const Trace formula = teacache_by_formula(stack, threshold, fitted, StepSignal::Projected);
    const std::string text = "teacache:polynomial=wan2.1-1.3b-projected,threshold=" + std::to_string(threshold);
    expect_equal(run(text, stack), formula, text);
    some |= reused_steps(formula) > 2 && reused_steps(formula) < kSteps - 3;
  }
  EXPECT_TRUE(some);
}

TEST(TeaCache, SaysWhereItKnowsNoPolynomial) {
  const Schedule schedule = all_full();
  const MethodChoice choice = with_step_cache({}, "teacache");
  EXPECT_NE(StepCacheSession(choice, kSteps, {"toy", 6, 2, 1}, schedule).notice().find("no polynomial"), std::string::npos);
  EXPECT_EQ(StepCacheSession(choice, kSteps, {"CogVideoX", 30, 30, 1}, schedule).notice(), "");
  EXPECT_EQ(session_of("teacache:polynomial=identity").notice(), "") << "it was asked for";
}

Trace fbcache_by_formula(const Stack& stack, double threshold, int first, int last, int most, int in_all) {
  Trace trace;
  at::Tensor added_before, middle;
  int in_a_row = 0, reused = 0;
  for (int s = 0; s < kSteps; ++s) {
    const at::Tensor x = stack.inputs[static_cast<std::size_t>(s)], at_first = stack.blocks(x, 0, first);
    const at::Tensor added = stack.video(at_first) - stack.video(x);
    bool compute = s == 0 || (most > 0 && in_a_row == most) || (in_all > 0 && reused == in_all);
    if (!compute) compute = number((added - added_before).abs().mean()) / number(added_before.abs().mean()) > threshold;
    if (compute) {
      added_before = added;
      middle = stack.blocks(at_first, first, kBlocks - last) - at_first;
      in_a_row = 0;
    } else {
      ++in_a_row;
      ++reused;
    }
    trace.outs.push_back(stack.blocks(at_first + middle, kBlocks - last, kBlocks));
    std::vector<int> blocks = range(0, compute ? kBlocks - last : first);
    for (const int l : range(kBlocks - last, kBlocks)) blocks.push_back(l);
    trace.computed.push_back(std::move(blocks));
  }
  return trace;
}

TEST(FirstBlockCache, FollowsItsFormulaForAnyNumberOfFirstAndLastBlocks) {
  const Stack stack;
  bool some = false;
  for (const auto& [first, last, most, in_all] :
       {std::tuple{1, 0, 0, 0}, std::tuple{2, 1, 0, 0}, std::tuple{3, 2, 2, 0}, std::tuple{1, 0, 1, 0}, std::tuple{1, 0, 0, 3}}) {
    for (const double threshold : {0.03, 0.08, 0.2}) {
      const Trace formula = fbcache_by_formula(stack, threshold, first, last, most, in_all);
      expect_equal(run("fbcache:first_blocks=" + std::to_string(first) + ",last_blocks=" + std::to_string(last) + ",max_steps=" +
 std::to_string(most) + ",max_total=" + std::to_string(in_all) +
                           ",threshold=" + std::to_string(threshold),
                       stack),
                   formula, std::to_string(first) + " " + std::to_string(threshold));
      if (in_all > 0) {
        EXPECT_LE(reused_steps(formula), in_all);
      }
      some |= reused_steps(formula) > 2 && reused_steps(formula) < kSteps - 3;
    }
  }
  EXPECT_TRUE(some);
  const Trace none = run("fbcache:first_blocks=4,last_blocks=2,threshold=10", stack);
  EXPECT_EQ(reused_steps(none), 0) << "the first and the last blocks are all there are";
}

Trace adacache_by_formula(const Stack& stack, double factor, const std::vector<CodebookRow>& codebook, int block, bool moreg) {
  Trace trace;
  at::Tensor residual, attention;
  int computed = 0, interval = 1;
  double motion_before = 1;
  for (int s = 0; s < kSteps; ++s) {
    const at::Tensor x = stack.inputs[static_cast<std::size_t>(s)];
    const bool compute = s == 0 || s >= kSteps - 2 || s >= computed + interval;
    if (compute) {
      const at::Tensor now = stack.video(stack.attention(block, stack.blocks(x, 0, block)));
      const auto l1 = [](const at::Tensor& t) { return number(t.abs().sum()); };
      interval = 1;
      if (attention.defined()) {
        const double steps = s - computed;
        double change = l1(now - attention) / l1(attention) / steps;
        if (moreg) {
          double motion = 1;
          if (s + 1 >= static_cast<int>(0.1 * kSteps) && s + 1 <= static_cast<int>(0.9 * kSteps)) {
            const at::Tensor frames = now.view({now.size(0), kFrames, kRows * kColumns, kWidth});
            const at::Tensor a = frames.slice(1, 1), b = frames.slice(1, 0, kFrames - 1);
            motion = std::pow(l1(a - b) / (l1(a) + l1(b)) / 0.385, 8);
          }
          change *= motion + std::abs(10 * (motion - motion_before) / steps);
          motion_before = motion;
        }
        interval = codebook.back().interval_steps;
        for (auto row = codebook.rbegin(); row != codebook.rend(); ++row) {
          if (change < factor * row->distance) interval = row->interval_steps;
        }
      }
      attention = now;
      residual = stack.blocks(x) - x;
      computed = s;
    }
    trace.outs.push_back(x + residual);
    trace.computed.push_back(compute ? range(0, kBlocks) : std::vector<int>{});
  }
  return trace;
}

TEST(AdaCache, FollowsItsFormulaAndCodebook) {
  const Stack stack;
  bool some = false;
  for (const double factor : {0.3, 1.0, 3.0}) {
    const std::string text = "threshold=" + std::to_string(factor) + ",codebook=30";
    const Trace plain = adacache_by_formula(stack, factor, adacache_codebook("30", kSteps), 3, false);
    expect_equal(run("adacache:depth=0.5," + text, stack), plain, text);
    expect_equal(run("adacache:depth=1," + text, stack), adacache_by_formula(stack, factor, adacache_codebook("30", kSteps), 5, false), "last block " + text);
    expect_equal(run("adacache:depth=0.5,motion=on," + text, stack), adacache_by_formula(stack, factor, adacache_codebook("30", kSteps), 3, true),
                 "motion " + text);
    some |= reused_steps(plain) > 2 && reused_steps(plain) < kSteps - 3;
  }
  EXPECT_TRUE(some);
}

TEST(AdaCache, SeesTheSameMotionInEitherOrderOfTokens) {
  const Stack stack;
  Stack turned(1, 2, TokenOrder::PositionMajor);
  for (at::Tensor& x : turned.inputs) {  // the same tokens, the frames of a site side by side
    const at::Tensor video = stack.video(x).unflatten(1, {kFrames, kRows * kColumns}).transpose(1, 2).flatten(1, 2);
    x = at::cat({x.narrow(1, 0, kText), video}, 1);
  }
  const std::string text = "adacache:motion=on,codebook=30,threshold=3";
  EXPECT_EQ(run(text, stack).computed, run(text, turned).computed);
}

Trace foresight_by_formula(const Stack& stack, double gamma, int warmup, int period, bool outputs, bool of_three) {
  Trace trace;
  std::vector<at::Tensor> left(kBlocks);
  std::vector<double> delta(kBlocks, NAN);
  std::vector<std::vector<double>> in_warmup(kBlocks);  // deltas, the latest last
  const auto lambda = [&](int l) {
    const std::vector<double>& all = in_warmup[static_cast<std::size_t>(l)];
    double sum = all.empty() ? NAN : all.back();
    for (std::size_t back = 1; of_three && back < 3 && back < all.size(); ++back) sum += all[all.size() - 1 - back] / std::pow(10, back);
    return sum;
  };
  for (int s = 0; s < kSteps; ++s) {
    at::Tensor x = stack.inputs[static_cast<std::size_t>(s)];
    const bool whole = s < warmup || (s - warmup) % period == 0;
    std::vector<bool> reuse(kBlocks);
    for (int l = 0; l < kBlocks; ++l) reuse[static_cast<std::size_t>(l)] = !whole && delta[static_cast<std::size_t>(l)] <= gamma * lambda(l);
    if (outputs) {
      int last = kBlocks - 1;
      while (last >= 0 && !reuse[static_cast<std::size_t>(last)]) --last;
      for (int l = 0; l < last; ++l) reuse[static_cast<std::size_t>(l)] = true;
    }
    std::vector<int> computed;
    for (int l = 0; l < kBlocks; ++l) {
      const auto at_l = static_cast<std::size_t>(l);
      if (reuse[at_l]) {
        x = outputs ? left[at_l] : x + left[at_l];
        continue;
      }
      computed.push_back(l);
      const at::Tensor out = stack.block(l, x), now = outputs ? out : out - x;
      if (left[at_l].defined()) delta[at_l] = number((now - left[at_l]).square().mean());
      if (left[at_l].defined() && s < warmup) in_warmup[at_l].push_back(delta[at_l]);
      left[at_l] = now;
      x = out;
    }
    trace.outs.push_back(x);
    trace.computed.push_back(std::move(computed));
  }
  return trace;
}

TEST(Foresight, FollowsItsFormulaByOutputsAndByResiduals) {
  const Stack stack;
  bool some_blocks = false;
  for (const double gamma : {0.05, 0.3, 0.8, 3.0}) {
    for (const int period : {2, 4}) {
      for (const auto& [outputs, paper] : {std::pair{true, false}, std::pair{false, false}, std::pair{true, true}}) {
        const std::string text = "foresight:warmup_steps=4,period=" + std::to_string(period) + ",threshold=" + std::to_string(gamma) +
                                 ",jump=" + (outputs ? "output" : "residual") + (paper ? ",lambda=paper" : "");
        const Trace formula = foresight_by_formula(stack, gamma, 4, period, outputs, paper);
        expect_equal(run(text, stack), formula, text);
        for (const auto& computed : formula.computed) some_blocks |= !computed.empty() && computed.size() < kBlocks;
      }
    }
  }
  EXPECT_TRUE(some_blocks) << "some steps leave out some blocks and compute others";
}

const std::vector<std::string> kAll{"teacache:threshold=0.2", "adacache:threshold=3,codebook=30", "foresight:threshold=1,warmup_steps=3",
                                    "foresight:threshold=1,warmup_steps=3,jump=residual", "fbcache:threshold=0.15",
                                    "fbcache:threshold=0.15,first_blocks=2,last_blocks=1"};

std::string with_threshold(const std::string& text, const std::string& threshold) {
  const auto at = text.find("threshold=") + 10;
  return text.substr(0, at) + threshold + text.substr(std::min(text.find(',', at), text.size()));
}

TEST(StepCache, AThresholdOfZeroIsTheModelItselfToTheBit) {
  const Stack stack;
  for (const std::string& text : kAll) {
    const Trace trace = run(with_threshold(text, "0"), stack);
    for (int s = 0; s < kSteps; ++s) EXPECT_TRUE(at::equal(trace.outs[static_cast<std::size_t>(s)], stack.pass(nullptr, s))) << text << ", step " << s;
    EXPECT_EQ(reused_steps(trace), 0) << text;
  }
}

TEST(StepCache, TheLargestThresholdComputesOnlyWhatMustBeAndStaysFinite) {
  const Stack stack;
  for (const std::string& text : kAll) {
    const StepCacheEntry& entry = find_step_cache(text.substr(0, text.find(':')));
    const Trace trace = run(with_threshold(text, std::to_string(entry.parameters.front().maximum)), stack);
    EXPECT_GE(reused_steps(trace), kSteps / 3) << text;
    for (const at::Tensor& out : trace.outs) EXPECT_TRUE(at::isfinite(out).all().item<bool>()) << text;
    EXPECT_EQ(trace.computed.front().size(), std::size_t{kBlocks}) << text << ": there is nothing to reuse yet";
  }
  EXPECT_EQ(reused_steps(run("teacache:threshold=10,polynomial=identity", stack)), kSteps - 2) << "all but the first and the last";
}

TEST(StepCache, ComputesTheStepsAtWhichTheAttentionRenewsWhatItReuses) {
  const Stack stack;
  const Schedule schedule = make_schedule({.warmup_steps = 2, .refresh_period = 5, .search_steps = {4}}, kSteps, kBlocks);
  for (const std::string& text : kAll) {
    const Trace trace = run(with_threshold(text, "10"), stack, schedule);
    for (const int step : {2, 4, 7, 12}) EXPECT_EQ(trace.computed[static_cast<std::size_t>(step)].size(), std::size_t{kBlocks}) << text << ", step " << step;
    EXPECT_GT(reused_steps(trace), 2) << text;
  }
}

TEST(StepCache, ComputesTheFirstAndLastStepsThatItIsTold) {
  const Stack stack;
  for (const std::string& text : kAll) {
    const std::string cache = with_threshold(text, "10") + ",last_steps=4" + (text.find("warmup") == std::string::npos ? ",warmup_steps=5" : "");
    const Trace trace = run(cache, stack);
    for (const int step : {0, 1, 2, kSteps - 4, kSteps - 1}) EXPECT_EQ(trace.computed[static_cast<std::size_t>(step)].size(), std::size_t{kBlocks}) << text;
  }
}

TEST(StepCache, NothingOfOneRunIsLeftInTheNext) {
  const Stack a(1), b(2);
  for (const std::string& text : kAll) {
    const Trace first = run(text, a);
    run(text, b);
    expect_same_bits(first, run(text, a));
    EXPECT_GT(reused_steps(first), 0) << text;
  }
}

TEST(StepCache, AForkGoesItsOwnWayAndLeavesNoTrace) {
  const Stack a(1), b(2);
  for (const std::string& text : kAll) {
    const Trace whole = run(text, a);
    StepCacheSession session = session_of(text);
    Trace trace, elsewhere;
    run(session, a, trace, 0, 7);
    const std::unique_ptr<StepCacheSession> kept = session.fork();
    run(session, b, elsewhere, 7, kSteps);  // as a step that is stopped: what it did is forgotten
    run(*kept, a, trace, 7, kSteps);
    expect_same_bits(trace, whole);
  }
}

TEST(StepCache, GuidanceBranchesInCallsOfTheirOwnAreKeptApart) {
  const Stack a(1, 1), b(2, 1);
  for (const std::string& text : kAll) {
    StepCacheSession both = session_of(text), only_a = session_of(text), only_b = session_of(text);
    for (int s = 0; s < kSteps; ++s) {
      const at::Tensor out_a = a.pass(&both, s, nullptr, {Branch::Unconditional}), out_b = b.pass(&both, s, nullptr, {Branch::Conditional});
      EXPECT_TRUE(at::equal(out_a, a.pass(&only_a, s, nullptr, {Branch::Unconditional}))) << text << ", step " << s;
      EXPECT_TRUE(at::equal(out_b, b.pass(&only_b, s, nullptr, {Branch::Conditional}))) << text << ", step " << s;
    }
    EXPECT_GT(both.reused_ratio(), 0) << text;
  }
}

TEST(StepCache, AnotherNumberOfVideosStartsAnew) {
  const Stack pair(1, 2), one(1, 1);
  for (const std::string& text : kAll) {
    StepCacheSession session = session_of(with_threshold(text, "10"));
    pair.pass(&session, 6, nullptr, {Branch::Conditional});
    std::vector<int> computed;
    one.pass(&session, 7, &computed, {Branch::Conditional});
    EXPECT_EQ(computed.size(), std::size_t{kBlocks}) << text;
  }
}

TEST(StepCache, CountsWhatItLeftOutAndHoldsNoMoreThanItAnnounced) {
  const Stack stack;
  const StepCacheSizes sizes{kBlocks, 2, stack.layout.tokens(), kWidth, kWidth, 8};
  for (const std::string& text : kAll) {
    StepCacheSession session = session_of(text);
    Trace trace;
    run(session, stack, trace);
    double left_out = 0;
    for (int s = 0; s < kSteps; ++s) {
      const double of_step = 1 - static_cast<double>(trace.computed[static_cast<std::size_t>(s)].size()) / kBlocks;
      EXPECT_NEAR(session.reused_ratio(s), of_step, 1e-12) << text << ", step " << s;
      left_out += of_step / kSteps;
    }
    EXPECT_NEAR(session.reused_ratio(), left_out, 1e-12) << text;
    EXPECT_GT(session.bytes_held(), 0) << text;
    EXPECT_LE(session.peak_bytes_held(), estimate_step_cache_bytes(with_step_cache({}, text), kSteps, {"toy", kBlocks, 2, 1}, sizes)) << text;
  }
}

TEST(StepCache, AReplayBeginsWhereTheSameIsRemembered) {
  const Stack stack;
  for (const std::string& text : kAll) {
    StepCacheSession session = session_of(text);
    Trace trace;
    run(session, stack, trace);
    for (int step = 0; step < kSteps; ++step) {
      const int from = session.replay_from(step, step);
      ASSERT_LE(from, step);
      StepCacheSession again = session_of(text);
      Trace replayed;
      run(again, stack, replayed, from, step + 1);
      EXPECT_TRUE(at::equal(replayed.outs.back(), trace.outs[static_cast<std::size_t>(step)])) << text << ", step " << step << " from " << from;
    }
  }
}

}  // namespace
}  // namespace ditscope
