// What the dynamic and static plans keep, against transcriptions of their papers token by token, and the vectors of their codes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/attention/block_grid.h"
#include "core/attention/registry.h"
#include "core/attention/svg_band.h"
#include "core/bridge/clusters.h"
#include "kernels/keep_reason.h"
#include "kernels/permutation.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::make_call;

TokenLayout grid(std::int64_t frames, std::int64_t rows, std::int64_t columns, std::int64_t text = 0, bool text_first = true) {
  TokenLayout layout;
  layout.frames = frames;
  layout.rows = rows;
  layout.columns = columns;
  layout.text_tokens = text;
  layout.text_first = text_first;
  return layout;
}

/// Kept pairs of the first sparse step of a method, (B,H,T,T) bool.
at::Tensor kept_pairs(MethodChoice choice, const LayerCall& call) {
  choice.parameters["warmup_steps"] = std::int64_t{0};
  const auto method = make_method(choice, 4);
  const BlockPlan plan = method->plan(call);
  const std::int64_t heads = call.q.size(1), tokens = call.q.size(2);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<at::Tensor> kept;
  for (const auto& selection : plan.selections) kept.push_back(selection->kept_tokens(heads, rows).expand({heads, tokens, tokens}));
  return at::stack(kept);
}

/// Mean kept ratio of a static plan on a grid of which only the sizes matter.
double kept_ratio(const MethodChoice& choice, const TokenLayout& layout) {
  LayerCall call;
  call.layout = layout;
  call.q = call.k = call.v = at::zeros({1, 1, layout.tokens(), 1});
  MethodChoice early = choice;
  early.parameters["warmup_steps"] = std::int64_t{0};
  return make_method(early, 4)->plan(call).selections[0]->kept_ratio();
}

/// Blocks of tokens, each a list, and the mean of rows over them.
using Blocks = std::vector<std::vector<std::int64_t>>;
at::Tensor means(const at::Tensor& rows, const Blocks& blocks) {
  std::vector<at::Tensor> all;
  for (const auto& block : blocks) all.push_back(rows.index_select(0, at::tensor(block, at::kLong)).mean(0));
  return at::stack(all);
}
Blocks consecutive(const std::vector<std::int64_t>& order, std::int64_t size) {
  Blocks blocks;
  for (std::size_t i = 0; i < order.size(); i += static_cast<std::size_t>(size))
    blocks.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i),
                        order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), i + static_cast<std::size_t>(size))));
  return blocks;
}
at::Tensor spread(const at::Tensor& kept, const Blocks& queries, const Blocks& keys, std::int64_t tokens) {
  at::Tensor pairs = at::zeros({tokens, tokens}, at::kBool);
  auto at = pairs.accessor<bool, 2>();
  for (std::size_t m = 0; m < queries.size(); ++m)
    for (std::size_t n = 0; n < keys.size(); ++n)
      if (kept[static_cast<std::int64_t>(m)][static_cast<std::int64_t>(n)].item<bool>())
        for (const auto i : queries[m])
          for (const auto j : keys[n]) at[i][j] = true;
  return pairs;
}
std::vector<std::int64_t> sorted_by(const at::Tensor& scores) {  // best first
  std::vector<std::int64_t> order(static_cast<std::size_t>(scores.size(0)));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return scores[a].item<double>() > scores[b].item<double>(); });
  return order;
}

at::Tensor one(const at::Tensor& x, std::int64_t b, std::int64_t h) { return x[b][h].to(at::kDouble); }

TEST(DraftAttention, KeepsWhatOneThresholdAHeadKeeps) {
  const TokenLayout l = grid(2, 16, 24, 10);  // patches of 8 x 16 and, at the right, of 8 x 8
  const LayerCall call = make_call(l, 0, 4);
  for (const double kept : {0.25, 0.6}) {
    const at::Tensor pairs = kept_pairs({"draftattention", {{"kept_ratio", kept}}}, call);
    Blocks patches;
    for (std::int64_t f = 0; f < 2; ++f)
      for (std::int64_t y = 0; y < 16; y += 8)
        for (std::int64_t x = 0; x < 24; x += 16) {
          patches.emplace_back();
          for (std::int64_t dy = 0; dy < 8; ++dy)
            for (std::int64_t dx = 0; dx < std::min<std::int64_t>(16, 24 - x); ++dx) patches.back().push_back(10 + (f * 16 + y + dy) * 24 + x + dx);
        }
    for (std::int64_t h = 0; h < 3; ++h) {
      const at::Tensor draft = at::softmax(at::matmul(means(one(call.q, 1, h), patches), means(one(call.k, 1, h), patches).t()) * call.scale, 1);
      const auto skipped = static_cast<std::int64_t>((1 - kept) * 64);
      const double threshold = std::get<0>(draft.flatten().sort())[skipped - 1].item<double>();
      at::Tensor expected = spread(draft.ge(threshold - 1e-9), patches, patches, l.tokens());
      expected.slice(0, 0, 10).fill_(true);
      expected.slice(1, 0, 10).fill_(true);
      EXPECT_TRUE(at::equal(pairs[1][h], expected)) << kept << " head " << h;
    }
  }
}

TEST(RainFusion, KeepsTheBestTilesOfEachRowAndFrameZeroAndText) {
  const TokenLayout l = grid(5, 9, 16, 20, false);
  const LayerCall call = make_call(l, 0, 4);
  const at::Tensor pairs = kept_pairs({"rainfusion", {{"kept_ratio", 0.3}}}, call);
  std::vector<std::int64_t> order, rest;  // frames 1..4 in tiles (2,8,8), the ninth row after them, frame 0, text
  for (std::int64_t f = 1; f < 5; f += 2)
    for (std::int64_t x = 0; x < 16; x += 8)
      for (std::int64_t df = 0; df < 2; ++df)
        for (std::int64_t y = 0; y < 8; ++y)
          for (std::int64_t dx = 0; dx < 8; ++dx) order.push_back(((f + df) * 9 + y) * 16 + x + dx);
  for (std::int64_t t = 144; t < 720; ++t)
    if (std::find(order.begin(), order.end(), t) == order.end()) rest.push_back(t);
  order.insert(order.end(), rest.begin(), rest.end());
  for (std::int64_t t = 0; t < 144; ++t) order.push_back(t);
  for (std::int64_t t = 720; t < 740; ++t) order.push_back(t);
  const Blocks blocks = consecutive(order, 128);
  const auto n = static_cast<std::int64_t>(blocks.size());
  for (std::int64_t h = 0; h < 3; ++h) {
    const at::Tensor p = at::softmax(at::matmul(means(one(call.q, 0, h), blocks), means(one(call.k, 0, h), blocks).t()) * call.scale, 1);
    at::Tensor kept = at::zeros({n, n}, at::kBool);
    for (std::int64_t m = 0; m < n; ++m) {
      const auto best = sorted_by(p[m]);
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(std::ceil(0.3 * static_cast<double>(n))); ++i) kept[m][best[i]] = true;
    }
    kept.slice(0, 4 * 144 / 128).fill_(true);
    kept.slice(1, 4 * 144 / 128).fill_(true);
    EXPECT_TRUE(at::equal(pairs[0][h], spread(kept, blocks, blocks, 740))) << h;
  }
}

TEST(RainFusion, ChoosesOnceALayerOrOnceAForwardPass) {
  const TokenLayout l = grid(5, 9, 16, 20, false);
  for (const bool once : {false, true}) {
    const auto method = make_method(
        {"rainfusion", {{"kept_ratio", 0.3}, {"warmup_steps", std::int64_t{0}}, {"masks", std::string(once ? "forward" : "layer")}}}, 4);
    std::vector<std::shared_ptr<const Selection>> chosen;  // steps 0 and 1, layers 0 and 1 of each
    for (int i = 0; i < 4; ++i) {
      LayerCall call = make_call(l, i / 2, 4, static_cast<std::uint64_t>(i + 1));
      call.layer = i % 2;
      call.layers = 2;
      chosen.push_back(method->plan(call).selections[1]);
    }
    EXPECT_EQ(chosen[0] == chosen[1] && chosen[2] == chosen[3], once);
    EXPECT_NE(chosen[0], chosen[2]) << "every forward pass chooses anew";
    EXPECT_NE(at::equal(chosen[0]->kept_blocks(), chosen[1]->kept_blocks()), !once);
  }
}

TEST(SpargeAttn, KeepsTheBestOfGoodBlocksAndAllOfTheOthers) {
  const TokenLayout l = grid(3, 10, 15, 21);
  LayerCall call = make_call(l, 0, 4);
  const at::Tensor wave = at::sin(at::arange(l.tokens(), at::kFloat).mul(0.01).unsqueeze(1) + at::arange(16, at::kFloat));
  call.q = call.q * 0.3 + wave;
  call.k = call.k * 0.3 + wave;
  call.k.slice(2, 64, 128).copy_(make_call(l, 1, 4).k.slice(2, 64, 128) * 3);  // one block that resembles nothing
  std::vector<std::int64_t> order(static_cast<std::size_t>(l.tokens()));
  std::iota(order.begin(), order.end(), 0);
  const Blocks queries = consecutive(order, 128), keys = consecutive(order, 64);
  for (const bool top_k : {true, false}) {
    const double theta = 0.3, kept_ratio = 0.4, tau = 0.7;
    const at::Tensor pairs = kept_pairs({"spargeattn",
                                         {{"rule", std::string(top_k ? "top-k" : "cdf")}, {"similarity", theta}, {"kept_ratio", kept_ratio}, {"cdf", tau}, {"sink", !top_k}}},
                                        call);
    bool any_bad = false, any_skipped = false;
    for (std::int64_t h = 0; h < 3; ++h) {
      const at::Tensor q = one(call.q, 0, h), k = one(call.k, 0, h) - one(call.k, 0, h).mean(0, true);
      const auto good = [&](const at::Tensor& rows, const std::vector<std::int64_t>& block) {
        const at::Tensor x = rows.index_select(0, at::tensor(block, at::kLong)), unit = x / x.norm(2, {1}, true);
        return at::matmul(unit, unit.t()).mean().item<double>() > theta;
      };
      at::Tensor logits = at::matmul(means(q, queries), means(k, keys).t()) * call.scale;
      std::vector<bool> good_key;
      for (std::size_t n = 0; n < keys.size(); ++n) {
        good_key.push_back(good(k, keys[n]));
        if (!good_key.back()) logits.select(1, static_cast<std::int64_t>(n)).fill_(-INFINITY);
        any_bad |= !good_key.back();
      }
      const at::Tensor p = at::softmax(logits, 1);
      at::Tensor kept = at::zeros({static_cast<std::int64_t>(queries.size()), static_cast<std::int64_t>(keys.size())}, at::kBool);
      for (std::size_t m = 0; m < queries.size(); ++m) {
        const auto best = sorted_by(p[static_cast<std::int64_t>(m)]);
        std::int64_t count = static_cast<std::int64_t>(kept_ratio * static_cast<double>(keys.size()));
        if (!top_k) {
          count = 0;
          double sum = 0;
          while (count < static_cast<std::int64_t>(best.size()) && (sum += p[static_cast<std::int64_t>(m)][best[count]].item<double>()) <= tau) ++count;
        }
        for (std::int64_t i = 0; i < std::max<std::int64_t>(count, 1); ++i) kept[static_cast<std::int64_t>(m)][best[i]] = true;
        if (!good(q, queries[m])) kept[static_cast<std::int64_t>(m)].fill_(true);
      }
      for (std::size_t n = 0; n < keys.size(); ++n)
        if (!good_key[n]) kept.select(1, static_cast<std::int64_t>(n)).fill_(true);
      if (!top_k) kept.select(1, 0).fill_(true);
      EXPECT_TRUE(at::equal(pairs[0][h], spread(kept, queries, keys, l.tokens()))) << top_k << " head " << h;
      any_skipped |= !kept.all().item<bool>();
    }
    EXPECT_TRUE(any_bad && any_skipped) << "the case tests nothing";
  }
}

TEST(XAttention, KeepsTheBestBlocksByTheirAntidiagonals) {
  const TokenLayout l = grid(3, 11, 13, 7);
  const LayerCall call = make_call(l, 0, 4);
  const std::int64_t tokens = l.tokens(), stride = 8;
  const at::Tensor pairs = kept_pairs({"xattention", {{"threshold", 0.6}, {"stride", std::string("8")}}}, call);
  std::vector<std::int64_t> order(static_cast<std::size_t>(tokens));
  std::iota(order.begin(), order.end(), 0);
  const Blocks blocks = consecutive(order, 128);
  const std::int64_t groups = (tokens + stride - 1) / stride, n = static_cast<std::int64_t>(blocks.size());
  for (std::int64_t h = 0; h < 3; ++h) {
    const at::Tensor q = one(call.q, 1, h), k = one(call.k, 1, h);
    at::Tensor logits = at::zeros({groups, groups}, at::kDouble);
    for (std::int64_t a = 0; a < groups; ++a)
      for (std::int64_t b = 0; b < groups; ++b) {
        double sum = 0;
        for (std::int64_t s = 0; s < stride; ++s) {
          const std::int64_t i = a * stride + stride - 1 - s, j = b * stride + s;
          if (i < tokens && j < tokens) sum += q[i].dot(k[j]).item<double>();
        }
        logits[a][b] = sum * call.scale / static_cast<double>(stride);
      }
    const at::Tensor shares = at::softmax(logits, 1);
    at::Tensor kept = at::zeros({n, n}, at::kBool);
    for (std::int64_t m = 0; m < n; ++m) {
      at::Tensor row = at::zeros({n}, at::kDouble);
      for (std::int64_t b = 0; b < n; ++b) row[b] = shares.slice(0, m * 16, m * 16 + 16).slice(1, b * 16, b * 16 + 16).sum();
      row = row / row.sum();
      double before = 0;
      for (const auto b : sorted_by(row)) {
        if (before <= 0.6) kept[m][b] = true;
        before += row[b].item<double>();
      }
    }
    EXPECT_TRUE(at::equal(pairs[1][h], spread(kept, blocks, blocks, tokens))) << h;
  }
}

TEST(SlidingTiles, ThePublishedPlansKeepTheShareTheyShould) {
  const TokenLayout l = grid(30, 48, 80);  // 5 x 6 x 10 tiles of 6 x 8 x 8
  const struct {
    std::int64_t frames, rows, columns;
    double share, kept;
  } plans[] = {{5, 3, 3, 0.40, 0.15}, {1, 6, 10, 0.32, 0.2}, {3, 3, 5, 0.15, 0.15}, {5, 1, 10, 0.10, 1.0 / 6}, {5, 6, 1, 0.03, 0.1}};
  double mean = 0;
  for (const auto& plan : plans) {
    const double kept = kept_ratio({"sta", {{"window_frames", plan.frames}, {"window_rows", plan.rows}, {"window_columns", plan.columns}}}, l);
    EXPECT_NEAR(kept, plan.kept, 1e-9);
    mean += plan.share * kept;
  }
  EXPECT_NEAR(mean, 0.166, 5e-4) << "of sparse steps, HunyuanVideo";
}

TEST(SlidingTiles, AnEvenWindowSpansOneTileMoreAndAWideOneAll) {
  const TokenLayout l = grid(1, 40, 8);  // with 1x8x8: five tiles along the rows
  const auto kept = [&](std::int64_t rows) {
    return kept_ratio({"sta", {{"tile", std::string("1x8x8")}, {"window_frames", std::int64_t{1}}, {"window_rows", rows}, {"window_columns", std::int64_t{1}}}}, l);
  };
  EXPECT_DOUBLE_EQ(kept(1), 1.0 / 5);
  EXPECT_DOUBLE_EQ(kept(2), 3.0 / 5);
  EXPECT_DOUBLE_EQ(kept(3), 3.0 / 5);
  EXPECT_DOUBLE_EQ(kept(4), 1);
  EXPECT_DOUBLE_EQ(kept(5), 1);
}

TEST(SlidingTiles, ATokenSeesTheTilesAroundItsOwnAndText) {
  const TokenLayout l = grid(9, 10, 11, 6);  // 4 x 4 x 4 tiles with smaller ones at the borders
  LayerCall call = make_call(l, 0, 4, 1, 1, 1);
  const at::Tensor pairs = kept_pairs({"sta", {{"window_frames", std::int64_t{1}}, {"window_rows", std::int64_t{1}}, {"window_columns", std::int64_t{1}}}}, call)[0][0];
  const auto tile = [&](std::int64_t t) {
    const std::int64_t v = t - 6;
    return std::array{v / 110 / 4, v / 11 % 10 / 4, v % 11 / 4};
  };
  for (std::int64_t i = 0; i < l.tokens(); i += 7)
    for (std::int64_t j = 0; j < l.tokens(); ++j)
      ASSERT_EQ(pairs[i][j].item<bool>(), i < 6 || j < 6 || tile(i) == tile(j)) << i << "," << j;
}

TEST(Radial, KeepsTheShareOfItsCode) {
  const auto kept = [](std::int64_t frames, double decay, const char* sink) {
    return kept_ratio({"radial", {{"decay", decay}, {"first_frame_sink", std::string(sink)}}}, grid(frames, 48, 80));
  };
  EXPECT_NEAR(kept(18, 0.2, "on"), 0.2871, 5e-4) << "Wan2.1";
  EXPECT_NEAR(kept(20, 0.8, "on"), 0.3525, 5e-4) << "Wan2.2";
  EXPECT_NEAR(kept(30, 0.95, "off"), 0.2746, 5e-4) << "HunyuanVideo";
}

TEST(Radial, EveryTokenSeesItsOwnBlock) {
  // Frames that are small against a block, and a last block of few rows.
  for (const TokenLayout& l : {grid(1, 1, 1), grid(2, 4, 4), grid(9, 5, 6), grid(3, 7, 50)}) {
    LayerCall call = make_call(l, 0, 4, 1, 1, 1);
    const at::Tensor pairs = kept_pairs({"radial", {{"first_frame_sink", std::string("off")}}}, call)[0][0];
    EXPECT_TRUE(pairs.diagonal().all().item<bool>()) << l.frames << " frames of " << l.sites();
  }
}

TEST(SparseVideoGen, HasTheBandsOfItsCode) {
  EXPECT_EQ(svg_band_tokens(grid(33, 45, 80, 256, false), 0.25), 15616) << "HunyuanVideo 720p";
  EXPECT_EQ(svg_band_tokens(grid(11, 48, 85, 226), 0.25), 5760) << "CogVideoX1.5";
  EXPECT_EQ(svg_band_tokens(grid(13, 30, 45, 226), 0.25), 2048) << "CogVideoX";
  EXPECT_EQ(svg_band_tokens(grid(21, 45, 80), 0.3), 12416) << "Wan 720p";
  EXPECT_NEAR(svg_mask(grid(21, 45, 80), 0.3, true).kept_ratio(), 0.340, 5e-4) << "Wan 720p, with the first frame";
}

TEST(SparseVideoGen, KeepsTheFirstFrameWhereverTextStands) {
  for (const TokenLayout& l : {grid(6, 8, 16, 24, true), grid(6, 8, 16, 24, false), grid(6, 8, 16)}) {
    for (const bool sink : {false, true}) {
      const Selection selection(std::make_shared<const BlockMask>(svg_mask(l, 0.3, sink)), nullptr);
      const std::int64_t reach = svg_band_tokens(l, 0.3) - (l.text_tokens > 0 ? 1 : 0), begin = l.visual_begin(), end = begin + l.visual_tokens();
      const auto text = [&](std::int64_t t) { return t < begin || t >= end; };
      for (std::int64_t i = 0; i < l.tokens(); i += 31) {
        const at::Tensor kept = selection.kept_tokens(1, {i})[0][0];
        for (std::int64_t j = 0; j < l.tokens(); ++j) {
          const bool expected = text(i) || text(j) || std::abs(i - j) <= reach || (sink && j - begin < l.sites());
          ASSERT_EQ(kept[j].item<bool>(), expected) << i << ", " << j << ": " << l.text_tokens << " text tokens, first " << l.text_first << ", sink " << sink;
        }
      }
    }
  }
}

TEST(SparseVideoGen, GivesEachHeadTheOrderThatItAttendsIn) {
  const TokenLayout l = grid(8, 16, 16, 16);
  LayerCall call = make_call(l, 0, 4, 1, 1, 2, 32);
  // Head 0: tokens of a frame attend to each other; head 1: those of a site do.
  const at::Tensor codes = at::randn({8 + 256, 32}, at::detail::createCPUGenerator(3), at::kFloat) * 3;
  for (at::Tensor* x : {&call.q, &call.k}) {
    for (std::int64_t v = 0; v < l.visual_tokens(); ++v) {
      (*x)[0][0][16 + v].copy_(codes[v / 256]);
      (*x)[0][1][16 + v].copy_(codes[8 + v % 256]);
    }
  }
  const auto method = make_method({"svg", {{"warmup_steps", std::int64_t{0}}, {"kept_ratio", 0.3}}}, 4);
  const BlockPlan plan = method->plan(call);
  const Arrangement* arrangement = plan.selections[0]->arrangement();
  ASSERT_NE(arrangement, nullptr);
  ASSERT_EQ(arrangement->queries.dim(), 2);
  EXPECT_EQ(arrangement->queries[0][16 + 1].item<std::int64_t>(), 16 + 1) << "spatial: frame after frame";
  EXPECT_EQ(arrangement->queries[1][16 + 1].item<std::int64_t>(), 16 + 256) << "temporal: site after site";
  for (std::int64_t h = 0; h < 2; ++h)  // |slot - slot| < W or text, in the head's own order
    for (std::int64_t i = 0; i < l.tokens(); i += 97)
      for (std::int64_t j = 0; j < l.tokens(); j += 13) {
        const std::int64_t a = arrangement->query_slots[h][i].item<std::int64_t>(), b = arrangement->query_slots[h][j].item<std::int64_t>();
        const bool expected = i < 16 || j < 16 || std::abs(a - b) < svg_band_tokens(l, 0.3);
        ASSERT_EQ(plan.selections[0]->kept_tokens(2, {i})[h][0][j].item<bool>(), expected);
      }
}

TEST(SparseVideoGen, CanSampleTheFirstRowsAlone) {
  // Queries of the first frame ask for their frame, all others for their site; keys hold both.
  const TokenLayout l = grid(8, 16, 16);
  LayerCall call = make_call(l, 0, 4, 1, 1, 1, 64);
  const at::Tensor codes = at::randn({8 + 256, 32}, at::detail::createCPUGenerator(3), at::kFloat) * 3;
  call.q.zero_();
  for (std::int64_t v = 0; v < l.visual_tokens(); ++v) {
    call.k[0][0][v].copy_(at::cat({codes[v / 256], codes[8 + v % 256]}));
    call.q[0][0][v].slice(0, v < 256 ? 0 : 32, v < 256 ? 32 : 64).copy_(v < 256 ? codes[0] : codes[8 + v % 256]);
  }
  const auto temporal = [&](std::int64_t sampled_from) {
    const auto method = make_method({"svg", {{"warmup_steps", std::int64_t{0}}, {"kept_ratio", 0.3}, {"sampled_from", sampled_from}}}, 4);
    return method->plan(call).selections[0]->arrangement() != nullptr;
  };
  EXPECT_TRUE(temporal(0)) << "most rows look along their site";
  EXPECT_FALSE(temporal(256)) << "those of the first frame do not";
}

TEST(Svg2, BeginsFromTheCentroidsOfWarmUpWhereItClustersThen) {
  const TokenLayout l = grid(4, 10, 12, 9);
  const LayerCall first = make_call(l, 0, 4), second = make_call(l, 1, 4);
  for (const bool in_warmup : {false, true}) {
    const auto method = make_method({"svg2", {{"query_clusters", std::int64_t{8}}, {"key_clusters", std::int64_t{20}}, {"top_p", 0.5},
                                              {"warmup_steps", std::int64_t{1}}, {"cluster_in_warmup", in_warmup}}}, 4);
    EXPECT_EQ(method->plan(first).kind, StepKind::Full);
    EXPECT_EQ(method->bytes_held() > 0, in_warmup);
    const BlockPlan plan = method->plan(second);
    const at::Tensor rows = second.q[0].narrow(1, 9, 480);
    const at::Tensor before = in_warmup ? clusters_of(first.q[0].narrow(1, 9, 480), 8, {}, 50, 0).centroids : at::Tensor();
    const Clusters expected = clusters_of(rows, 8, before, in_warmup ? 2 : 50, 0);
    EXPECT_TRUE(at::equal(plan.selections[0]->arrangement()->queries.slice(1, 0, 480), expected.order.to(at::kLong) + 9)) << in_warmup;
  }
}

TEST(Svg2, ClustersOfQueriesKeepTheClustersOfKeysThatMatter) {
  const TokenLayout l = grid(4, 10, 12, 9);
  const LayerCall call = make_call(l, 0, 4);
  const at::Tensor pairs = kept_pairs({"svg2", {{"query_clusters", std::int64_t{8}}, {"key_clusters", std::int64_t{20}}, {"top_p", 0.5}, {"least_ratio", 0.1}}}, call);
  const Clusters q = clusters_of(call.q[1].narrow(1, 9, 480), 8, {}, 50, 0), k = clusters_of(call.k[1].narrow(1, 9, 480), 20, {}, 50, 1);
  const auto members = [](const Clusters& c, std::int64_t h) {
    Blocks blocks;
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < c.counts.size(1); ++i) {
      blocks.emplace_back();
      for (std::int64_t n = 0; n < c.counts[h][i].item<std::int64_t>(); ++n) blocks.back().push_back(9 + c.order[h][at++].item<std::int64_t>());
    }
    return blocks;
  };
  for (std::int64_t h = 0; h < 3; ++h) {
    const Blocks queries = members(q, h), keys = members(k, h);
    at::Tensor kept = at::zeros({8, 20}, at::kBool);
    for (std::int64_t i = 0; i < 8; ++i) {
      at::Tensor p = at::exp(at::matmul(k.centroids[h].to(at::kDouble), q.centroids[h][i].to(at::kDouble)) * call.scale) * k.counts[h].to(at::kDouble);
      p = p / p.sum();
      double before = 0;
      std::int64_t place = 0;
      for (const auto j : sorted_by(p)) {
        if (before <= 0.5 || place < 2) kept[i][j] = true;
        before += p[j].item<double>();
        ++place;
      }
    }
    at::Tensor expected = spread(kept, queries, keys, l.tokens());
    expected.slice(0, 0, 9).fill_(true);
    expected.slice(1, 0, 9).fill_(true);
    EXPECT_TRUE(at::equal(pairs[1][h], expected)) << h;
    EXPECT_LT(kept.to(at::kDouble).mean().item<double>(), 0.9);
  }
}

TEST(Reasons, AreSaidOfTheKeptBlocksAndOfNoOther) {
  const TokenLayout l = grid(4, 16, 16, 64);
  const LayerCall call = make_call(l, 0, 4, 1, 1, 2);
  const auto number = [](KeepReason reason) { return static_cast<int>(reason); };
  for (const MethodChoice& method : {MethodChoice{"radial", {}}, {"sta", {}}, {"spargeattn", {{"kept_ratio", 0.2}}}, {"adaspa", {{"kept_ratio", 0.2}}},
                                     {"rectified-spaattn", {{"kept_ratio", 0.1}}}, {"minference", {{"pattern", std::string("a-shape")}}}}) {
    MethodChoice choice = method;
    if (method.key == "adaspa")
      choice.parameters["search_steps"] = std::string("0");
    else
      choice.parameters["warmup_steps"] = std::int64_t{0};
    const BlockPlan plan = make_method(choice, 4)->plan(call);
    const Selection& selection = *plan.selections.front();
    ASSERT_TRUE(selection.reasons().defined()) << method.key;
    EXPECT_TRUE(selection.reasons().ne(0).equal(selection.kept_blocks())) << method.key;
    if (method.key == "rectified-spaattn") {  // text is apart, at the end; the best of each row are the best
      const at::Tensor reasons = selection.reasons()[0];
      EXPECT_TRUE(reasons.select(1, reasons.size(1) - 1).eq(number(KeepReason::Text)).all().item<bool>());
      const at::Tensor best = reasons.eq(number(KeepReason::TopK)).sum(1);  // text competes as one of the columns
      EXPECT_LE(best.max().item<std::int64_t>(), static_cast<std::int64_t>(0.1 * static_cast<double>(selection.grid()->visual_blocks())));
      EXPECT_TRUE(reasons.eq(number(KeepReason::Neighbour)).any().item<bool>());
    }
  }
}

TEST(MInference, EachPatternKeepsItsBudgetAndWhatItIsNamedFor) {
  const TokenLayout l = grid(4, 16, 16);  // 16 blocks
  LayerCall call = make_call(l, 0, 4, 1, 1, 2);
  call.k[0][0].slice(0, 300, 302).mul_(6);  // two columns that matter
  call.q[0][0].copy_(call.k[0][0][300].expand_as(call.q[0][0]) * 0.3 + call.q[0][0] * 0.2);
  for (const char* pattern : {"a-shape", "vertical-slash", "block-sparse"}) {
    const at::Tensor pairs = kept_pairs({"minference", {{"kept_ratio", 0.25}, {"pattern", std::string(pattern)}}}, call)[0];
    const double mean = pairs.to(at::kDouble).mean().item<double>();
    EXPECT_LE(mean, 0.25 + (std::string(pattern) == "vertical-slash" ? 1.0 / 16 : 0) + 1e-9) << pattern;
    EXPECT_GE(mean, 0.15) << pattern;
    EXPECT_TRUE(pairs.any(-1).all().item<bool>()) << pattern << ": every row keeps something";
    if (std::string(pattern) == "vertical-slash") {
      EXPECT_TRUE(pairs[0].select(1, 300).all().item<bool>() && pairs[0].select(1, 0).all().item<bool>());
      EXPECT_TRUE(pairs.diagonal(0, 1, 2).all().item<bool>());
    }
    if (std::string(pattern) == "a-shape") {
      EXPECT_TRUE(pairs.diagonal(0, 1, 2).all().item<bool>());
    }
  }
}

TEST(MInference, AHeadTakesThePatternThatHoldsMost) {
  const TokenLayout l = grid(4, 16, 16);
  LayerCall call = make_call(l, 0, 4, 1, 1, 3);
  const at::Tensor wave = at::arange(l.tokens(), at::kFloat).div(64).floor();  // head 1: blocks that attend to a far block
  const at::Tensor codes = at::randn({16, 16}, at::detail::createCPUGenerator(5), at::kFloat) * 3;
  call.q[0][1].copy_(codes.index_select(0, wave.to(at::kLong)));
  call.k[0][1].copy_(codes.roll({5}, {0}).flip(0).index_select(0, wave.to(at::kLong)));
  const auto named = [&](const char* pattern) { return kept_pairs({"minference", {{"kept_ratio", 0.125}, {"pattern", std::string(pattern)}}}, call)[0]; };
  const at::Tensor mass = at::softmax(at::matmul(call.q[0], call.k[0].transpose(1, 2)) * call.scale, 2);
  const at::Tensor chosen = named("auto");
  for (std::int64_t h = 0; h < 3; ++h) {
    double best = 0;
    for (const char* pattern : {"a-shape", "vertical-slash", "block-sparse"}) best = std::max(best, (mass[h] * named(pattern)[h]).sum().item<double>());
    EXPECT_GT((mass[h] * chosen[h]).sum().item<double>(), 0.93 * best) << h;
  }
  EXPECT_TRUE(at::equal(chosen[1], named("block-sparse")[1]));
}

TEST(ParoAttention, FindsTheOrderInWhichAHeadIsBlockLikeAndKeepsTheHeaviestBlocks) {
  const TokenLayout l = grid(8, 8, 8);
  LayerCall call = make_call(l, 0, 4, 1, 1, 3, 32);
  const at::Tensor codes = at::randn({8, 32}, at::detail::createCPUGenerator(7), at::kFloat) * 3;
  for (std::int64_t t = 0; t < 512; ++t) {  // heads attend within a frame, a row, a column
    const std::int64_t place[] = {t / 64, t / 8 % 8, t % 8};
    for (std::int64_t h = 0; h < 3; ++h) {
      call.q[0][h][t].copy_(codes[place[h]]);
      call.k[0][h][t].copy_(codes[place[h]]);
    }
  }
  const auto method = make_method({"paroattention", {{"kept_ratio", 1.0 / 8}, {"search_steps", std::string("0")}}}, 4);
  const BlockPlan search = method->plan(call);
  EXPECT_EQ(search.kind, StepKind::Search);
  EXPECT_LT(test::max_difference(method->execute(call, search), test::exact_attention(call).first), 2e-5);
  call.step = 1;
  const BlockPlan plan = method->plan(call);
  EXPECT_EQ(plan.kind, StepKind::Sparse);
  EXPECT_EQ(plan.selections[0], search.selections[0]);
  for (std::int64_t t = 0; t < 512 - 64; t += 37) {
    const at::Tensor kept = plan.selections[0]->kept_tokens(3, {t});  // (3,1,512)
    for (std::int64_t u = 0; u < 512; u += 5) {
      EXPECT_TRUE(t / 64 != u / 64 || kept[0][0][u].item<bool>()) << "the frame of head 0";
      EXPECT_TRUE(t / 8 % 8 != u / 8 % 8 || kept[1][0][u].item<bool>()) << "the row of head 1";
      EXPECT_TRUE(t % 8 != u % 8 || kept[2][0][u].item<bool>()) << "the column of head 2";
    }
  }
  EXPECT_LT(plan.achieved, 0.36);
}

}  // namespace
}  // namespace ditscope
