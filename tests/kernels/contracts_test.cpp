// Sparse attention, the same with int8 logits, refresh, block masses and the search for blocks on one set of situations: float64,
// every instruction set of the CPU and the emulated GPU kernels get the same numbers in the same memory.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/block_mass.h"
#include "kernels/int8_attention.h"
#include "kernels/reference/int8.h"
#include "tests/kernels/contract_situations.h"
#include "tests/kernels/cuda_case.h"

namespace ditscope {
namespace {

using test::CudaCase;
using test::Keeps;
using test::Situation;
using test::situations;

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

/// What becomes of the output of every row: row scale and residual, in every other situation also block scale and block vector.
template <typename Element>
class Epilogue {
 public:
  Epilogue(CudaCase<Element>& c, bool with_blocks)
      : c_(c), blocks_((c.queries + 63) / 64), with_blocks_(with_blocks), residual_(c.residual.doubles()) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    scales_.resize(static_cast<std::size_t>(c.heads * blocks_));
    vectors_.resize(scales_.size() * static_cast<std::size_t>(c.width));
    for (float& value : scales_) value = normal(random);
    for (float& value : vectors_) value = normal(random);
  }
  /// Of number n of (H,T,D).
  double factor(std::size_t n) const {
    const double row = c_.row_scale[n / static_cast<std::size_t>(c_.width)];
    return with_blocks_ ? row * scales_[block_of(n)] : row;
  }
  double added(std::size_t n) const {
    const std::size_t width = static_cast<std::size_t>(c_.width);
    return with_blocks_ ? residual_[n] + vectors_[block_of(n) * width + n % width] : residual_[n];
  }
  void give(AttentionArguments<Element>& a) {
    a.row_scale = host(c_.template rows<const float>(c_.row_scale));
    a.residual = host(c_.residual.constant());
    if (with_blocks_) {
      a.block_scale = {scales_.data(), {c_.heads, blocks_}, {blocks_, 1}};
      a.block_vector = {vectors_.data(), {c_.heads, blocks_, c_.width}, {blocks_ * c_.width, c_.width, 1}};
    }
  }
  void give(CudaAttentionArguments<Element>& a) {
    a.row_scale = c_.template rows<const float>(c_.row_scale);
    a.residual = c_.residual.constant();
    if (with_blocks_) {
      a.block_scale = {scales_.data(), {c_.heads, blocks_}, {blocks_, 1}};
      a.block_vector = {vectors_.data(), {c_.heads, blocks_, c_.width}, {blocks_ * c_.width, c_.width, 1}};
    }
  }

 private:
  std::size_t block_of(std::size_t n) const {
    const std::size_t row = n / static_cast<std::size_t>(c_.width), queries = static_cast<std::size_t>(c_.queries);
    return row / queries * static_cast<std::size_t>(blocks_) + row % queries / 64;
  }
  CudaCase<Element>& c_;
  std::int64_t blocks_;
  bool with_blocks_;
  std::vector<double> residual_;
  std::vector<float> scales_, vectors_;
};

TYPED_TEST(Contracts, SparseAttention) {
  int turn = 0;
  for (const Situation& s : situations()) {
    CudaCase<TypeParam> c = this->numbers(s);
    const BlockMask mask(s.mask);
    reference::AttentionResult expected = c.expected(s.keeps);
    Epilogue<TypeParam> epilogue(c, turn++ % 2 == 1);
    for (std::size_t n = 0; n < expected.out.size(); ++n)
      expected.out[n] = expected.out[n] * epilogue.factor(n) + epilogue.added(n);
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
        epilogue.give(a);
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
      epilogue.give(a);
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

TYPED_TEST(Contracts, BlockMass) {
  for (const Situation& s : situations()) {
    CudaCase<TypeParam> c = this->numbers(s);
    const BlockMask mask(s.mask);
    std::vector<double> sums = c.expected(s.keeps).log_sum_exp;
    for (std::size_t i = 0; i < sums.size(); ++i) {  // of an earlier step
      sums[i] += i % 3 == 0 ? 0.4 : -0.2;
      if (i % 13 == 7) sums[i] = -std::numeric_limits<double>::infinity();
      c.log_sum_exp[i] = static_cast<float>(sums[i]);
    }
    const std::vector<double> expected = reference::block_mass(c.q.doubles(), c.k.doubles(), sums, c.heads, c.queries, c.keys, c.width,
                                                               c.scale, 64, s.keeps, [](int) { return 1.0; });
    const auto check = [&](const test::BlockMasses& masses, const std::string& where) {
      const std::string what = std::string(s.name) + " on " + where;
      EXPECT_LT(test::relative_error({masses.mass.begin(), masses.mass.end()}, expected), 1e-4 * (s.outliers ? 10 : 1)) << what;
      for (std::size_t n = 0; n < expected.size(); ++n) {
        if (expected[n] == 0) {
          ASSERT_EQ(masses.mass[n], 0) << what << ": a block that is skipped";
        }
      }
    };
    if constexpr (TestFixture::kOnCpu) {
      this->on_every_cpu([&](const std::string& name) {
        test::BlockMasses masses(c, {}, 0);
        BlockMassArguments<TypeParam> a;
        a.q = host(c.q.constant());
        a.k = host(c.k.constant());
        a.scale = c.scale;
        a.mask = &mask;
        a.log_sum_exp = host(c.template rows<const float>(c.log_sum_exp));
        a.mass = host(masses.view());
        block_mass(a, test::threads(2));
        check(masses, name);
      });
    }
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(c.width, 2);
    AttentionPlan plan = make_attention_plan(mask, c.heads, options);
    test::BlockMasses masses(c, {}, 0);
    CudaBlockMassArguments<TypeParam> a;
    a.q = c.q.constant();
    a.k = c.k.constant();
    a.scale = c.scale;
    a.log_sum_exp = c.template rows<const float>(c.log_sum_exp);
    a.mass = masses.view();
    test::run_emulated_mass<TypeParam>(cuda::mass_parameters(a, test::placed(plan)), this->alternate());
    check(masses, "GPU");
  }
}

/// Against the oracle that rounds tokens by itself: what is left is float32, and numbers half-way that went to the other side.
template <typename Element>
void expect_int8(CudaCase<Element>& c, const reference::Int8Result& expected, const Epilogue<Element>& epilogue, bool outliers,
                 const std::string& what) {
  // Powers of two are within 7.5e-5 of themselves where the CPU has probabilities in bfloat16.
  constexpr double kLse = std::is_same_v<Element, Bfloat16Bits> ? 1e-4 : 2e-5;
  const double factor = outliers ? 10 : 1;
  const std::vector<double> out = c.out.doubles();
  double beyond = 0, norm = 0;
  for (std::size_t n = 0; n < out.size(); ++n) {
    const double scale = epilogue.factor(n), wanted = scale * expected.out[n] + epilogue.added(n);
    const double distance = std::max(std::abs(out[n] - wanted) - std::abs(scale) * expected.out_doubt[n], 0.0);
    beyond += distance * distance;
    norm += wanted * wanted;
  }
  EXPECT_LT(std::sqrt(beyond / norm), test::Tolerance<Element>::kOut * factor) << what;
  for (std::size_t i = 0; i < expected.log_sum_exp.size(); ++i) {
    const double wanted = expected.log_sum_exp[i];
    if (std::isinf(wanted)) {
      ASSERT_EQ(c.log_sum_exp[i], -std::numeric_limits<float>::infinity()) << what << " row " << i;
    } else {
      ASSERT_NEAR(c.log_sum_exp[i], wanted,
                  expected.log_sum_exp_doubt[i] + kLse * factor * std::max(1.0, std::abs(wanted) / 10))
          << what << " row " << i;
    }
  }
}

TYPED_TEST(Contracts, Int8Attention) {
  constexpr std::int64_t kGroups[][2] = {{128, 64}, {1, 1}, {64, 128}, {16, 1}};  // powers of two, which a GPU wants
  int turn = 0;
  for (const Situation& s : situations()) {
    const int round = turn++;
    CudaCase<TypeParam> c = this->numbers(s);
    const BlockMask mask(s.mask);
    Int8Options options{kGroups[round % 4][0], kGroups[round % 4][1], round % 3 != 1};
    const reference::Int8Result expected = reference::int8_attention(
        c.q.doubles(), c.k.doubles(), c.v.doubles(), c.heads, c.queries, c.keys, c.width, c.scale,
        static_cast<int>(options.query_group_tokens), static_cast<int>(options.key_group_tokens), options.smooth_keys, s.keeps);
    if (!s.outliers) {
      // What rounding costs at all is what its steps say.
      const reference::AttentionResult unrounded = c.expected(s.keeps);
      EXPECT_LT(expected.noise, 0.06) << s.name;
      EXPECT_LT(test::relative_error(expected.out, unrounded.out), 2 * expected.noise + 1e-12) << s.name;
    }
    Epilogue<TypeParam> epilogue(c, round % 2 == 0);
    const auto check = [&](const std::string& where) {
      expect_int8(c, expected, epilogue, s.outliers, std::string(s.name) + " on " + where);
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
        epilogue.give(a);
        int8_attention(a, options, test::threads(2));
        check(name);
      });
    }
    if constexpr (TestFixture::kNarrow) {
      if (s.width > 128) continue;  // on a GPU int8 rows are the first halves of 16-bit ones
      PlanOptions plan_options;
      plan_options.tile_blocks = 1 + g_turn++ % 2;
      plan_options.most_entries = plan_options.tile_blocks == 2 ? 2 : 0;
      AttentionPlan plan = make_attention_plan(mask, c.heads, plan_options);
      std::vector<float> parts(static_cast<std::size_t>(cuda_int8_part_floats(plan.layout, c.width)), NAN);
      test::Int8Scratch scratch(plan, c.width, options);
      CudaAttentionArguments<TypeParam> a = c.arguments();
      epilogue.give(a);
      a.parts = parts.data();
      test::run_emulated_int8<TypeParam>(cuda::int8_launch(a, options, test::placed(plan), scratch.place()),
                                         plan_options.tile_blocks, this->alternate());
      EXPECT_TRUE(scratch.whole()) << s.name;
      check("GPU, tiles of " + std::to_string(plan_options.tile_blocks));
    }
  }
}

}  // namespace
}  // namespace ditscope
