// Sparse attention, refresh and block masses on one set of situations: float64, every instruction set of the CPU and the emulated
// GPU kernels get the same numbers in the same memory. What a situation keeps is said twice: as a description for the kernels,
// and pair by pair for the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/block_mass.h"
#include "kernels/grid_window.h"
#include "tests/kernels/cuda_case.h"

namespace ditscope {
namespace {

using test::CudaCase;
using Keeps = std::function<bool(int h, int i, int j)>;

struct Situation {
  const char* name;
  int heads, width;
  MaskDescription mask;
  Keeps keeps;
  bool outliers = false, strided = false;
};

void add_text(MaskDescription& d, int text_begin, int tokens) {
  d.always = d.always_rows = {text_begin, tokens};
}

/// The same window of tokens in every frame, for text after the frames everything; the frames end inside a block.
Situation periodic_band() {
  constexpr int kFrames = 3, kFrameTokens = 61, kHalf = 5, kVideo = kFrames * kFrameTokens, kTokens = kVideo + 28;
  MaskDescription d;
  d.queries = d.keys = kTokens;
  d.spans_per_row = kFrames;
  for (int i = 0; i < kTokens; ++i)
    for (int f = 0; f < kFrames; ++f) {
      const int site = i % kFrameTokens, first = f * kFrameTokens;
      if (i < kVideo)
        d.spans.push_back({first + std::max(site - kHalf, 0), first + std::min(site + kHalf + 1, kFrameTokens)});
      else
        d.spans.push_back({first, first});
    }
  add_text(d, kVideo, kTokens);
  return {"a band with periods and text", 2, 72, d, [](int, int i, int j) {
            return i >= kVideo || j >= kVideo || std::abs(i % kFrameTokens - j % kFrameTokens) <= kHalf;
          }};
}

Situation window_3d() {
  constexpr int kFrames = 4, kRows = 5, kColumns = 7, kText = 9;
  const MaskDescription d = grid_window({kFrames, kRows, kColumns}, {1, 1, 2, WindowEdge::Cut},
                                        {GridAxis::Frames, GridAxis::Rows, GridAxis::Columns}, kText, true);
  return {"a 3-D window after text", 1, 88, d, [](int, int i, int j) {
            if (i < kText || j < kText) return true;
            const auto axes = [](int t) { return std::array{t / (kRows * kColumns), t / kColumns % kRows, t % kColumns}; };
            const auto a = axes(i - kText), b = axes(j - kText);
            return std::abs(a[0] - b[0]) <= 1 && std::abs(a[1] - b[1]) <= 1 && std::abs(a[2] - b[2]) <= 2;
          }};
}

/// Block lists of some block size, a list a head; `bounds` for blocks of any size.
MaskDescription lists(int heads, int queries, int keys, const std::vector<int>& query_bounds, const std::vector<int>& key_bounds,
                      const Keeps& keeps_block) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.lists = heads;
  d.block_offsets = {0};
  for (int h = 0; h < heads; ++h) {
    d.list_of_head.push_back(h);
    d.query_bounds.insert(d.query_bounds.end(), query_bounds.begin(), query_bounds.end());
    d.key_bounds.insert(d.key_bounds.end(), key_bounds.begin(), key_bounds.end());
    for (std::size_t m = 0; m + 1 < query_bounds.size(); ++m) {
      for (std::size_t n = 0; n + 1 < key_bounds.size(); ++n)
        if (keeps_block(h, static_cast<int>(m), static_cast<int>(n))) d.key_blocks.push_back(static_cast<int>(n));
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
  }
  return d;
}

bool scattered(int h, int m, int n) {
  return (3 * m + 5 * n + h) % 4 == 0;
}

Situation uniform_lists(const char* name, int block, int width, bool columns) {
  constexpr int kQueries = 211, kKeys = 307;
  std::vector<int> query_bounds, key_bounds;
  for (int t = 0; t < kQueries; t += block) query_bounds.push_back(t);
  for (int t = 0; t < kKeys; t += block) key_bounds.push_back(t);
  query_bounds.push_back(kQueries);
  key_bounds.push_back(kKeys);
  MaskDescription d = lists(2, kQueries, kKeys, query_bounds, key_bounds, scattered);
  d.query_bounds.clear();
  d.key_bounds.clear();
  d.list_block_tokens = block;
  const int column = columns ? 290 : kKeys, row = columns ? 200 : kQueries;
  if (columns) {
    d.always = {column, kKeys};
    d.always_rows = {row, kQueries};
  }
  return {name, 2, width, d, [=](int h, int i, int j) { return i >= row || j >= column || scattered(h, i / block, j / block); }};
}

Situation variable_blocks() {
  const std::vector<int> query_bounds{0, 17, 17, 80, 143}, key_bounds{0, 64, 70, 131, 199};
  const auto block_of = [](const std::vector<int>& bounds, int t) {
    return static_cast<int>(std::upper_bound(bounds.begin(), bounds.end(), t) - bounds.begin()) - 1;
  };
  return {"blocks of any size", 2, 64, lists(2, 143, 199, query_bounds, key_bounds, scattered),
          [=](int h, int i, int j) { return scattered(h, block_of(query_bounds, i), block_of(key_bounds, j)); }};
}

/// Spans of one interval a row.
Situation spans(const char* name, int heads, int queries, int keys, int width, const std::function<TokenSpan(int i)>& span) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  for (int i = 0; i < queries; ++i) d.spans.push_back(span(i));
  return {name, heads, width, d, [span](int, int i, int j) { return j >= span(i).begin && j < span(i).end; }};
}

Situation padded_keys() {
  Situation s = spans("padded keys", 2, 97, 181, 40, [](int) { return TokenSpan{0, 181}; });
  s.mask.valid_keys.assign(3, 0);
  for (int j = 0; j < 181; ++j)
    s.mask.valid_keys[static_cast<std::size_t>(j / 64)] |= std::uint64_t{j % 5 != 2 && j < 170} << (j % 64);
  s.keeps = [](int, int, int j) { return j % 5 != 2 && j < 170; };
  return s;
}

std::vector<Situation> situations() {
  const auto whole = [](int keys) { return [keys](int) { return TokenSpan{0, keys}; }; };
  std::vector<Situation> all{periodic_band(), window_3d(), uniform_lists("lists of 64", 64, 128, false),
                             uniform_lists("lists of 128", 128, 8, false), uniform_lists("lists, columns and rows", 64, 32, true),
                             variable_blocks(), padded_keys(),
                             spans("full rows", 1, 127, 129, 96, whole(129)),
                             spans("one token", 1, 1, 1, 16, whole(1)),
                             spans("one query", 2, 1, 131, 256, whole(131)),
                             spans("one key", 2, 131, 1, 200, whole(1)),
                             spans("empty rows", 2, 137, 139, 80, [](int i) {
                               return i % 3 == 0 ? TokenSpan{0, 0} : TokenSpan{i / 2, i / 2 + 31};
                             }),
                             spans("one dense row among sparse ones", 1, 149, 331, 24, [](int i) {
                               return i == 77 ? TokenSpan{0, 331} : TokenSpan{i, i + 2};
                             }),
                             spans("outliers", 1, 103, 151, 64, [](int i) { return TokenSpan{0, 151 - i / 2}; }),
                             spans("rows apart in memory", 2, 83, 101, 56, [](int i) { return TokenSpan{i / 3, 101}; })};
  all[all.size() - 2].outliers = true;
  all.back().strided = true;
  return all;
}

template <typename T, int kRank>
HostView<T, kRank> host(const DeviceView<T, kRank>& view) {
  return {view.data, view.shape, view.stride};
}

int g_turn = 0;  ///< shared by the tests, so that each begins with another kind

template <typename Element>
class Contracts : public ::testing::Test {
 protected:
  static constexpr bool kOnCpu = !std::is_same_v<Element, Float16Bits>;
  static constexpr bool kNarrow = !std::is_same_v<Element, float>;

  /// The numbers of a situation.
  static CudaCase<Element> numbers(const Situation& s) {
    // Only float32 may lie anywhere on a GPU; 16-bit rows begin at multiples of 16 bytes.
    return {s.heads, static_cast<int>(s.mask.queries), static_cast<int>(s.mask.keys), s.width, 7u, kNarrow || !s.strided,
            s.outliers ? 11 : 0};
  }
  /// Calls body(name) under every instruction set of this machine.
  static void on_every_cpu(const std::function<void(const std::string& name)>& body) {
    if constexpr (kOnCpu) {
      for (const std::string& name : available_instruction_sets()) {
        const test::ScopedVariable choice("DITSCOPE_ISA", name);
        body(name);
      }
    }
  }
  /// Calls body(run, tile_blocks, name) for each kind of GPU kernel that takes the call; of the split kernels, which take long to
  /// emulate, for one kind in turn.
  template <bool kSplit, class Body>
  static void on_every_gpu(const Situation& s, const Body& body) {
    const int kinds = tile_blocks_for<Element>(s.width, 2) == 1 ? 1 : kNarrow ? 3 : 2;
    const int chosen = kSplit && kinds > 1 ? g_turn++ % kinds : 0;
    for (int kind = 0; kind < kinds; ++kind) {
      if (kSplit && kind != chosen) continue;
      const int tile_blocks = kind == 0 ? 1 : 2;
      const auto run = [&](const cuda::Parameters& p) {
        if constexpr (kNarrow) {
          if (kind == 2) return test::run_emulated_hopper<Element, kSplit>(p, alternate());
        }
        test::run_emulated<Element, kSplit>(p, tile_blocks, alternate());
      };
      body(run, tile_blocks, std::string(kind == 2 ? "GPU, 9.0" : kind == 1 ? "GPU, tiles of two" : "GPU, tiles of one"));
    }
  }
  /// Threads of a block go in one order and then in the other.
  static bool alternate() {
    static bool last = false;
    return last = !last;
  }
};
using Elements = ::testing::Types<float, Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(Contracts, Elements);

TYPED_TEST(Contracts, SparseAttention) {
  for (const Situation& s : situations()) {
    CudaCase<TypeParam> c = this->numbers(s);
    const BlockMask mask(s.mask);
    reference::AttentionResult expected = c.expected(s.keeps);
    const std::vector<double> added = c.residual.doubles();
    for (std::size_t n = 0; n < expected.out.size(); ++n)
      expected.out[n] = expected.out[n] * static_cast<double>(c.row_scale[n / static_cast<std::size_t>(c.width)]) + added[n];
    const auto check = [&](const std::string& where) {
      test::expect_equal(c, expected, std::string(s.name) + " on " + where, s.outliers);
      c.out.poison();
      std::fill(c.log_sum_exp.begin(), c.log_sum_exp.end(), 777.0f);
    };
    if constexpr (TestFixture::kOnCpu) {
      this->on_every_cpu([&](const std::string& name) {
        AttentionArguments<TypeParam> a;
        a.q = host(c.q.constant());
        a.k = host(c.k.constant());
        a.v = host(c.v.constant());
        a.scale = c.scale;
        a.mask = &mask;
        a.out = host(c.out.view);
        a.log_sum_exp = host(c.template rows<float>(c.log_sum_exp));
        a.row_scale = host(c.template rows<const float>(c.row_scale));
        a.residual = host(c.residual.constant());
        block_sparse_attention(a, test::threads(2));
        check(name);
      });
    }
    this->template on_every_gpu<false>(s, [&](const auto& run, int tile_blocks, const std::string& name) {
      PlanOptions options;
      options.tile_blocks = tile_blocks;
      options.most_entries = TestFixture::kNarrow && tile_blocks == 2 ? 2 : 0;
      AttentionPlan plan = make_attention_plan(mask, c.heads, options);
      std::vector<float> parts(static_cast<std::size_t>(part_floats(plan.layout, c.width)), NAN);
      CudaAttentionArguments<TypeParam> a = c.arguments();
      a.row_scale = c.template rows<const float>(c.row_scale);
      a.residual = c.residual.constant();
      a.parts = parts.data();
      run(cuda::plain_parameters(a, test::placed(plan)));
      check(name);
    });
  }
}

TYPED_TEST(Contracts, Refresh) {
  for (const Situation& s : situations()) {
    CudaCase<TypeParam> c = this->numbers(s);
    const BlockMask mask(s.mask), rest = mask.complement();
    // Padded keys are no part of full attention.
    const auto valid = [&](int j) {
      return s.mask.valid_keys.empty() || (s.mask.valid_keys[static_cast<std::size_t>(j / 64)] >> (j % 64) & 1) != 0;
    };
    const Keeps all = [&](int, int, int j) { return valid(j); };
    const auto full = c.expected(all), kept = c.expected(s.keeps);
    std::vector<double> residual = full.out;
    for (std::size_t n = 0; n < residual.size(); ++n) {
      const std::size_t row = n / static_cast<std::size_t>(c.width);
      residual[n] -= std::exp(kept.log_sum_exp[row] - full.log_sum_exp[row]) * kept.out[n];
    }
    // Where next to nothing is skipped, the residual is the rounding of what is: compared with the size of the output then.
    const std::vector<double> zeros(residual.size(), 0.0);
    const double size = std::max(test::relative_error(residual, zeros), 0.05 * test::relative_error(full.out, zeros));
    const auto check = [&](test::BlockMasses& masses, const std::string& where) {
      const std::string what = std::string(s.name) + " on " + where;
      test::expect_equal(c, full, what, s.outliers);
      EXPECT_LT(test::relative_error([&] {
                  std::vector<double> difference = c.residual.doubles();
                  for (std::size_t n = 0; n < difference.size(); ++n) difference[n] -= residual[n];
                  return difference;
                }(), zeros) / size,
                2 * test::Tolerance<TypeParam>::kOut * (s.outliers ? 10 : 1))
          << what;
      for (std::size_t i = 0; i < kept.log_sum_exp.size(); ++i) {
        if (std::isinf(kept.log_sum_exp[i])) {
          ASSERT_EQ(c.log_sum_exp_kept[i], -std::numeric_limits<float>::infinity()) << what;
        } else {
          ASSERT_NEAR(c.log_sum_exp_kept[i], kept.log_sum_exp[i], 1e-3 * std::max(1.0, std::abs(kept.log_sum_exp[i]) / 10)) << what;
        }
      }
      masses.expect_exact(c, all, true, what);
      c.out.poison();
      c.residual.poison();
    };
    if constexpr (TestFixture::kOnCpu) {
      this->on_every_cpu([&](const std::string& name) {
        test::BlockMasses masses(c, {}, 0);
        SplitArguments<TypeParam> a;
        a.q = host(c.q.constant());
        a.k = host(c.k.constant());
        a.v = host(c.v.constant());
        a.scale = c.scale;
        a.kept = &mask;
        a.skipped = &rest;
        a.out = host(c.out.view);
        a.residual = host(c.residual.view);
        a.log_sum_exp = host(c.template rows<float>(c.log_sum_exp));
        a.log_sum_exp_kept = host(c.template rows<float>(c.log_sum_exp_kept));
        a.block_mass = host(masses.view());
        split_attention(a, test::threads(2));
        check(masses, name);
      });
    }
    this->template on_every_gpu<true>(s, [&](const auto& run, int tile_blocks, const std::string& name) {
      PlanOptions options;
      options.tile_blocks = tile_blocks;
      AttentionPlan plan = make_attention_plan(mask, c.heads, options, &rest);
      test::BlockMasses masses(c, plan, 2);
      CudaSplitArguments<TypeParam> a = c.split_arguments(false);
      a.block_mass = masses.view();
      a.block_logs = masses.logs.data();
      run(cuda::split_parameters(a, test::placed(plan)));
      check(masses, name);
    });
  }
}

TYPED_TEST(Contracts, SearchForBlocks) {
  for (const Situation& s : situations()) {
    CudaCase<TypeParam> c = this->numbers(s);
    const BlockMask mask(s.mask);
    const reference::AttentionResult expected = c.expected(s.keeps);
    const auto check = [&](test::BlockMasses& masses, const std::string& where) {
      const std::string what = std::string(s.name) + " on " + where;
      test::expect_equal(c, expected, what, s.outliers);
      masses.expect_exact(c, s.keeps, false, what);
      c.out.poison();
    };
    if constexpr (TestFixture::kOnCpu) {
      this->on_every_cpu([&](const std::string& name) {
        test::BlockMasses masses(c, {}, 0);
        BlockSearchArguments<TypeParam> a;
        a.q = host(c.q.constant());
        a.k = host(c.k.constant());
        a.v = host(c.v.constant());
        a.scale = c.scale;
        a.mask = &mask;
        a.out = host(c.out.view);
        a.log_sum_exp = host(c.template rows<float>(c.log_sum_exp));
        a.mass = host(masses.view());
        block_search(a, test::threads(2));
        check(masses, name);
      });
    }
    this->template on_every_gpu<true>(s, [&](const auto& run, int tile_blocks, const std::string& name) {
      PlanOptions options;
      options.tile_blocks = tile_blocks;
      AttentionPlan plan = make_attention_plan(mask, c.heads, options);
      test::BlockMasses masses(c, plan, 2);
      CudaBlockSearchArguments<TypeParam> a;
      a.q = c.q.constant();
      a.k = c.k.constant();
      a.v = c.v.constant();
      a.scale = c.scale;
      a.out = c.out.view;
      a.log_sum_exp = c.template rows<float>(c.log_sum_exp);
      a.mass = masses.view();
      a.block_logs = masses.logs.data();
      run(cuda::search_parameters(a, test::placed(plan)));
      check(masses, name);
    });
  }
}

}  // namespace
}  // namespace ditscope
