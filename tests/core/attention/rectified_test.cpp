#include <gtest/gtest.h>

#include <cmath>

#include "core/attention/block_grid.h"
#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "kernels/keep_reason.h"
#include "kernels/permutation.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::max_difference;

/// Visual tokens that do not fill their last block, and text that does not either.
TokenLayout video(bool text_first, std::int64_t text = 9) {
  TokenLayout layout;
  layout.text_tokens = text;
  layout.text_first = text_first;
  layout.frames = 3;
  layout.rows = 10;
  layout.columns = 14;
  return layout;
}

LayerCall smooth_call(const TokenLayout& layout, std::uint64_t seed = 5) {
  LayerCall call = test::make_call(layout, 0, 1, seed, 2, 3);
  std::vector<float> places;
  for (std::int64_t t = 0; t < layout.tokens(); ++t) {
    const std::int64_t v = t - layout.visual_begin();
    const bool text = v < 0 || v >= layout.visual_tokens();
    places.push_back(text ? 99 : static_cast<float>(v / 140) + 0.3f * static_cast<float>(v % 140 / 14) + 0.2f * static_cast<float>(v % 14));
  }
  const at::Tensor wave = at::sin(at::tensor(places).unsqueeze(1) * at::arange(1, 17, at::kFloat).mul(0.25));
  call.q = 0.4 * call.q + 2.0 * wave;
  call.k = 0.4 * call.k + 1.5 * wave;
  return call;
}

/// Section A1 of the specification in float64, block by block, for one head; text is known by position.
struct Transcription {
  std::int64_t block = 64;
  double kept = 0.2, p = 0.3;
  std::string gain = "fold";
  std::int64_t first_blocks = 0;
  bool padded = false;  ///< blocks that are not full are filled up with zeros

  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, const TokenLayout& l) const {
    const std::int64_t tokens = q.size(0), begin = l.visual_begin(), count = l.visual_tokens();
    const Permutation curve = hilbert_order({l.frames, l.rows, l.columns});
    const std::int64_t n = (count + block - 1) / block;
    std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(n));
    std::vector<std::int64_t> block_of(static_cast<std::size_t>(count)), text;
    for (std::int64_t place = 0; place < count; ++place) {
      members[place / block].push_back(begin + curve[place]);
      block_of[curve[place]] = place / block;
    }
    for (std::int64_t t = 0; t < tokens; ++t)
      if (t < begin || t >= begin + count) text.push_back(t);
    const auto rows = [&](const at::Tensor& x, std::int64_t i) {  // of a block
      const at::Tensor held = x.index_select(0, at::tensor(members[i], at::kLong));
      return padded ? at::constant_pad_nd(held, {0, 0, 0, block - held.size(0)}) : held;
    };
    const auto mean = [&](const at::Tensor& x, std::int64_t i) { return rows(x, i).mean(0); };
    at::Tensor out = at::zeros_like(q);
    const at::Tensor logits = at::matmul(q, k.t()) * scale;
    for (const std::int64_t t : text) out[t] = at::matmul(at::softmax(logits[t], 0), v);
    for (std::int64_t i = 0; i < n; ++i) {
      const at::Tensor qi = mean(q, i);
      const at::Tensor dqi = (rows(q, i) - qi).abs().mean(0);
      std::vector<double> weight;
      double z = 0, text_mass = 0;
      std::vector<bool> wins;
      for (std::int64_t j = 0; j < n; ++j) {
        const at::Tensor kj = mean(k, j);
        const at::Tensor dkj = (rows(k, j) - kj).abs().mean(0);
        weight.push_back(static_cast<double>(rows(k, j).size(0)) * std::exp(scale * qi.dot(kj).item<double>()));
        z += weight.back();
        wins.push_back(std::abs(qi.dot(kj).item<double>()) > std::abs(dqi.dot(kj).item<double>()) + std::abs(qi.dot(dkj).item<double>()));
      }
      for (const std::int64_t t : text) text_mass += std::exp(scale * qi.dot(k[t]).item<double>());
      z += text_mass;
      for (double& w : weight) w /= z;
      text_mass /= z;
      std::vector<std::pair<double, std::int64_t>> columns;
      for (std::int64_t j = 0; j < n; ++j) columns.push_back({-weight[j], j});
      if (!text.empty()) columns.push_back({-text_mass, n});
      std::sort(columns.begin(), columns.end());
      std::int64_t best = 1;
      double sum = 0;
      for (const auto& [w, j] : columns) best += (sum -= w) <= p;
      best = std::max<std::int64_t>(best, static_cast<std::int64_t>(kept * static_cast<double>(n)));
      std::vector<bool> keeps(static_cast<std::size_t>(n), false);
      for (std::int64_t c = 0; c < std::min<std::int64_t>(best, static_cast<std::int64_t>(columns.size())); ++c)
        if (columns[c].second < n) keeps[columns[c].second] = true;
      for (const std::int64_t t : members[i]) {
        const std::int64_t r = t - begin, f = r / (l.rows * l.columns), y = r / l.columns % l.rows, x = r % l.columns;
        for (std::int64_t u = 0; u < count; ++u) {
          const std::int64_t g = u / (l.rows * l.columns), a = u / l.columns % l.rows, b = u % l.columns;
          if (std::abs(f - g) <= 1 && std::abs(y - a) <= 1 && std::abs(x - b) <= 1) keeps[block_of[u]] = true;
        }
      }
      for (std::int64_t j = 0; i < first_blocks && j < std::min(first_blocks, n); ++j) keeps[j] = true;
      double row = text_mass;
      at::Tensor added = at::zeros_like(qi);
      std::vector<std::int64_t> keys = text;
      for (std::int64_t j = 0; j < n; ++j) {
        if (keeps[j]) {
          row += weight[j];
          keys.insert(keys.end(), members[j].begin(), members[j].end());
        } else if (wins[j] || gain == "off") {
          added = added + weight[j] * mean(v, j);
        } else if (gain == "fold") {
          row += weight[j];
        }
      }
      const at::Tensor chosen = at::tensor(keys, at::kLong);
      for (const std::int64_t t : members[i])
        out[t] = row * at::matmul(at::softmax(logits[t].index_select(0, chosen), 0), v.index_select(0, chosen)) + added;
    }
    return out;
  }
};

MethodChoice choice_of(const Transcription& t) {
  return {"rectified-spaattn",
          {{"kept_ratio", t.kept},
           {"warmup_steps", std::int64_t{0}},
           {"top_p", t.p},
           {"block_tokens", std::to_string(t.block)},
           {"first_blocks", t.first_blocks},
           {"gain", t.gain},
           {"block_means", std::string(t.padded ? "padded" : "tokens")}}};
}

TEST(RectifiedSpaAttn, FollowsTheSpecification) {
  const Transcription cases[] = {{}, {.gain = "drop"}, {.gain = "off"}, {.block = 128}, {.kept = 0.5, .p = 0.0, .first_blocks = 2},
                                 {.p = 0.8}, {.padded = true}};
  for (const Transcription& transcription : cases) {
    for (const bool text_first : {true, false}) {
      const LayerCall call = smooth_call(video(text_first));
      AttentionSession session(choice_of(transcription), 1);
      const at::Tensor out = session.attend(call);
      for (std::int64_t b = 0; b < 2; ++b) {
        for (std::int64_t h = 0; h < 3; ++h) {
          const auto one = [&](const at::Tensor& x) { return x[b][h].to(at::kDouble); };
          const at::Tensor expected = transcription.attend(one(call.q), one(call.k), one(call.v), call.scale, call.layout);
          EXPECT_LT(max_difference(out[b][h], expected), 2e-5) << transcription.gain << " " << transcription.block << " " << text_first;
        }
      }
      EXPECT_GT(max_difference(out, exact_attention(call).first), 1e-3) << "nothing was skipped: the case tests nothing";
    }
  }
}

TEST(RectifiedSpaAttn, WorksWithoutText) {
  const LayerCall call = smooth_call(video(false, 0));
  AttentionSession session(choice_of({}), 1);
  const at::Tensor out = session.attend(call);
  const at::Tensor expected =
      Transcription{}.attend(call.q[1][2].to(at::kDouble), call.k[1][2].to(at::kDouble), call.v[1][2].to(at::kDouble), call.scale, call.layout);
  EXPECT_LT(max_difference(out[1][2], expected), 2e-5);
}

TEST(RectifiedSpaAttn, FoldedRowsWeighOneAndDroppedOnesLess) {
  LayerCall call = smooth_call(video(true));
  call.v = at::ones_like(call.v);  // the output is then the total weight of a row
  EXPECT_LT(max_difference(AttentionSession(choice_of({}), 1).attend(call), call.v), 1e-5);
  EXPECT_LT(max_difference(AttentionSession(choice_of({.gain = "off"}), 1).attend(call), call.v), 1e-5);
  const at::Tensor dropped = AttentionSession(choice_of({.gain = "drop"}), 1).attend(call);
  EXPECT_LT(dropped.max().item<double>(), 1 + 1e-5);
  EXPECT_LT(dropped.min().item<double>(), 0.999);
}

TEST(RectifiedSpaAttn, CountsTheBestBlocksAsThePaperOrAsItsCodeRoundsThem) {
  TokenLayout layout;
  layout.frames = 1;
  layout.rows = 20;
  layout.columns = 32;  // 10 blocks of 64
  const LayerCall call = test::make_call(layout, 0, 1, 3, 1, 2, 8);
  for (const bool paper : {true, false}) {
    const auto method = make_method({"rectified-spaattn",
                                     {{"kept_ratio", 0.2}, {"top_p", 0.0}, {"warmup_steps", std::int64_t{0}}, {"block_tokens", std::string("64")},
                                      {"top_k_rounding", paper}}}, 1);
    const at::Tensor best = method->plan(call).selections[0]->reasons().eq(static_cast<int>(KeepReason::TopK)).sum(2);
    EXPECT_TRUE(best.eq(paper ? 2 : 1).all().item<bool>()) << "0.2 of 10 is 2, (1 - (1 - 0.2)) 10 as a computer has it 1";
  }
}

TEST(RectifiedSpaAttn, KeepsTheBlocksOfTheVectorsOfItsCode) {
  EXPECT_EQ(static_cast<std::int64_t>((1 - 0.8) * 900), 179) << "HunyuanVideo: the code's top_k, from 1 - drop as it rounds";
  EXPECT_EQ(static_cast<std::int64_t>(0.2 * 900), 180) << "kept_ratio 0.2 as typed";
  EXPECT_EQ(static_cast<std::int64_t>(0.25 * 591), 147) << "Wan2.1";
  EXPECT_EQ(static_cast<std::int64_t>(0.15 * 330), 49) << "CogVideoX1.5";
}

TEST(RectifiedSpaAttn, NeighboursInTheGridOfCogVideoX15AreAsManyAsMeasured) {
  TokenLayout layout;
  layout.frames = 11;
  layout.rows = 48;
  layout.columns = 80;
  LayerCall call = test::make_call(layout, 0, 1, 1, 1, 1, 4);
  const auto method = make_method({"rectified-spaattn",
                                   {{"kept_ratio", 1.0 / 512}, {"top_p", 0.0}, {"warmup_steps", std::int64_t{0}}}}, 1);
  const at::Tensor kept = method->plan(call).selections[0]->kept_blocks();  // (1,330,330)
  ASSERT_EQ(kept.size(1), 330);
  EXPECT_NEAR(kept.sum(2).to(at::kDouble).mean().item<double>(), 14.6, 1.1) << "neighbours, and at most one block more";
}

}  // namespace
}  // namespace ditscope
