// Tokens fetched by their places give what tokens moved to slots and back give, for every method that reorders them.
#include <gtest/gtest.h>

#include "core/attention/registry.h"
#include "core/attention/selection.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

TEST(AttendInPlace, GivesWhatSlotsGive) {
  const TokenLayout layout = test::small_video();
  int arranged = 0;
  for (const char* name : {"sta", "draftattention", "svg", "svg2", "minference", "paroattention", "rainfusion"}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const LayerCall call = test::make_call(layout, 0, 4, 5, 2, 3, 16, type);
      MethodChoice choice{name, {{"warmup_steps", std::int64_t{0}}}};
      if (choice.key == "paroattention") choice.parameters = {{"search_steps", std::string("0")}};
      const auto method = make_method(choice, 4);
      const BlockPlan plan = method->plan(call);
      for (std::int64_t b = 0; b < 2 && b < static_cast<std::int64_t>(plan.selections.size()); ++b) {
        const Selection& selection = *plan.selections[static_cast<std::size_t>(b)];
        at::Tensor placed = at::full_like(call.q, 777);
        if (!selection.arrangement()) {
          EXPECT_FALSE(attend_in_place(call, b, selection, placed)) << name;
          continue;
        }
        ++arranged;
        ASSERT_TRUE(attend_in_place(call, b, selection, placed)) << name;
        const LayerCall one = element_in_slots(call, b, selection.arrangement());
        at::Tensor slots = at::empty(one.q.sizes(), one.q.options());
        selected_attention(one, selection, {}, {}, slots);
        const at::Tensor expected = by_token(slots[0], *selection.arrangement());
        EXPECT_LT((placed[b] - expected).abs().max().item<double>(), type == at::kFloat ? 1e-6 : 2e-2)
            << name << " element " << b;
        EXPECT_TRUE(placed[1 - b].eq(777).all().item<bool>()) << "the other element is left alone";
      }
    }
  }
  EXPECT_GE(arranged, 12);
}

TEST(AttendInPlace, LeavesCallsWithAKeyMaskToSlots) {
  LayerCall call = test::make_call(test::small_video(), 0, 4);
  const auto method = make_method({"sta", {{"warmup_steps", std::int64_t{0}}}}, 4);
  const BlockPlan plan = method->plan(call);
  call.key_mask = at::ones({2, call.q.size(2)}, at::kBool);
  at::Tensor out = at::full_like(call.q, 777);
  EXPECT_FALSE(attend_in_place(call, 0, *plan.selections[0], out));
  EXPECT_TRUE(out.eq(777).all().item<bool>());
}

}  // namespace
}  // namespace ditscope
