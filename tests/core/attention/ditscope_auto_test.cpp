// DiTScope auto against a float64 transcription of docs/methods/ditscope-auto.md, row by row.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/attention/registry.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using namespace test;

constexpr int kSteps = 6;

/// Tokens as models lay them for it: the frames of a site side by side.
LayerCall video_call(int step, int steps, std::uint64_t seed = 1, std::int64_t batch = 2) {
  return position_major(make_call(small_video(), step, steps, seed, batch));
}

std::unique_ptr<Method> method(const std::string& more = "") {
  const std::string warmup = more.find("warmup_steps") == std::string::npos ? ",warmup_steps=0" : "";
  return make_method(parse_method_choice("ditscope-auto:kept_ratio=0.3,refresh_period=4,group_tokens=8" + warmup + more), kSteps);
}

/// Groups of 8 visual tokens, text tokens by themselves: group of each token.
std::vector<std::int64_t> groups(const TokenLayout& layout) {
  std::vector<std::int64_t> of;
  for (std::int64_t t = 0; t < layout.tokens(); ++t) of.push_back(t < layout.text_tokens ? t : layout.text_tokens + (t - layout.text_tokens) / 8);
  return of;
}

at::Tensor means(const at::Tensor& rows, const std::vector<std::int64_t>& of) {  // (T,D) -> (G,D), float64
  at::Tensor sums = at::zeros({of.back() + 1, rows.size(1)}, at::kDouble), counts = at::zeros({of.back() + 1, 1}, at::kDouble);
  for (std::size_t t = 0; t < of.size(); ++t) {
    sums[of[t]] += rows[static_cast<std::int64_t>(t)].to(at::kDouble);
    counts[of[t]] += 1;
  }
  return sums / counts;
}

at::Tensor kept_of(const BlockPlan& plan, std::int64_t b, std::int64_t heads, std::int64_t tokens) {  // (H,T,T)
  std::vector<std::int64_t> rows(static_cast<std::size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  return plan.selections[static_cast<std::size_t>(b)]->kept_tokens(heads, rows).expand({heads, tokens, tokens});
}

/// λ (G) and u (G,D) of one head.
std::pair<at::Tensor, at::Tensor> pooled(const LayerCall& call, std::int64_t b, std::int64_t h, const at::Tensor& kept) {
  const auto of = groups(call.layout);
  const std::int64_t count = of.back() + 1;
  const at::Tensor q = means(call.q[b][h], of), k = means(call.k[b][h], of), v = means(call.v[b][h], of);
  at::Tensor skipped = at::zeros({count, count}, at::kDouble), sizes = at::zeros({count}, at::kDouble);
  for (std::size_t i = 0; i < of.size(); ++i) {
    sizes[of[i]] += 1;
    for (std::size_t j = 0; j < of.size(); ++j)
      if (!kept[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)].item<bool>()) skipped[of[i]][of[j]] += 1;
  }
  const at::Tensor logits = at::matmul(q, k.t()) * call.scale + at::log(skipped / sizes.unsqueeze(1));
  const at::Tensor mass = at::logsumexp(logits, 1);
  return {mass, at::matmul(at::exp(logits - mass.unsqueeze(1)).nan_to_num(0), v)};
}

TEST(DitscopeAuto, SparseStepsFollowTheEquations) {
  for (const char* more : {"", ",measured_mass=off", ",pooled_change=off"}) {
    const auto m = method(more);
    const bool measured = std::string(more).find("mass") == std::string::npos, change = std::string(more).find("change") == std::string::npos;
    const LayerCall then = video_call(0, kSteps), now = video_call(1, kSteps);
    const BlockPlan refresh = m->plan(then);
    ASSERT_EQ(refresh.kind, StepKind::Refresh);
    EXPECT_LT(max_difference(m->execute(then, refresh), exact_attention(then).first), 1e-5);
    const BlockPlan plan = m->plan(now);
    ASSERT_EQ(plan.kind, StepKind::Sparse);
    const at::Tensor out = m->execute(now, plan);
    const auto of = groups(now.layout);
    const at::Tensor index = at::tensor(of, at::kLong);
    for (const std::int64_t b : {0, 1}) {
      const at::Tensor all_kept = kept_of(plan, b, 3, now.layout.tokens());
      for (const std::int64_t h : {0, 2}) {
        const at::Tensor kept = all_kept[h];
        const auto attention = [&](const LayerCall& call, const at::Tensor& keep) {
          const at::Tensor logits =
              (at::matmul(call.q[b][h].to(at::kDouble), call.k[b][h].to(at::kDouble).t()) * call.scale).masked_fill(keep.logical_not(), -INFINITY);
          return std::pair{at::matmul(at::softmax(logits, 1).nan_to_num(0), call.v[b][h].to(at::kDouble)), at::logsumexp(logits, 1)};
        };
        const auto [skipped_out, skipped_mass] = attention(then, kept.logical_not());
        const auto [kept_out, kept_mass] = attention(now, kept);
        const auto [mass_then, out_then] = pooled(then, b, h, kept);
        const auto [mass_now, out_now] = pooled(now, b, h, kept);
        at::Tensor mass = skipped_mass;
        if (change && measured) mass = mass + (mass_now - mass_then).nan_to_num(0, 0, 0).index_select(0, index);
        at::Tensor rest = measured ? at::sigmoid(mass - kept_mass) : at::sigmoid(skipped_mass - attention(then, kept).second);
        rest = rest.nan_to_num(0).unsqueeze(1);
        at::Tensor skipped = skipped_out;
        if (change) skipped = skipped + (out_now - out_then).index_select(0, index);
        EXPECT_LT(max_difference(out[b][h], (1 - rest) * kept_out + rest * skipped), 3e-5) << more << " batch " << b << " head " << h;
      }
    }
  }
}

TEST(DitscopeAuto, GivesFullAttentionWhereNothingChangedSinceTheRefresh) {
  const auto m = method();
  LayerCall call = video_call(0, kSteps);
  m->execute(call, m->plan(call));
  call.step = 1;
  const BlockPlan plan = m->plan(call);
  ASSERT_EQ(plan.kind, StepKind::Sparse);
  EXPECT_LT(plan.achieved, 0.75);
  EXPECT_LT(max_difference(m->execute(call, plan), exact_attention(call).first), 1e-5);
}

TEST(DitscopeAuto, KeepsTheDensestBlocksOfAllHeadsWithinTheBudget) {
  for (const bool spread : {true, false}) {
    const auto m = method(spread ? "" : ",blocks_by=mass");
    const LayerCall call = video_call(0, kSteps);
    const BlockPlan plan = m->plan(call);
    const auto of = groups(call.layout);
    const std::int64_t tokens = call.layout.tokens(), blocks = (tokens + 63) / 64, b = 1;
    std::vector<std::tuple<double, std::int64_t, double>> all;  // density, head * blocks^2 + block, pairs
    for (std::int64_t h = 0; h < 3; ++h) {
      const at::Tensor nothing = at::zeros({tokens, tokens}, at::kBool);
      const at::Tensor q = means(call.q[b][h], of), k = means(call.k[b][h], of);
      at::Tensor sizes = at::zeros({of.back() + 1}, at::kDouble), in = at::zeros({of.back() + 1, blocks}, at::kDouble);
      for (std::int64_t t = 0; t < tokens; ++t) {
        sizes[of[static_cast<std::size_t>(t)]] += 1;
        in[of[static_cast<std::size_t>(t)]][t / 64] += 1;
      }
      at::Tensor p = at::softmax(at::matmul(q, k.t()) * call.scale + at::log(sizes), 1);
      if (spread) {
        const at::Tensor q2 = means(call.q[b][h].to(at::kDouble).square(), of), k2 = means(call.k[b][h].to(at::kDouble).square(), of);
        p = p * (at::matmul(q2, (k2 - k.square()).clamp_min(0).t()) + at::matmul((q2 - q.square()).clamp_min(0), k.square().t())).sqrt();
      }
      const at::Tensor mass = at::matmul(at::matmul(in.t(), p), in / sizes.unsqueeze(1));  // rows weigh n_a
      for (std::int64_t i = 0; i < blocks * blocks; ++i) {
        const auto size = [&](std::int64_t block) { return static_cast<double>(std::min<std::int64_t>(64, tokens - block * 64)); };
        const double pairs = size(i / blocks) * size(i % blocks);
        all.emplace_back(mass.flatten()[i].item<double>() / pairs, h * blocks * blocks + i, pairs);
      }
    }
    std::sort(all.rbegin(), all.rend());
    double left = 0.3 * 3 * static_cast<double>(tokens * tokens);
    std::vector<bool> expected(all.size());
    for (const auto& [density, block, pairs] : all) {
      if ((left -= pairs) < 0) break;
      expected[static_cast<std::size_t>(block)] = true;
    }
    const at::Tensor kept = plan.selections[1]->kept_blocks().flatten();
    ASSERT_EQ(kept.numel(), static_cast<std::int64_t>(expected.size()));
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(kept[static_cast<std::int64_t>(i)].item<bool>(), expected[i]) << i;
    EXPECT_LE(plan.selections[1]->kept_ratio(), 0.3);
  }
}

TEST(DitscopeAuto, LayersSpendWhatTheyWouldHaveKeptAtTheRefreshBefore) {
  const auto kept_in = [](const std::string& more, std::initializer_list<int> steps = {0, 4}) {  // kept ratio of (step, layer)
    const auto m = method(more);
    std::vector<std::vector<double>> kept;
    for (const int step : steps) {
      kept.emplace_back();
      for (int layer = 0; layer < 2; ++layer) {
        LayerCall call = video_call(step, kSteps, static_cast<std::uint64_t>(layer + 1), 1);
        call.layer = layer;
        call.layers = 2;
        if (layer == 1) call.q = call.q * 3;  // sharper attention: denser blocks
        const BlockPlan plan = m->plan(call);
        m->execute(call, plan);
        kept.back().push_back(plan.selections.empty() ? 1 : plan.selections[0]->kept_ratio());
      }
    }
    return kept;
  };
  const auto shared = kept_in(""), apart = kept_in(",share_layers=off");
  EXPECT_EQ(shared[0], apart[0]) << "nothing is known at the first";
  EXPECT_GT(shared[1][1], 1.2 * apart[1][1]);
  EXPECT_LT(shared[1][0], 0.8 * apart[1][0]);
  EXPECT_NEAR(shared[1][0] + shared[1][1], 0.6, 0.1) << "the same budget in all";
  const auto warmed = kept_in(",warmup_steps=1", {0, 1});
  EXPECT_EQ(warmed[0], (std::vector<double>{1, 1}));
  EXPECT_GT(warmed[1][1], 1.2 * apart[0][1]) << "the last step of warm-up was seen";
}

TEST(DitscopeAuto, LaysTheFramesOfASiteSideBySideWhereTheyAreNot) {
  const auto as_laid = method(), laid_by_itself = method();
  const at::Tensor order = position_major_order(small_video());
  for (int step = 0; step < kSteps; ++step) {
    const LayerCall raster = make_call(small_video(), step, kSteps), call = position_major(raster);
    const BlockPlan plan = as_laid->plan(call), own = laid_by_itself->plan(raster);
    EXPECT_NEAR(own.achieved, plan.achieved, 1e-12);
    const at::Tensor expected = as_laid->execute(call, plan), out = laid_by_itself->execute(raster, own);
    EXPECT_LT((out.index_select(2, order) - expected).abs().max().item<double>(), 1e-4) << "step " << step;
  }
}

TEST(DitscopeAuto, CountsTheMeansItMultipliesAsWork) {
  const auto m = method();
  const LayerCall call = video_call(0, kSteps);
  const BlockPlan plan = m->plan(call);
  const double selected = (plan.selections[0]->kept_ratio() + plan.selections[1]->kept_ratio()) / 2, groups = 11 + 120 / 8, tokens = 131;
  EXPECT_NEAR(plan.achieved - 1, selected + groups * groups / (tokens * tokens), 1e-9);
}

TEST(DitscopeAuto, KeepingEverythingIsFullAttention) {
  const auto m = make_method(parse_method_choice("ditscope-auto:kept_ratio=1,warmup_steps=0"), kSteps);
  for (int step = 0; step < 3; ++step) {
    const LayerCall call = video_call(step, kSteps);
    EXPECT_LT(max_difference(m->execute(call, m->plan(call)), exact_attention(call).first), 1e-5);
  }
}

TEST(DitscopeAuto, KeepingNothingIsDefined) {
  const auto m = make_method(parse_method_choice("ditscope-auto:kept_ratio=1/512,warmup_steps=0"), kSteps);
  for (int step = 0; step < 3; ++step) {
    const LayerCall call = video_call(step, kSteps);
    const at::Tensor out = m->execute(call, m->plan(call));
    EXPECT_TRUE(at::isfinite(out).all().item<bool>());
    EXPECT_LT((out - exact_attention(call).first).norm().item<double>() / out.norm().item<double>(), 0.5) << "means and the refresh remain";
  }
}

}  // namespace
}  // namespace ditscope
