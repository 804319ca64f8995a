#include "core/bridge/profile.h"

#include <gtest/gtest.h>

namespace ditscope {
namespace {

using Kind = Profile::Kind;

TEST(Profile, AddsUpWhatIsWatchedByStageNameAndLayer) {
  Profile profile;
  {
    const Profile::Watching watching(profile);
    const Profile::Stage stage("denoise");
    for (int layer = 0; layer < 2; ++layer) {
      Profile::enter_layer(layer);
      for (int i = 0; i < 3; ++i) {
        Profile::Stretch stretch(Kind::Gemm, "out", 10);
        stretch.count(5);
      }
    }
    Profile::enter_layer(-1);
    const Profile::Stretch stretch(Kind::Elementwise, "rest");
  }
  ASSERT_EQ(profile.sums().size(), 3u);
  const Profile::Sum& sum = profile.sums().at({"denoise", Kind::Gemm, "out", 1});
  EXPECT_EQ(sum.calls, 3);
  EXPECT_EQ(sum.flop, 45);
  EXPECT_GE(sum.seconds, 0);
  EXPECT_EQ(profile.sums().count({"denoise", Kind::Elementwise, "rest", -1}), 1u);
  EXPECT_GE(profile.stage_seconds().at("denoise"), sum.seconds);
}

TEST(Profile, NothingIsCountedWhereNobodyWatches) {
  Profile profile;
  { const Profile::Watching watching(profile); }
  const Profile::Stage stage("denoise");
  const Profile::Stretch stretch(Kind::Gemm, "out", 10);
  EXPECT_TRUE(profile.sums().empty());
  EXPECT_TRUE(profile.stage_seconds().empty());
}

}  // namespace
}  // namespace ditscope
