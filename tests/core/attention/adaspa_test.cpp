#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::max_difference;

/// 7 blocks of 64: six of visual tokens and one that joins them with text.
TokenLayout video(bool text_first) {
  TokenLayout layout;
  layout.text_tokens = 13;
  layout.text_first = text_first;
  layout.frames = 4;
  layout.rows = 10;
  layout.columns = 10;
  return layout;
}

struct Settings {
  double kept = 0.3;
  bool head_adaptive = true, rows = true, text_in_budget = true, cached_lse = true;
  double threshold = 0.55;
};

/// The specification in float64, pair by pair: text last, W, levels, masks; one batch element.
class Transcription {
 public:
  explicit Transcription(const Settings& settings) : s_(settings) {}

  /// @param q, k  (H,T,D) with text last. @return (H,n,n) kept blocks
  at::Tensor search(const at::Tensor& q, const at::Tensor& k, double scale, std::int64_t visual, bool fused) {
    const std::int64_t heads = q.size(0), tokens = q.size(1), n = (tokens + 63) / 64;
    const at::Tensor logits = at::matmul(q, k.transpose(1, 2)) * scale;
    if (fused) lse_ = at::logsumexp(logits, -1);
    const at::Tensor p = at::exp(logits - lse_.unsqueeze(-1));
    at::Tensor mass = at::zeros({heads, n, n}, at::kDouble);
    for (std::int64_t a = 0; a < n; ++a)
      for (std::int64_t b = 0; b < n; ++b)
        mass.select(1, a).select(1, b).copy_(p.slice(1, a * 64, a * 64 + 64).slice(2, b * 64, b * 64 + 64).sum({1, 2}));
    std::vector<double> recall;
    for (std::int64_t h = 0; h < heads; ++h) {
      const at::Tensor kept = keep(mass[h], s_.kept, n, visual);
      recall.push_back((mass[h] * kept).sum().item<double>() / mass[h].sum().item<double>());
    }
    std::vector<double> ratio(recall.size(), s_.kept);
    if (s_.head_adaptive) {
      const auto good = std::count_if(recall.begin(), recall.end(), [&](double r) { return r > s_.threshold; });
      std::vector<int> order(recall.size());
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](int a, int b) { return recall[a] > recall[b]; });
      changed_ = std::min<int>(static_cast<int>(good), static_cast<int>(heads / 2));
      const double sigma = 1 - s_.kept;
      for (int i = 0; i < changed_; ++i) {
        ratio[order[i]] = 1 - (1 + sigma) / 2;
        ratio[order[heads - 1 - i]] = 1 - std::max(0.0, (3 * sigma - 1) / 2);
      }
    }
    std::vector<at::Tensor> all;
    for (std::int64_t h = 0; h < heads; ++h) all.push_back(keep(mass[h], ratio[h], n, visual));
    return at::stack(all);
  }
  int changed() const { return changed_; }

 private:
  at::Tensor keep(const at::Tensor& mass, double ratio, std::int64_t n, std::int64_t visual) const {
    const std::int64_t clean = visual == n * 64 ? n : visual / 64;  // blocks without text
    at::Tensor kept = at::zeros({n, n}, at::kBool);
    const auto is_text = [&](std::int64_t block) { return block >= clean; };
    const auto k = static_cast<std::int64_t>(std::round(ratio * static_cast<double>(n)));
    std::vector<std::pair<double, std::int64_t>> all;
    for (std::int64_t a = 0; a < n; ++a) {
      std::vector<std::pair<double, std::int64_t>> row;
      std::int64_t budget = k;
      for (std::int64_t b = 0; b < n; ++b) {
        if (is_text(a) || is_text(b)) {
          kept[a][b] = true;
          if (s_.text_in_budget && is_text(b)) --budget;
        } else {
          row.push_back({-mass[a][b].item<double>(), b});
          all.push_back({-mass[a][b].item<double>(), a * n + b});
        }
      }
      if (is_text(a) || !s_.rows) continue;
      std::sort(row.begin(), row.end());
      for (std::int64_t i = 0; i < std::min<std::int64_t>(budget, static_cast<std::int64_t>(row.size())); ++i) kept[a][row[i].second] = true;
    }
    if (!s_.rows) {
      std::sort(all.begin(), all.end());
      auto budget = static_cast<std::int64_t>(std::round(ratio * static_cast<double>(n * n)));
      if (s_.text_in_budget) budget -= n * n - static_cast<std::int64_t>(all.size());
      for (std::int64_t i = 0; i < std::clamp<std::int64_t>(budget, 0, static_cast<std::int64_t>(all.size())); ++i)
        kept[all[i].second / n][all[i].second % n] = true;
    }
    return kept;
  }

  Settings s_;
  at::Tensor lse_;
  int changed_ = 0;
};

/// A call whose heads differ in how sharply they attend, and whose tokens resemble their neighbours.
LayerCall shaped_call(const TokenLayout& layout, int step, int steps, std::uint64_t seed = 3) {
  LayerCall call = test::make_call(layout, step, steps, seed, 2, 6);
  const at::Tensor block = at::arange(layout.tokens(), at::kFloat).mul(0.02).unsqueeze(-1) + at::arange(16, at::kFloat);
  const at::Tensor wave = at::sin(block * at::arange(1, 17, at::kFloat).mul(0.3));  // (T,16)
  const at::Tensor sharp = at::tensor({0.2f, 0.6f, 1.0f, 1.6f, 2.4f, 4.0f}).view({1, 6, 1, 1});
  call.q = 0.5 * call.q + sharp * wave;
  call.k = 0.5 * call.k + wave;
  return call;
}

MethodChoice choice_of(const Settings& s) {
  return {"adaspa",
          {{"kept_ratio", s.kept},
           {"search_steps", std::string("2/5")},
           {"head_adaptive", s.head_adaptive},
           {"selection", std::string(s.rows ? "rows" : "head")},
           {"text_in_budget", s.text_in_budget},
           {"cached_lse", s.cached_lse},
           {"recall_threshold", s.threshold}}};
}

at::Tensor tokens_of(const at::Tensor& blocks, std::int64_t tokens) {  // (H,n,n) -> (H,T,T)
  return blocks.repeat_interleave(64, 1).repeat_interleave(64, 2).narrow(1, 0, tokens).narrow(2, 0, tokens);
}

TEST(AdaSpa, FollowsTheSpecificationAtEveryStep) {
  const Settings cases[] = {{},
                            {.head_adaptive = false},
                            {.rows = false},
                            {.text_in_budget = false},
                            {.cached_lse = false},
                            {.kept = 0.9, .threshold = 0.1},
                            {.kept = 0.01, .threshold = 0.99}};
  for (const Settings& settings : cases) {
    for (const bool text_first : {true, false}) {
      if (!text_first && &settings != &cases[0]) continue;
      const TokenLayout layout = video(text_first);
      const std::int64_t tokens = layout.tokens(), text = layout.text_tokens;
      AttentionSession session(choice_of(settings), 9);
      std::vector<Transcription> states(2, Transcription(settings));
      std::vector<at::Tensor> kept(2);
      for (int step = 0; step < 9; ++step) {
        const LayerCall call = shaped_call(layout, step, 9);
        const at::Tensor out = session.attend(call);
        for (std::int64_t b = 0; b < 2; ++b) {
          const auto text_last = [&](const at::Tensor& x) {  // (H,T,D) double
            const at::Tensor wide = x[b].to(at::kDouble);
            return text_first ? at::cat({wide.slice(1, text), wide.slice(1, 0, text)}, 1) : wide;
          };
          const at::Tensor q = text_last(call.q), k = text_last(call.k), v = text_last(call.v);
          const bool fused = step == 2 || (step == 5 && !settings.cached_lse);
          if (step == 2 || step == 5) kept[b] = states[b].search(q, k, call.scale, layout.visual_tokens(), fused);
          at::Tensor logits = at::matmul(q, k.transpose(1, 2)) * call.scale;
          if (step >= 2 && !fused) logits = logits.masked_fill(tokens_of(kept[b], tokens).logical_not(), -INFINITY);
          const at::Tensor expected = at::matmul(at::softmax(logits, -1), v);
          EXPECT_LT(max_difference(text_last(out), expected), 2e-5) << "step " << step << " text first " << text_first;
        }
        if (step == 2 && &settings == &cases[0]) {
          EXPECT_GT(states[0].changed(), 0) << "no level changes: the case tests nothing";
        }
        const StepKind kind = session.step_record(step).kind;
        EXPECT_EQ(kind, step < 2 ? StepKind::Full : step == 2 || step == 5 ? StepKind::Search : StepKind::Sparse);
      }
    }
  }
}

TEST(AdaSpa, KeepsAsManyBlocksInEveryRowAndAllText) {
  TokenLayout layout;
  layout.text_tokens = 64;
  layout.text_first = false;
  layout.frames = 3;
  layout.rows = layout.columns = 16;  // 12 visual blocks and one of text
  const auto method = make_method({"adaspa", {{"kept_ratio", 0.2}, {"search_steps", std::string("0")}, {"head_adaptive", false}}}, 4);
  const LayerCall call = shaped_call(layout, 0, 4);
  const BlockPlan search = method->plan(call);
  EXPECT_EQ(search.kind, StepKind::Search);
  ASSERT_EQ(search.selections.size(), 2u);
  EXPECT_EQ(search.selections[0]->arrangement(), nullptr) << "text is last already";
  const at::Tensor& kept = search.selections[0]->kept_blocks();  // (6,13,13)
  EXPECT_TRUE(kept.select(1, 12).all().item<bool>() && kept.select(2, 12).all().item<bool>());
  EXPECT_TRUE(kept.slice(1, 0, 12).sum(2).eq(3).all().item<bool>()) << "round(0.2 * 13) = 3, text included";
}

TEST(AdaSpa, ASecondRunAfterAnotherPromptGivesTheBitsOfTheFirst) {
  const auto run = [&](std::uint64_t seed) {
    AttentionSession session(choice_of({}), 9);
    std::vector<at::Tensor> outs;
    for (int step = 0; step < 9; ++step) outs.push_back(session.attend(shaped_call(video(true), step, 9, seed)));
    return at::stack(outs);
  };
  const at::Tensor first = run(1), other = run(2), again = run(1);
  EXPECT_TRUE(at::equal(first, again));
  EXPECT_FALSE(at::equal(first, other));
}

TEST(AdaSpa, AnotherResolutionInTheSameSessionSearchesAnew) {
  AttentionSession session(choice_of({}), 9);
  for (int step = 0; step < 4; ++step) session.attend(shaped_call(video(true), step, 9));
  TokenLayout larger = video(true);
  larger.frames = 5;
  const LayerCall call = shaped_call(larger, 4, 9);
  EXPECT_LT(max_difference(session.attend(call), exact_attention(call).first), 1e-5) << "a first search gives full attention";
}

TEST(AdaSpa, GuidanceBranchesRememberApart) {
  AttentionSession together(choice_of({}), 9), apart(choice_of({}), 9);
  for (int step = 0; step < 7; ++step) {
    const LayerCall both = shaped_call(video(true), step, 9);
    const at::Tensor expected = together.attend(both);
    for (const std::int64_t b : {1, 0}) {
      LayerCall one = both;
      for (at::Tensor* tensor : {&one.q, &one.k, &one.v}) *tensor = tensor->slice(0, b, b + 1);
      one.branches = {both.branches[static_cast<std::size_t>(b)]};
      EXPECT_TRUE(at::equal(apart.attend(one)[0], expected[b])) << "step " << step << " branch " << b;
    }
  }
}

TEST(AdaSpa, OneTokenAndFewTokensAreFullAttention) {
  for (const std::int64_t columns : {1, 5}) {
    TokenLayout layout;
    layout.columns = columns;
    AttentionSession session({"adaspa", {{"search_steps", std::string("0/2")}}}, 4);
    for (int step = 0; step < 4; ++step) {
      const LayerCall call = test::make_call(layout, step, 4);
      EXPECT_LT(max_difference(session.attend(call), exact_attention(call).first), 1e-5);
    }
  }
}

TEST(AdaSpa, OtherTypesAndAKeyMaskTakeThePathOfLibTorchAndAgree) {
  AttentionSession single(choice_of({}), 7), twice(choice_of({}), 7), masked(choice_of({}), 7), brain(choice_of({}), 7);
  for (int step = 0; step < 7; ++step) {
    const LayerCall call = shaped_call(video(true), step, 7);
    const at::Tensor expected = single.attend(call);
    LayerCall other = call;
    for (at::Tensor* tensor : {&other.q, &other.k, &other.v}) *tensor = tensor->to(at::kDouble);
    EXPECT_LT(max_difference(twice.attend(other), expected), 1e-4) << step;
    other = call;
    other.key_mask = at::ones({2, call.q.size(2)}, at::kBool);
    EXPECT_LT(max_difference(masked.attend(other), expected), 1e-4) << step;
    LayerCall narrow = call;
    narrow.q = call.q.to(at::kBFloat16);
    narrow.k = call.k.to(at::kBFloat16);
    narrow.v = call.v.to(at::kBFloat16);
    EXPECT_TRUE(at::isfinite(brain.attend(narrow)).all().item<bool>());
  }
}

}  // namespace
}  // namespace ditscope
